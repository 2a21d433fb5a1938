"""Time FirestoreStore and Google's AsyncClient. Argument: the URL of an emulator that nothing else uses."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING, Any

from google.auth.credentials import AnonymousCredentials
from google.cloud import firestore
from key_value.aio.stores.firestore import FirestoreStore
from network import compare

if TYPE_CHECKING:
    from collections.abc import Sequence

    Value = dict[str, Any]

# Partially untyped.
AsyncClient: Any = firestore.AsyncClient
Credentials: Any = AnonymousCredentials

_PROJECT = "benchmark"
_CREATED_AT = "2026-11-23T09:03:14.464348+00:00"


class ByHand:
    """Writes similar documents to the database of the store."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._collection = client.collection("by hand")

    async def get(self, key: str) -> Value | None:
        return _value(await self._collection.document(key).get())

    async def put(self, key: str, value: Value) -> None:
        await self._collection.document(key).set(_fields(value))

    def ways_to_get_many(self) -> Any:
        return [self._get_all, self._get_each]

    def ways_to_put_many(self) -> Any:
        return [self._put_batch, self._put_each]

    async def _get_all(self, keys: Sequence[str]) -> list[Value | None]:
        documents = [self._collection.document(key) for key in keys]
        found = {each.id: _value(each) async for each in self._client.get_all(documents)}
        return [found[key] for key in keys]

    async def _get_each(self, keys: Sequence[str]) -> list[Value | None]:
        return await asyncio.gather(*(self.get(key) for key in keys))

    async def _put_batch(self, keys: Sequence[str], values: Sequence[Value]) -> None:
        batch = self._client.batch()
        for key, value in zip(keys, values, strict=True):
            batch.set(self._collection.document(key), _fields(value))
        await batch.commit()

    async def _put_each(self, keys: Sequence[str], values: Sequence[Value]) -> None:
        await asyncio.gather(*(self.put(key, value) for key, value in zip(keys, values, strict=True)))


def _fields(value: Value) -> dict[str, Any]:
    return {"version": 1, "created_at": _CREATED_AT, "value": json.dumps(value)}


def _value(document: Any) -> Value | None:
    return json.loads(document.get("value")) if document.exists else None


async def main() -> None:
    os.environ["FIRESTORE_EMULATOR_HOST"] = sys.argv[1].partition("://")[2]
    place: dict[str, Any] = {"project": _PROJECT, "credentials": Credentials()}
    async with FirestoreStore(**place) as store:
        await compare(store, ByHand(AsyncClient(**place)))


if __name__ == "__main__":
    asyncio.run(main())
