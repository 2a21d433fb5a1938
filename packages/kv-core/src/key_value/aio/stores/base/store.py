"""The base of every store: the eight methods, written once, and the hooks a backend fills in."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, SupportsFloat

from key_value.aio.core import clock
from key_value.aio.core.capabilities import Capabilities
from key_value.aio.core.codec import encode_value
from key_value.aio.core.driver_errors import DriverErrors, reraise
from key_value.aio.core.entry import ManagedEntry
from key_value.aio.core.lifecycle import Once
from key_value.aio.core.names import checked_name, checked_names
from key_value.aio.core.sanitization import PassthroughStrategy, SanitizationStrategy
from key_value.aio.core.ttl import expiry
from key_value.aio.core.type_checks import require
from key_value.aio.errors import BaseKeyValueError, StoreSetupError
from key_value.aio.protocols import AsyncKeyValue
from key_value.aio.stores.base.legacy import adapt_batch_put

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["DEFAULT_COLLECTION_NAME", "SEED_DATA_TYPE", "BaseContextManagerStore", "BaseStore"]

DEFAULT_COLLECTION_NAME = "default_collection"

SEED_DATA_TYPE = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""collection → key → value."""


class BaseStore(AsyncKeyValue, ABC):
    """A store is this class and three hooks.

    The public methods check their arguments, turn names into stored names and values into entries, open the backend
    at its first use and translate its errors; a hook only talks to the driver, and never calls back. Hooks get names
    as they are stored and entries that are whole; they return entries as they were found: whether one has expired,
    and whether it is the one that was asked for, is decided here.
    """

    capabilities: Capabilities = Capabilities()
    driver_errors: ClassVar[DriverErrors] = {}
    """What the driver's exceptions mean. Built-in connection and timeout errors are known already."""

    def __init__(
        self,
        *,
        serialization_adapter: object | None = None,
        key_sanitization_strategy: SanitizationStrategy | None = None,
        collection_sanitization_strategy: SanitizationStrategy | None = None,
        default_collection: str | None = None,
        seed: SEED_DATA_TYPE | None = None,
        stable_api: bool = False,  # noqa: ARG002 — see below
    ) -> None:
        """Remember the options; the backend is opened at the first use.

        The strategies give the stored names that hooks get; None stores names as they are. `default_collection` stands
        in for `collection=None`; None means "default_collection". `seed`, collection → key → value, is stored when the
        store is first opened; it is checked here and raises what `put` raises. Of earlier versions, `stable_api` means
        nothing, and a `serialization_adapter` raises ValueError.
        """
        if serialization_adapter is not None:
            message = "serialization_adapter is not supported: every store writes format v1, see docs/stored-format.md"
            raise ValueError(message)
        self.default_collection = checked_name(
            DEFAULT_COLLECTION_NAME if default_collection is None else default_collection, "collection"
        )
        self._key_strategy = _unless_passthrough(key_sanitization_strategy)
        self._collection_strategy = _unless_passthrough(collection_sanitization_strategy)
        self._opening = Once()
        self._collection_setups: dict[str, Once] = {}
        self._prepared: set[str] = set()
        self._prepares_collections = type(self)._setup_collection is not BaseStore._setup_collection  # noqa: SLF001 — its own
        self._seed = {
            checked_name(collection, "collection"): {
                checked_name(key, "key"): encode_value(value) for key, value in entries.items()
            }
            for collection, entries in (seed or {}).items()
        }

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        adapt_batch_put(cls)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    # The hooks

    @abstractmethod
    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
        """The entry as it is stored; None when there is none."""

    @abstractmethod
    async def _put_managed_entry(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        """Store the entry in place of any other. Native expiry, if any, no earlier than `managed_entry.expires_at`."""

    @abstractmethod
    async def _delete_managed_entry(self, *, collection: str, key: str) -> bool:
        """Remove the entry; whether there was one."""

    async def _get_managed_entries(self, *, collection: str, keys: Sequence[str]) -> list[ManagedEntry | None]:
        """The entries in the order of the keys, which are distinct and at least one."""
        return [await self._get_managed_entry(collection=collection, key=key) for key in keys]

    async def _put_managed_entries(
        self, *, collection: str, keys: Sequence[str], managed_entries: Sequence[ManagedEntry]
    ) -> None:
        """Store an entry under each of the keys, which are distinct and at least one. All expire at the same time."""
        for key, managed_entry in zip(keys, managed_entries, strict=True):
            await self._put_managed_entry(collection=collection, key=key, managed_entry=managed_entry)

    async def _delete_managed_entries(self, *, collection: str, keys: Sequence[str]) -> int:
        """Remove the entries of the keys, which are distinct and at least one; how many there were."""
        return sum([await self._delete_managed_entry(collection=collection, key=key) for key in keys])

    async def _setup(self) -> None:
        """Open the backend. Runs before the first operation, and again after `close` or a failure."""

    async def _setup_collection(self, *, collection: str) -> None:
        """Prepare a collection. Runs before the first operation on it, and again after it was destroyed."""

    async def _close(self) -> None:
        """Release what `_setup` and the operations opened, and nothing that the caller passed in."""

    # Lifecycle

    async def setup(self) -> None:
        """Open the backend now instead of at the first use. Raises StoreSetupError or StoreConnectionError."""
        try:
            await self._opening.run(self._open)
        except Exception as exc:
            self._reraise(exc, otherwise=StoreSetupError)

    async def setup_collection(self, *, collection: str) -> None:
        """Prepare the collection now instead of at its first use."""
        await self._prepare(self._stored_collection(checked_name(collection, "collection")))

    async def close(self) -> None:
        """Release the backend's resources, except a client the caller passed in. The next use opens it again."""
        if not self._opening.done:
            return
        self._opening.reset()
        self._prepared.clear()
        try:
            await self._close()
        except Exception as exc:
            self._reraise(exc)

    async def __aenter__(self) -> "Self":
        await self.setup()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _open(self) -> None:
        await self._setup()
        created_at = clock.now()
        for collection, entries in self._seed.items():
            stored = self._stored_collection(collection)
            await self._setup_collection(collection=stored)
            for key, encoded in entries.items():
                entry = ManagedEntry.from_encoded(encoded, created_at, None, key, collection)
                await self._put_managed_entry(collection=stored, key=self._stored_key(key), managed_entry=entry)
        # Not before: an open that fails half-way is tried again.
        self._seed = {}

    async def _prepare(self, collection: str) -> None:
        if not self._opening.done:
            await self.setup()
        if not self._prepares_collections or collection in self._prepared:
            return
        setup = self._collection_setups.setdefault(collection, Once())
        try:
            await setup.run(partial(self._setup_collection, collection=collection))
        except Exception as exc:
            self._reraise(exc, otherwise=StoreSetupError)
        self._prepared.add(collection)
        self._collection_setups.pop(collection, None)

    def _reraise(self, error: Exception, *, otherwise: type[BaseKeyValueError] | None = None) -> NoReturn:
        reraise(error, self.driver_errors, repr(self), otherwise=otherwise)

    # Names

    def _names(self, collection: str | None) -> tuple[str, str]:
        """The collection that is meant, and its stored name."""
        collection = self.default_collection if collection is None else checked_name(collection, "collection")
        return collection, collection if self._collection_strategy is None else self._stored_collection(collection)

    def _stored_collection(self, collection: str) -> str:
        return collection if self._collection_strategy is None else _sanitized(self._collection_strategy, collection)

    def _stored_key(self, key: str) -> str:
        return key if self._key_strategy is None else _sanitized(self._key_strategy, key)

    # Reading

    async def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
        entry = await self._read(key, collection)
        return None if entry is None else entry.fresh_value()

    async def ttl(self, key: str, *, collection: str | None = None) -> tuple[dict[str, Any] | None, float | None]:
        entry = await self._read(key, collection)
        return (None, None) if entry is None else (entry.fresh_value(), entry.ttl)

    async def get_many(self, keys: Sequence[str], *, collection: str | None = None) -> list[dict[str, Any] | None]:
        entries = await self._read_many(keys, collection)
        return [None if entry is None else entry.fresh_value() for entry in entries]

    async def ttl_many(
        self, keys: Sequence[str], *, collection: str | None = None
    ) -> list[tuple[dict[str, Any] | None, float | None]]:
        entries = await self._read_many(keys, collection)
        return [(None, None) if entry is None else (entry.fresh_value(), entry.ttl) for entry in entries]

    async def _read(self, key: str, collection: str | None) -> ManagedEntry | None:
        collection, stored_collection = self._names(collection)
        key = checked_name(key, "key")
        stored_key = key if self._key_strategy is None else self._stored_key(key)
        if not self._opening.done or (self._prepares_collections and stored_collection not in self._prepared):
            await self._prepare(stored_collection)
        try:
            entry = await self._get_managed_entry(collection=stored_collection, key=stored_key)
        except Exception as exc:
            self._reraise(exc)
        return None if entry is None else _live(entry, collection, key)

    async def _read_many(self, keys: Sequence[str], collection: str | None) -> list[ManagedEntry | None]:
        collection, stored_collection = self._names(collection)
        keys = checked_names(keys)
        if not keys:
            return []
        distinct = list(dict.fromkeys(keys))
        stored_keys = distinct if self._key_strategy is None else [self._stored_key(key) for key in distinct]
        await self._prepare(stored_collection)
        try:
            found = await self._get_managed_entries(collection=stored_collection, keys=stored_keys)
        except Exception as exc:
            self._reraise(exc)
        entries = [
            None if entry is None else _live(entry, collection, key) for key, entry in zip(distinct, found, strict=True)
        ]
        if len(distinct) == len(keys):
            return entries
        # Each result gets a value of its own.
        by_key = dict(zip(distinct, entries, strict=True))
        return [deepcopy(by_key[key]) for key in keys]

    # Writing

    async def put(
        self,
        key: str,
        value: Mapping[str, Any],
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> None:
        collection, stored_collection = self._names(collection)
        key = checked_name(key, "key")
        stored_key = key if self._key_strategy is None else self._stored_key(key)
        created_at = clock.now()
        expires_at = None if ttl is None else expiry(created_at, ttl)
        entry = ManagedEntry.from_encoded(encode_value(value), created_at, expires_at, key, collection)
        if not self._opening.done or (self._prepares_collections and stored_collection not in self._prepared):
            await self._prepare(stored_collection)
        try:
            await self._put_managed_entry(collection=stored_collection, key=stored_key, managed_entry=entry)
        except Exception as exc:
            self._reraise(exc)

    async def put_many(
        self,
        keys: Sequence[str],
        values: Sequence[Mapping[str, Any]],
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> None:
        collection, stored_collection = self._names(collection)
        keys = checked_names(keys)
        values = _checked_values(values)
        if len(keys) != len(values):
            message = f"put_many needs as many values as keys, not {len(values)} values for {len(keys)} keys"
            raise ValueError(message)
        created_at = clock.now()
        expires_at = None if ttl is None else expiry(created_at, ttl)
        entries = {
            key: ManagedEntry.from_encoded(encode_value(value), created_at, expires_at, key, collection)
            for key, value in zip(keys, values, strict=True)
        }
        if not entries:
            return
        stored_keys = list(entries) if self._key_strategy is None else [self._stored_key(key) for key in entries]
        await self._prepare(stored_collection)
        try:
            await self._put_managed_entries(
                collection=stored_collection, keys=stored_keys, managed_entries=list(entries.values())
            )
        except Exception as exc:
            self._reraise(exc)

    async def delete(self, key: str, *, collection: str | None = None) -> bool:
        _, stored_collection = self._names(collection)
        stored_key = self._stored_key(checked_name(key, "key"))
        await self._prepare(stored_collection)
        try:
            return await self._delete_managed_entry(collection=stored_collection, key=stored_key)
        except Exception as exc:
            self._reraise(exc)

    async def delete_many(self, keys: Sequence[str], *, collection: str | None = None) -> int:
        _, stored_collection = self._names(collection)
        stored_keys = [self._stored_key(key) for key in dict.fromkeys(checked_names(keys))]
        if not stored_keys:
            return 0
        await self._prepare(stored_collection)
        try:
            return await self._delete_managed_entries(collection=stored_collection, keys=stored_keys)
        except Exception as exc:
            self._reraise(exc)


class BaseContextManagerStore(BaseStore):
    """BaseStore by the name that stores written for earlier versions inherit beside it."""

    def __init__(self, *, client_provided_by_user: bool = False, **options: Any) -> None:  # noqa: ARG002 — see below
        """`client_provided_by_user` means nothing: `_close` releases what the store opened, and nothing else."""
        super().__init__(**options)


def _unless_passthrough(strategy: SanitizationStrategy | None) -> SanitizationStrategy | None:
    return None if isinstance(strategy, PassthroughStrategy) else strategy


def _sanitized(strategy: SanitizationStrategy, name: str) -> str:
    strategy.validate(name)
    return strategy.sanitize(name)


def _checked_values(values: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    if not isinstance(values, list):
        require(values, Sequence, name="values", expected="a sequence of mappings")
    return values


def _live(entry: ManagedEntry, collection: str, key: str) -> ManagedEntry | None:
    """The entry, unless it has expired or is another's: names that met in an older format, or a shortened name."""
    if entry.expires_at is not None and entry.expires_at <= clock.now():
        return None
    if entry.key is not None and entry.key != key:
        return None
    if entry.collection is not None and entry.collection != collection:
        return None
    return entry
