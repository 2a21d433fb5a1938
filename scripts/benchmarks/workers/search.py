"""Hand-written code on an Elasticsearch or OpenSearch client; subclasses make the actual calls."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    Value = dict[str, Any]

__all__ = ["INDEX", "PREFIX", "SearchByHand"]

PREFIX = "benchmark"
INDEX = f"{PREFIX}-default_collection"


class SearchByHand(ABC):
    """Writes similar documents to the index of the store."""

    def __init__(self, client: Any, field: str) -> None:
        """`field` is the name of the field under `value` that contains the value."""
        self._client = client
        self._field = field

    @abstractmethod
    async def read(self, id_: str) -> Any:
        """Return the response for a document, also if it does not exist."""

    @abstractmethod
    async def write(self, id_: str, document: Value) -> None: ...

    @abstractmethod
    async def read_many(self, ids: Sequence[str]) -> Any: ...

    @abstractmethod
    async def write_many(self, lines: list[Value]) -> Any: ...

    async def get(self, key: str) -> Value | None:
        return self._value(await self.read(_id(key)))

    async def put(self, key: str, value: Value) -> None:
        await self.write(_id(key), self._document(key, value))

    def ways_to_get_many(self) -> Any:
        return [self._get_many]

    def ways_to_put_many(self) -> Any:
        return [self._put_many]

    async def _get_many(self, keys: Sequence[str]) -> list[Value | None]:
        answer = await self.read_many([_id(key) for key in keys])
        return [self._value(each) for each in answer["docs"]]

    async def _put_many(self, keys: Sequence[str], values: Sequence[Value]) -> None:
        lines: list[Value] = []
        for key, value in zip(keys, values, strict=True):
            lines += [{"index": {"_id": _id(key)}}, self._document(key, value)]
        if (await self.write_many(lines))["errors"]:
            message = "some documents were not stored"
            raise RuntimeError(message)

    def _value(self, answer: Any) -> Value | None:
        return answer["_source"]["value"][self._field] if answer["found"] else None

    def _document(self, key: str, value: Value) -> Value:
        created_at = datetime.now(timezone.utc).isoformat()
        names = {"collection": "by hand", "key": key}
        return {"version": 1, **names, "created_at": created_at, "value": {self._field: value}}


def _id(key: str) -> str:
    return f"hand {key}"
