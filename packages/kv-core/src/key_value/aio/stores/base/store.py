"""The base class of all stores: implements the eight methods on top of hooks for the backend."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any, ClassVar, SupportsFloat

from key_value.aio.core import clock
from key_value.aio.core.capabilities import Capabilities
from key_value.aio.core.codec import encode_value
from key_value.aio.core.entry import ManagedEntry, live_entries, live_entry
from key_value.aio.core.names import checked_name, checked_names
from key_value.aio.core.sanitization import PassthroughStrategy, SanitizationStrategy
from key_value.aio.core.ttl import expiry
from key_value.aio.core.type_checks import require
from key_value.aio.protocols import AsyncKeyValue
from key_value.aio.stores.base.copies import CopiedByArguments
from key_value.aio.stores.base.legacy import adapt_batch_put
from key_value.aio.stores.base.lifecycle import BaseLifecycle

if TYPE_CHECKING:
    from key_value.aio.core.urls import StoreURL
    from typing_extensions import Self

__all__ = ["DEFAULT_COLLECTION_NAME", "SEED_DATA_TYPE", "BaseContextManagerStore", "BaseStore"]

DEFAULT_COLLECTION_NAME = "default_collection"

SEED_DATA_TYPE = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""collection → key → value."""


class BaseStore(CopiedByArguments, BaseLifecycle, AsyncKeyValue, ABC):
    """Base class of stores. A subclass implements at least three hooks.

    The public methods check their arguments, convert names to stored names and values to entries, open the backend on
    first use and translate its errors. Hooks only call the driver, never a public method. They receive stored names and
    complete entries, and return entries as found: BaseStore checks that an entry has not expired and has the requested
    names.

    Pickling or copying a store copies its options; the copy, for example in a spawned process, opens its own resources.
    Raises TypeError for a store that uses a client passed in by the caller.
    """

    capabilities: Capabilities = Capabilities()
    driver_reads_query: ClassVar[bool] = False
    """Whether URL options unknown to the constructor are left in the URL for the driver."""
    driver_reads_hosts: ClassVar[bool] = False
    """Whether the driver accepts a URL with several hosts, as in `mongodb://a:1,b:2`."""

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
        """Store the options; the first use opens the backend.

        The strategies compute the stored names that hooks receive; with None, names are stored unchanged.
        `default_collection` is used for `collection=None`; None means "default_collection". `seed`, a mapping
        collection → key → value, is checked here, with the errors of `put`, and stored when the store is first opened.
        For compatibility with earlier versions, `stable_api` is accepted and ignored; a `serialization_adapter` raises
        ValueError.
        """
        if serialization_adapter is not None:
            message = "serialization_adapter is not supported: all stores use format v1, see docs/stored-format.md"
            raise ValueError(message)
        self.default_collection: str = checked_name(
            DEFAULT_COLLECTION_NAME if default_collection is None else default_collection, "collection"
        )
        self._key_strategy = _unless_passthrough(key_sanitization_strategy)
        self._collection_strategy = _unless_passthrough(collection_sanitization_strategy)
        super().__init__()
        self._seed = {
            checked_name(collection, "collection"): {
                checked_name(key, "key"): encode_value(value) for key, value in entries.items()
            }
            for collection, entries in (seed or {}).items()
        }

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        adapt_batch_put(cls)

    if not TYPE_CHECKING:  # or type checkers would accept any attribute

        def __getattr__(self, name: str) -> Any:
            message = f"{type(self).__name__!r} object has no attribute {name!r}"
            if "_seed" not in vars(self):
                message += f": {type(self).__name__}.__init__ did not call super().__init__()"
            raise AttributeError(message, name=name, obj=self)

    @classmethod
    def from_url(cls, url: str, **options: Any) -> "Self":
        """Create a store from a URL that gives the location of the data and, in its query, constructor options by name.

        `options` adds further constructor options, of any type. Raises ValueError for a part of the URL that the store
        does not use, and for an option that is unknown, of the wrong type or given twice. Performs no I/O.
        """
        from key_value.aio.core.urls import parse_url, redacted, store_options

        parsed = parse_url(url)
        if parsed.has_several_hosts and not cls.driver_reads_hosts:
            message = f"{redacted(parsed.url)}: {parsed.scheme}:// takes one host, not several"
            raise ValueError(message)
        return cls(**store_options(cls, parsed, options))

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    # The hooks

    @classmethod
    def _url_options(cls, url: "StoreURL") -> dict[str, Any]:
        """Convert scheme, user, host, port and path to constructor options.

        Raise ValueError for an unused part, so that no part is silently ignored.
        """
        url.refuse_location()
        return {}

    @abstractmethod
    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
        """Return the stored entry, or None."""

    @abstractmethod
    async def _put_managed_entry(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        """Store the entry, replacing any other. The backend must not expire it before `managed_entry.expires_at`."""

    @abstractmethod
    async def _delete_managed_entry(self, *, collection: str, key: str) -> bool:
        """Remove the entry; return whether it existed."""

    async def _get_managed_entries(self, *, collection: str, keys: Sequence[str]) -> list[ManagedEntry | None]:
        """Return the entries in the order of the keys. There is at least one key, and no key repeats."""
        return [await self._get_managed_entry(collection=collection, key=key) for key in keys]

    async def _put_managed_entries(
        self, *, collection: str, keys: Sequence[str], managed_entries: Sequence[ManagedEntry]
    ) -> None:
        """Store an entry under each key. There is at least one key, and no key repeats. All expire at the same time."""
        for key, managed_entry in zip(keys, managed_entries, strict=True):
            await self._put_managed_entry(collection=collection, key=key, managed_entry=managed_entry)

    async def _delete_managed_entries(self, *, collection: str, keys: Sequence[str]) -> int:
        """Remove the entries; return how many existed. There is at least one key, and no key repeats."""
        return sum([await self._delete_managed_entry(collection=collection, key=key) for key in keys])

    # Lifecycle

    async def setup_collection(self, *, collection: str) -> None:
        """Prepare the collection now instead of on its first use."""
        await self._prepare(self._stored_collection(checked_name(collection, "collection")))

    async def _open_backend(self) -> None:
        await super()._open_backend()
        created_at = clock.now()
        for collection, entries in self._seed.items():
            stored = self._stored_collection(collection)
            await self._setup_collection(collection=stored)
            for key, encoded in entries.items():
                entry = ManagedEntry.from_encoded(encoded, created_at, None, key, collection)
                await self._put_managed_entry(collection=stored, key=self._stored_key(key), managed_entry=entry)
        # Cleared only now: a failed open is retried and needs the seed.
        self._seed = {}

    # Names

    def _names(self, collection: str | None) -> tuple[str, str]:
        """Return the collection, resolving None to the default, and its stored name."""
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
        if not self._opening.done or (self._prepares_collections and not self._preparing.is_done(stored_collection)):
            await self._prepare(stored_collection)
        try:
            entry = await self._get_managed_entry(collection=stored_collection, key=stored_key)
        except Exception as exc:
            self._reraise(exc)
        return None if entry is None else live_entry(entry, collection, key)

    async def _read_many(self, keys: Sequence[str], collection: str | None) -> list[ManagedEntry | None]:
        collection, stored_collection = self._names(collection)
        keys = checked_names(keys)
        if not keys:
            return []
        distinct = list(dict.fromkeys(keys))
        stored_keys = distinct if self._key_strategy is None else [self._stored_key(key) for key in distinct]
        await self._prepare(stored_collection)
        found = await self._translated(self._get_managed_entries(collection=stored_collection, keys=stored_keys))
        entries = live_entries(found, collection, distinct)
        if len(distinct) == len(keys):
            return entries
        # No two results may share a value.
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
        if not self._opening.done or (self._prepares_collections and not self._preparing.is_done(stored_collection)):
            await self._prepare(stored_collection)
        try:
            await self._put_managed_entry(collection=stored_collection, key=stored_key, managed_entry=entry)
        except Exception as exc:
            self._reraise(exc)

    def _new_entry(
        self, key: str, value: Mapping[str, Any], collection: str | None, ttl: SupportsFloat | None
    ) -> tuple[str, str, ManagedEntry]:
        """Return the stored collection, the stored key and the entry, all checked.

        `put` inlines this, which saves a twentieth of its time.
        """
        collection, stored_collection = self._names(collection)
        key = checked_name(key, "key")
        created_at = clock.now()
        expires_at = None if ttl is None else expiry(created_at, ttl)
        entry = ManagedEntry.from_encoded(encode_value(value), created_at, expires_at, key, collection)
        return stored_collection, self._stored_key(key), entry

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
            message = f"keys and values must have the same length, not {len(keys)} keys and {len(values)} values"
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
        await self._translated(
            self._put_managed_entries(
                collection=stored_collection, keys=stored_keys, managed_entries=list(entries.values())
            )
        )

    async def delete(self, key: str, *, collection: str | None = None) -> bool:
        _, stored_collection = self._names(collection)
        stored_key = self._stored_key(checked_name(key, "key"))
        await self._prepare(stored_collection)
        return await self._translated(self._delete_managed_entry(collection=stored_collection, key=stored_key))

    async def delete_many(self, keys: Sequence[str], *, collection: str | None = None) -> int:
        _, stored_collection = self._names(collection)
        stored_keys = [self._stored_key(key) for key in dict.fromkeys(checked_names(keys))]
        if not stored_keys:
            return 0
        await self._prepare(stored_collection)
        return await self._translated(self._delete_managed_entries(collection=stored_collection, keys=stored_keys))


class BaseContextManagerStore(BaseStore):
    """Adds nothing to BaseStore. Stores written for earlier versions inherit from both."""

    def __init__(self, *, client_provided_by_user: bool = False, **options: Any) -> None:  # noqa: ARG002 — see below
        """Accept and ignore `client_provided_by_user`: `_close` releases only the store's own resources."""
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
