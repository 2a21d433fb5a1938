"""The base of every store: the eight methods, written once, and the hooks that a backend implements."""

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
from key_value.aio.stores.base.copies import CopiedAsOptions
from key_value.aio.stores.base.legacy import adapt_batch_put
from key_value.aio.stores.base.lifecycle import BaseLifecycle

if TYPE_CHECKING:
    from key_value.aio.core.urls import StoreURL
    from typing_extensions import Self

__all__ = ["DEFAULT_COLLECTION_NAME", "SEED_DATA_TYPE", "BaseContextManagerStore", "BaseStore"]

DEFAULT_COLLECTION_NAME = "default_collection"

SEED_DATA_TYPE = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""collection → key → value."""


class BaseStore(CopiedAsOptions, BaseLifecycle, AsyncKeyValue, ABC):
    """A store is this class and three hooks.

    The public methods check their arguments, turn names into stored names and values into entries, open the backend at
    its first use and translate its errors. A hook only talks to the driver, and never calls a public method. Hooks get
    stored names and complete entries, and return entries as they found them: BaseStore checks whether an entry has
    expired and has the requested names.

    Pickling or copying a store copies its options: the copy, as in a spawned process, opens resources of its own. For a
    store with a client of the caller's it raises TypeError.
    """

    capabilities: Capabilities = Capabilities()
    driver_reads_query: ClassVar[bool] = False
    """Whether URL options that the constructor lacks belong to the driver, and stay in the URL."""
    driver_reads_hosts: ClassVar[bool] = False
    """Whether the driver takes a URL with several hosts, as in `mongodb://a:1,b:2`."""

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

        The strategies compute the stored names that hooks get; None stores names unchanged. `default_collection` stands
        in for `collection=None`; None means "default_collection". `seed`, collection → key → value, is stored when the
        store is first opened; it is checked here, with the errors of `put`. From earlier versions, `stable_api` has no
        effect, and a `serialization_adapter` raises ValueError.
        """
        if serialization_adapter is not None:
            message = "serialization_adapter is not supported: every store writes format v1, see docs/stored-format.md"
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

    if not TYPE_CHECKING:  # where every attribute would be known

        def __getattr__(self, name: str) -> Any:
            message = f"{type(self).__name__!r} object has no attribute {name!r}"
            if "_seed" not in vars(self):
                message += f": {type(self).__name__}.__init__ has not called super().__init__()"
            raise AttributeError(message, name=name, obj=self)

    @classmethod
    def from_url(cls, url: str, **options: Any) -> "Self":
        """Create a store from its URL: the location of the data, and in the query the constructor's options by name.

        `options` are further ones, of any type. Raises ValueError for a part of the URL that the store does not use,
        and for an option that is unknown, of the wrong type or given twice. Contacts nothing.
        """
        from key_value.aio.core.urls import parse_url, redacted, store_options

        parsed = parse_url(url)
        if parsed.has_several_hosts and not cls.driver_reads_hosts:
            message = f"{redacted(parsed.url)}: {parsed.scheme}:// takes one host"
            raise ValueError(message)
        return cls(**store_options(cls, parsed, options))

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    # The hooks

    @classmethod
    def _url_options(cls, url: "StoreURL") -> dict[str, Any]:
        """Turn scheme, user, host, port and path into constructor options.

        Raise ValueError for an unused part, so that none is silently dropped.
        """
        url.refuse_location()
        return {}

    @abstractmethod
    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
        """Return the stored entry; None if there is none."""

    @abstractmethod
    async def _put_managed_entry(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        """Store the entry, replacing any other. Native expiry must not come before `managed_entry.expires_at`."""

    @abstractmethod
    async def _delete_managed_entry(self, *, collection: str, key: str) -> bool:
        """Remove the entry; return whether there was one."""

    async def _get_managed_entries(self, *, collection: str, keys: Sequence[str]) -> list[ManagedEntry | None]:
        """Return the entries in the order of the keys, which are distinct and at least one."""
        return [await self._get_managed_entry(collection=collection, key=key) for key in keys]

    async def _put_managed_entries(
        self, *, collection: str, keys: Sequence[str], managed_entries: Sequence[ManagedEntry]
    ) -> None:
        """Store an entry under each of the keys, which are distinct and at least one. All expire at the same time."""
        for key, managed_entry in zip(keys, managed_entries, strict=True):
            await self._put_managed_entry(collection=collection, key=key, managed_entry=managed_entry)

    async def _delete_managed_entries(self, *, collection: str, keys: Sequence[str]) -> int:
        """Remove the entries of the keys, which are distinct and at least one; return how many there were."""
        return sum([await self._delete_managed_entry(collection=collection, key=key) for key in keys])

    # Lifecycle

    async def setup_collection(self, *, collection: str) -> None:
        """Prepare the collection now instead of at its first use."""
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
        # Not before: an open that fails half-way is tried again.
        self._seed = {}

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
        if not self._opening.done or (self._prepares_collections and not self._preparing.is_done(stored_collection)):
            await self._prepare(stored_collection)
        try:
            await self._put_managed_entry(collection=stored_collection, key=stored_key, managed_entry=entry)
        except Exception as exc:
            self._reraise(exc)

    def _new_entry(
        self, key: str, value: Mapping[str, Any], collection: str | None, ttl: SupportsFloat | None
    ) -> tuple[str, str, ManagedEntry]:
        """Its stored collection and key, and the entry, all checked. `put` spells it out: a twentieth of its time."""
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
    """An alias of BaseStore, which stores written for earlier versions inherit beside it."""

    def __init__(self, *, client_provided_by_user: bool = False, **options: Any) -> None:  # noqa: ARG002 — see below
        """`client_provided_by_user` has no effect: `_close` releases only the store's own resources."""
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
