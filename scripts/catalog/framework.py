"""A catalogue of installed distributions. It depends only on the interface of stores, not on any backend."""

from __future__ import annotations

from dataclasses import Field, asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar, cast, get_type_hints

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from key_value.aio.protocols import AsyncKeyValue

__all__ = ["Catalog", "Dependents", "Distribution", "DocumentError", "Documents", "Module"]

# Large enough to make round trips negligible, small enough to keep a batch below a few megabytes.
_BATCH = 200


@dataclass(frozen=True)
class Distribution:
    """The metadata of an installed distribution, and the size of its files."""

    name: str
    version: str
    summary: str
    license: str
    requires_python: str
    requires: list[str]
    classifiers: list[str]
    description: str
    files: int
    bytes: int


@dataclass(frozen=True)
class Module:
    """One installed Python module."""

    distribution: str
    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Dependents:
    """The distributions that require a distribution."""

    names: list[str]


class DocumentError(Exception):
    """The stored value is not a document of the expected type."""


class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


D = TypeVar("D", bound=_Dataclass)


class Documents(Generic[D]):
    """A collection of documents of one type."""

    def __init__(self, store: AsyncKeyValue, collection: str, document_type: type[D], *, ttl: float) -> None:
        self.collection = collection
        self._store = store
        self._type = document_type
        self._fields = get_type_hints(document_type)
        self._ttl = ttl

    async def put_many(self, documents: Mapping[str, D]) -> None:
        for keys in _batches(documents):
            values = [asdict(documents[key]) for key in keys]
            await self._store.put_many(keys, values, collection=self.collection, ttl=self._ttl)

    async def get(self, key: str) -> D | None:
        """Return the document, or None if there is none. Raises DocumentError."""
        return self._read(await self._store.get(key, collection=self.collection))

    async def get_many(self, keys: Iterable[str]) -> list[D | None]:
        """Return a document or None for each key, in order. Raises DocumentError."""
        values = [
            value for batch in _batches(keys) for value in await self._store.get_many(batch, collection=self.collection)
        ]
        return [self._read(value) for value in values]

    async def age(self, keys: Iterable[str]) -> float | None:
        """Return the age in seconds of the first key that is stored; None if none is stored."""
        for batch in _batches(keys):
            for _, remaining in await self._store.ttl_many(batch, collection=self.collection):
                if remaining is not None:
                    return self._ttl - remaining
        return None

    def _read(self, value: dict[str, object] | None) -> D | None:
        if value is None:
            return None
        wrong = [field for field, hint in self._fields.items() if not _is(value.get(field), hint)]
        if wrong or len(value) != len(self._fields):
            message = (
                f"a document of {self.collection} is not a {self._type.__name__}: {', '.join(wrong) or 'more fields'}"
            )
            raise DocumentError(message)
        return self._type(**value)


class Catalog:
    """Distributions by name, modules by path, and dependents by name. Documents expire after `ttl` seconds."""

    def __init__(self, store: AsyncKeyValue, *, prefix: str, ttl: float) -> None:
        self._store = store
        self._visits = f"{prefix}-visits"
        self.distributions = Documents(store, f"{prefix}-distributions", Distribution, ttl=ttl)
        self.modules = Documents(store, f"{prefix}-modules", Module, ttl=ttl)
        self.dependents = Documents(store, f"{prefix}-dependents", Dependents, ttl=ttl)

    async def remember_visit(self, name: str, *, ttl: float) -> None:
        """Record a visit to a distribution for `ttl` seconds."""
        await self._store.put(name, {"visited": name}, collection=self._visits, ttl=ttl)

    async def visit_expires_in(self, name: str) -> float | None:
        """Return the seconds until the visit expires; None if it has expired."""
        _, remaining = await self._store.ttl(name, collection=self._visits)
        return remaining


def _is(value: object, hint: object) -> bool:
    if hint == list[str]:
        return isinstance(value, list) and all(isinstance(item, str) for item in cast("list[object]", value))
    return isinstance(hint, type) and isinstance(value, hint)


def _batches(keys: Iterable[str]) -> Iterator[list[str]]:
    remaining = iter(keys)
    while batch := list(islice(remaining, _BATCH)):
        yield batch
