"""A sound store and stores with one defect each. test_specimens.py runs this file and reads which tests failed."""

from __future__ import annotations

import asyncio
import fnmatch
import functools
import json
import math
import pickle
import sys
import unicodedata
from typing import TYPE_CHECKING, Any, TypeVar, cast
from urllib.parse import quote

import pytest
from key_value.aio.core.envelope import dump_entry, load_entry
from key_value.aio.core.names import collection_prefix, join_names, split_names
from key_value.aio.errors import (
    DeserializationError,
    InvalidKeyError,
    KeyValueStoreError,
    StoreSetupError,
    ValueTooLargeError,
)
from key_value.aio.stores.base import (
    BaseCullStore,
    BaseDestroyCollectionStore,
    BaseDestroyStore,
    BaseEnumerateCollectionsStore,
    BaseEnumerateKeysStore,
    Capabilities,
    ManagedEntry,
)
from key_value.aio.testing import StoreTests
from key_value.aio.testing.batches import BatchTests
from key_value.aio.testing.concurrency import ConcurrencyTests
from key_value.aio.testing.contract import StoreContract
from key_value.aio.testing.corruption import CorruptionTests
from key_value.aio.testing.destruction import DestructionTests
from key_value.aio.testing.enumeration import EnumerationTests
from key_value.aio.testing.expiry import ExpiryTests
from key_value.aio.testing.lifecycle import LifecycleTests
from key_value.aio.testing.names import NameTests
from key_value.aio.testing.values import ValueTests

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

FOREIGN = "written by another application"

StoreClass = TypeVar("StoreClass", bound="TextStore")


class TextStore(
    BaseEnumerateKeysStore, BaseEnumerateCollectionsStore, BaseDestroyStore, BaseDestroyCollectionStore, BaseCullStore
):
    """Stores format v1 under joined names, in a dict that outlives the store like a server."""

    capabilities = Capabilities(durable=True, max_value_bytes=1_000_000, atomic_delete=True)

    def __init__(self, server: dict[str, bytes], password: str) -> None:
        super().__init__()
        self.server = server
        self.password = password

    def name(self, collection: str, key: str) -> str:
        return join_names(collection, key)

    def load(self, stored: bytes) -> ManagedEntry | None:
        return load_entry(stored)

    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
        await asyncio.sleep(0)
        stored = self.server.get(self.name(collection, key))
        return None if stored is None else self.load(stored)

    async def _put_managed_entry(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        await asyncio.sleep(0)
        self.write(collection, key, managed_entry)

    def write(self, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        stored = dump_entry(managed_entry)
        if len(stored) > 1_000_000:
            raise ValueTooLargeError(len(stored), 1_000_000, collection, key)
        self.server[self.name(collection, key)] = stored

    async def _delete_managed_entry(self, *, collection: str, key: str) -> bool:
        await asyncio.sleep(0)
        stored = self.server.pop(self.name(collection, key), None)
        return stored is not None and not expired(stored)

    async def _get_collection_keys(self, *, collection: str, limit: int | None = None) -> list[str]:
        return [key for owner, key in self.live() if owner == collection][:limit]

    async def _get_collection_names(self, *, limit: int | None = None) -> list[str]:
        return list(dict.fromkeys(owner for owner, _ in self.live()))[:limit]

    async def _delete_store(self) -> bool:
        for name in [name for name in self.server if name != FOREIGN]:
            del self.server[name]
        return True

    async def _delete_collection(self, *, collection: str) -> bool:
        doomed = [name for name in self.server if name.startswith(collection_prefix(collection))]
        for name in doomed:
            del self.server[name]
        return bool(doomed)

    async def _cull(self) -> None:
        for name in [name for name, stored in self.server.items() if expired(stored)]:
            del self.server[name]

    def live(self) -> list[tuple[str, str]]:
        names = [split_names(name) for name, stored in self.server.items() if not expired(stored)]
        return [pair for pair in names if pair is not None]


def expired(stored: bytes) -> bool:
    try:
        return load_entry(stored).is_expired
    except DeserializationError:
        return False


class Author(StoreContract[TextStore]):
    """The hooks that these stores implement for the kit."""

    secrets = ("hunter2",)
    native_expiry_wait = 0.1
    store_class: type[TextStore] = TextStore

    @pytest.fixture
    def store(self) -> TextStore:
        return self.store_class({}, self.secrets[0])

    def reopen(self, store: TextStore) -> TextStore:
        return type(store)(store.server, store.password)

    async def read_stored(self, store: TextStore, collection: str, key: str) -> bytes | None:
        return store.server.get(store.name(collection, key))

    async def corrupt_stored(self, store: TextStore, collection: str, key: str, data: bytes) -> None:
        store.server[store.name(collection, key)] = data

    async def put_foreign(self, store: TextStore) -> None:
        store.server[FOREIGN] = b"not ours"

    async def has_foreign(self, store: TextStore) -> bool:
        return FOREIGN in store.server


class TestTextStore(Author, StoreTests[TextStore]):
    example = TextStore({}, "")


class ExpiringTextStore(TextStore):
    """Removes expired entries by itself; rounds expiry up to hundredths of a second."""

    capabilities = Capabilities(durable=True, native_expiry=True, expiry_resolution=0.01)

    def write(self, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        super().write(collection, key, managed_entry)
        name = self.name(collection, key)
        put = self.server[name]
        if managed_entry.ttl is not None:
            asyncio.get_running_loop().call_later(self.rounded(managed_entry.ttl), self.remove, name, put)

    def rounded(self, ttl: float) -> float:
        return math.ceil(ttl * 100) / 100

    def remove(self, name: str, put: bytes) -> None:
        if self.server.get(name) is put:
            del self.server[name]


class TestExpiringTextStore(Author, StoreTests[TextStore]):
    store_class = ExpiringTextStore
    example = ExpiringTextStore({}, "")


class ClosingStore(TextStore):
    """Stays closed."""

    is_closed = False

    async def _setup(self) -> None:
        if self.is_closed:
            message = "the store is closed"
            raise StoreSetupError(message)

    async def _close(self) -> None:
        self.is_closed = True


class ClosingAuthor(Author):
    reopens = False
    store_class: type[TextStore] = ClosingStore


class TestClosingStore(ClosingAuthor, LifecycleTests[TextStore]):
    example = ClosingStore({}, "")


remembered = functools.cache(load_entry)

BROKEN: dict[str, str] = {}
"""Class of a broken store → the test that must fail."""


def breaks(
    contract: type[StoreContract[Any]], test: str, author: type[Author] = Author
) -> Callable[[type[StoreClass]], type[StoreClass]]:
    def register(store_class: type[StoreClass]) -> type[StoreClass]:
        name = f"Test{store_class.__name__}"
        module = store_class.__module__
        members = {"store_class": store_class, "example": store_class({}, ""), "__module__": module}
        vars(sys.modules[module])[name] = type(name, (author, contract), members)
        BROKEN[store_class.__name__] = test
        return store_class

    return register


@breaks(ValueTests, "test_changing_what_was_read_changes_nothing")
class SharesObjects(TextStore):
    def load(self, stored: bytes) -> ManagedEntry:
        return remembered(stored)


@breaks(ValueTests, "test_changing_a_value_after_its_put_changes_nothing")
class KeepsTheObjectOfTheCaller(TextStore):
    async def put(self, key: str, value: Mapping[str, Any], **options: Any) -> None:
        await super().put(key, value, **options)
        self.latest = {key: dict(value)}

    async def get_many(self, keys: Sequence[str], *, collection: str | None = None) -> list[dict[str, Any] | None]:
        found = await super().get_many(keys, collection=collection)
        return [self.latest.get(key, value) for key, value in zip(keys, found, strict=True)]


@breaks(ValueTests, "test_a_value_that_is_not_json_is_refused_with_its_path[key: integer]")
class StoresWhateverJsonTakes(TextStore):
    async def put(self, key: str, value: Mapping[str, Any], **options: Any) -> None:
        await super().put(key, json.loads(json.dumps(value)), **options)


@breaks(ValueTests, "test_a_refused_value_leaves_the_earlier_one[datetime]")
class RemovesBeforeItChecks(TextStore):
    async def put(self, key: str, value: Mapping[str, Any], **options: Any) -> None:
        await self.delete(key)
        await super().put(key, value, **options)


@breaks(ValueTests, "test_a_value_comes_back_as_it_was[integers over 64 bits]")
class ReadsNumbersAsFloats(TextStore):
    def load(self, stored: bytes) -> ManagedEntry:
        entry = load_entry(stored)
        return ManagedEntry(value=json.loads(entry.value_as_json, parse_int=float), expires_at=entry.expires_at)


@breaks(ValueTests, "test_a_value_comes_back_as_it_was[objects and numbers in one array]")
class RefusesMixedArrays(TextStore):
    async def _put_managed_entry(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        for part in managed_entry.value.values():
            if isinstance(part, list) and len({type(each) for each in cast("list[object]", part)}) > 1:
                raise KeyValueStoreError
        await super()._put_managed_entry(collection=collection, key=key, managed_entry=managed_entry)


@breaks(ValueTests, "test_a_value_over_the_limit_of_the_backend_is_refused")
class CutsLongValues(TextStore):
    async def _put_managed_entry(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        self.server[self.name(collection, key)] = dump_entry(managed_entry)[:1_000_000]


@breaks(NameTests, "test_pairs_that_join_to_the_same_text_are_different_entries")
class JoinsNamesNaively(TextStore):
    def name(self, collection: str, key: str) -> str:
        return f"{collection}::{key}"


@breaks(NameTests, "test_keys_that_look_alike_are_different_entries")
class FoldsCase(TextStore):
    def name(self, collection: str, key: str) -> str:
        return join_names(collection, key.lower())


@breaks(NameTests, "test_collections_that_look_alike_are_different")
class NormalizesCollections(TextStore):
    def name(self, collection: str, key: str) -> str:
        return join_names(unicodedata.normalize("NFC", collection), key)


@breaks(NameTests, "test_keys_come_back_from_enumeration_unchanged")
class ListsStoredNames(TextStore):
    def live(self) -> list[tuple[str, str]]:
        return [(collection, quote(key)) for collection, key in super().live()]


@breaks(NameTests, "test_names_of_64_kib_work[n]")
class RefusesLongNames(TextStore):
    def name(self, collection: str, key: str) -> str:
        if len(collection + key) > 1000:
            raise InvalidKeyError
        return super().name(collection, key)


@breaks(NameTests, "test_an_invalid_key_is_refused[get-empty]")
class FindsNothingUnderInvalidKeys(TextStore):
    async def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
        return await super().get(key, collection=collection) if key else None


@breaks(ExpiryTests, "test_an_entry_lives_its_ttl_to_the_end[91.9]")
class TruncatesTheTtl(TextStore):
    async def put(self, key: str, value: Mapping[str, Any], *, ttl: Any = None, **options: Any) -> None:
        await super().put(key, value, ttl=int(ttl) if ttl else ttl, **options)


@breaks(ExpiryTests, "test_an_expired_entry_is_none_at_once[90]")
class NeverLooksAtTheExpiry(TextStore):
    def load(self, stored: bytes) -> ManagedEntry:
        return ManagedEntry(value=load_entry(stored).value)


@breaks(ExpiryTests, "test_a_put_without_ttl_clears_the_earlier_one")
class KeepsTheEarlierTtl(TextStore):
    async def _put_managed_entry(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        before = self.server.get(self.name(collection, key))
        if before is not None and managed_entry.expires_at is None:
            managed_entry.expires_at = load_entry(before).expires_at
        await super()._put_managed_entry(collection=collection, key=key, managed_entry=managed_entry)


@breaks(ExpiryTests, "test_an_invalid_ttl_is_refused[infinity]")
class TakesInfinityForForever(TextStore):
    async def put(self, key: str, value: Mapping[str, Any], *, ttl: Any = None, **options: Any) -> None:
        await super().put(key, value, ttl=None if ttl == float("inf") else ttl, **options)


@breaks(ExpiryTests, "test_deleting_an_expired_entry_deletes_nothing")
class DeletesWhatHasExpired(TextStore):
    async def _delete_managed_entry(self, *, collection: str, key: str) -> bool:
        return self.server.pop(self.name(collection, key), None) is not None


@breaks(ExpiryTests, "test_the_backend_removes_an_expired_entry")
class NeverRemovesWhatHasExpired(ExpiringTextStore):
    def remove(self, name: str, put: bytes) -> None:
        pass


@breaks(ExpiryTests, "test_the_backends_own_expiry_is_not_early")
class RoundsItsExpiryDown(ExpiringTextStore):
    def rounded(self, ttl: float) -> float:
        return int(ttl)


@breaks(BatchTests, "test_values_come_in_the_order_of_the_keys")
class AnswersInItsOwnOrder(TextStore):
    async def _get_managed_entries(self, *, collection: str, keys: Sequence[str]) -> list[ManagedEntry | None]:
        return await super()._get_managed_entries(collection=collection, keys=sorted(keys))


@breaks(BatchTests, "test_a_batch_counts_the_entries_it_deleted")
class CountsKeysInsteadOfEntries(TextStore):
    async def _delete_managed_entries(self, *, collection: str, keys: Sequence[str]) -> int:
        await super()._delete_managed_entries(collection=collection, keys=keys)
        return len(keys)


@breaks(BatchTests, "test_an_empty_batch_does_no_io")
class OpensForNothing(TextStore):
    async def get_many(self, keys: Sequence[str], *, collection: str | None = None) -> list[dict[str, Any] | None]:
        await asyncio.sleep(0)
        return await super().get_many(keys, collection=collection)


@breaks(BatchTests, "test_a_refused_batch_stores_none_of_its_entries")
class ChecksOneAfterTheOther(TextStore):
    async def put_many(self, keys: Sequence[str], values: Sequence[Any], **options: Any) -> None:
        for key, value in zip(keys, values, strict=True):
            await self.put(key, value, **options)


@breaks(BatchTests, "test_keys_that_are_not_a_sequence_of_str_are_a_type_error[get_many-str]")
class TakesAStrForKeys(TextStore):
    async def get_many(self, keys: Sequence[str], *, collection: str | None = None) -> list[dict[str, Any] | None]:
        return await super().get_many(list(keys), collection=collection)


@breaks(EnumerationTests, "test_keys_is_complete_however_many_there_are")
class StopsAt10000(TextStore):
    async def _get_collection_keys(self, *, collection: str, limit: int | None = None) -> list[str]:
        return (await super()._get_collection_keys(collection=collection, limit=limit))[:10_000]


@breaks(EnumerationTests, "test_a_limit_is_honoured_exactly[keys-1-1]")
class RoundsTheLimitToPages(TextStore):
    async def _get_collection_keys(self, *, collection: str, limit: int | None = None) -> list[str]:
        return await super()._get_collection_keys(collection=collection, limit=limit and limit + 3)


@breaks(EnumerationTests, "test_keys_takes_no_name_for_a_pattern")
class TakesACollectionForAPattern(TextStore):
    async def _get_collection_keys(self, *, collection: str, limit: int | None = None) -> list[str]:
        return [key for owner, key in self.live() if fnmatch.fnmatch(owner, collection)][:limit]


@breaks(EnumerationTests, "test_an_expired_entry_is_not_listed[keys]")
class ListsExpiredEntries(TextStore):
    def live(self) -> list[tuple[str, str]]:
        return [pair for name in self.server if (pair := split_names(name))]


@breaks(DestructionTests, "test_destroy_leaves_what_others_wrote")
class FlushesTheServer(TextStore):
    async def _delete_store(self) -> bool:
        self.server.clear()
        return True


@breaks(DestructionTests, "test_destroying_a_collection_leaves_those_that_look_alike[shelf]")
class DestroysByPrefix(TextStore):
    async def _delete_collection(self, *, collection: str) -> bool:
        for name in [name for name in self.server if name.startswith(collection)]:
            del self.server[name]
        return True


@breaks(DestructionTests, "test_a_destroyed_collection_is_usable")
class ForgetsToPrepareAgain(TextStore):
    async def _setup(self) -> None:
        self.tables: set[str] = set()

    async def _setup_collection(self, *, collection: str) -> None:
        self.tables.add(collection)

    async def destroy_collection(self, collection: str) -> bool:
        destroyed = await super().destroy_collection(collection)
        self._preparing._done.add(collection)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] — the defect
        self.tables.remove(collection)
        return destroyed

    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
        if collection not in self.tables:
            raise KeyError(collection)
        return await super()._get_managed_entry(collection=collection, key=key)


@breaks(LifecycleTests, "test_one_event_loop_after_another_uses_the_store")
class BelongsToTheLoopThatOpenedIt(TextStore):
    async def _setup(self) -> None:
        self.loop = asyncio.get_running_loop()

    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
        await asyncio.wait_for(self.loop.create_future(), 0.01)
        return await super()._get_managed_entry(collection=collection, key=key)


@breaks(LifecycleTests, "test_fifty_concurrent_first_uses_open_once")
class OpensForEveryone(TextStore):
    async def _open(self) -> None:
        await self._setup()


@breaks(LifecycleTests, "test_a_failed_open_is_tried_again")
class RemembersThatItFailed(TextStore):
    async def _open(self) -> None:
        if "failure" in self.__dict__:
            raise self.failure
        try:
            await super()._open()
        except Exception as error:
            self.failure = error
            raise


@breaks(LifecycleTests, "test_a_closed_store_finds_its_entries_at_the_next_use")
class StaysClosed(ClosingStore):
    pass


@breaks(LifecycleTests, "test_a_reopened_store_is_usable")
class FailsEveryCall(TextStore):
    async def _setup(self) -> None:
        raise KeyValueStoreError


@breaks(LifecycleTests, "test_a_store_that_does_not_reopen_refuses_every_use", ClosingAuthor)
class AnswersWhenClosed(ClosingStore):
    async def ttl_many(
        self, keys: Sequence[str], *, collection: str | None = None
    ) -> list[tuple[dict[str, Any] | None, float | None]]:
        del collection
        return [(None, None) for _ in keys]


@breaks(LifecycleTests, "test_the_event_loop_runs_on_while_a_durable_store_writes")
class BlocksTheEventLoop(TextStore):
    async def _put_managed_entry(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        self.server[self.name(collection, key)] = dump_entry(managed_entry)


@breaks(LifecycleTests, "test_a_durable_store_finds_its_entries_again")
class KeepsEntriesToItself(TextStore):
    def __init__(self, server: dict[str, bytes], password: str) -> None:
        del server
        super().__init__({}, password)


@breaks(LifecycleTests, "test_a_store_is_always_true")
class IsFalseWhenEmpty(TextStore):
    def __len__(self) -> int:
        return len(self.server)


@breaks(LifecycleTests, "test_a_repr_shows_no_secret")
class ShowsItsPassword(TextStore):
    def __repr__(self) -> str:
        return f"ShowsItsPassword(password={self.password!r})"


@breaks(CorruptionTests, "test_what_is_not_an_object_is_corrupt[get-truncated]")
class TakesCorruptionForAbsence(TextStore):
    def load(self, stored: bytes) -> ManagedEntry | None:
        try:
            return load_entry(stored)
        except DeserializationError:
            return None


@breaks(CorruptionTests, "test_what_is_not_an_object_is_corrupt[get-truncated]")
class LeaksTheParsersError(TextStore):
    def load(self, stored: bytes) -> ManagedEntry:
        return ManagedEntry(value=json.loads(stored)["value"])


@breaks(CorruptionTests, "test_a_stored_pickle_is_never_loaded[4]")
class UnpicklesWhatItFinds(TextStore):
    def load(self, stored: bytes) -> ManagedEntry:
        return load_entry(stored if stored.startswith(b"{") else pickle.loads(stored))  # noqa: S301


@breaks(CorruptionTests, "test_a_corrupt_entry_can_be_deleted[text]")
class ReadsBeforeItDeletes(TextStore):
    async def _delete_managed_entry(self, *, collection: str, key: str) -> bool:
        await self._get_managed_entry(collection=collection, key=key)
        return await super()._delete_managed_entry(collection=collection, key=key)


@breaks(CorruptionTests, "test_a_corrupt_entry_is_left_for_someone_to_look_at")
class RemovesWhatIsCorrupt(TextStore):
    async def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
        try:
            return await super().get(key, collection=collection)
        except DeserializationError:
            await self.delete(key, collection=collection)
            raise


@breaks(CorruptionTests, "test_the_entry_of_another_key_is_never_returned")
class TrustsTheStoredName(TextStore):
    def load(self, stored: bytes) -> ManagedEntry:
        entry = load_entry(stored)
        return ManagedEntry(value=entry.value, expires_at=entry.expires_at)


@breaks(ConcurrencyTests, "test_a_put_cancelled_in_the_middle_leaves_the_old_or_the_new_value[2]")
class WritesInTwoParts(TextStore):
    async def _put_managed_entry(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        stored = dump_entry(managed_entry)
        self.server[self.name(collection, key)] = stored[: len(stored) // 2]
        await asyncio.sleep(0)
        await super()._put_managed_entry(collection=collection, key=key, managed_entry=managed_entry)


@breaks(ConcurrencyTests, "test_concurrent_calls_of_every_kind_do_not_mix_answers")
class MixesAnswers(TextStore):
    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
        self.asked = self.name(collection, key)
        await asyncio.sleep(0)
        stored = self.server.get(self.asked)
        return None if stored is None else ManagedEntry(value=load_entry(stored).value)
