"""Sound stores with pages and versions, and stores with one defect each. test_specimens.py runs this file too."""

from __future__ import annotations

import asyncio
import fnmatch
import json
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

from key_value.aio.core.marks import digest
from key_value.aio.errors import StoreSetupError
from key_value.aio.protocols import KeyPage
from key_value.aio.stores.base import BaseVersionedStore, Capabilities, ManagedEntry, VersionedEntry
from key_value.aio.testing import StoreTests
from key_value.aio.testing.batches import BatchTests
from key_value.aio.testing.concurrency import ConcurrencyTests
from key_value.aio.testing.conditional_writes import ConditionalWriteTests
from key_value.aio.testing.errors import ErrorTests
from key_value.aio.testing.iteration import IterationTests
from key_value.aio.testing.lifecycle import LifecycleTests
from key_value.aio.testing.put_if_absent import PutIfAbsentTests
from key_value.aio.testing.scan import ScanTests
from key_value.aio.testing.versioned import VersionedTests
from key_value.aio.testing.versioned_refusals import VersionRefusalTests
from specimens import Author, ExpiringTextStore, StoreClass, TextStore, breaks, expired

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from key_value.aio.core.driver_errors import DriverErrors
    from key_value.aio.testing.contract import StoreContract


class DriverError(Exception):
    pass


class VersionedTextStore(TextStore, BaseVersionedStore):
    """Keyset pages, and a digest of the stored data as the version."""

    capabilities = Capabilities(
        durable=True, max_value_bytes=1_000_000, atomic_put_many=True, atomic_delete=True, conditional_writes=True
    )
    driver_errors: ClassVar[DriverErrors] = {DriverError: StoreSetupError}
    is_broken = False

    async def _probe(self) -> None:
        self.reach()

    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
        self.reach()
        return await super()._get_managed_entry(collection=collection, key=key)

    async def _put_managed_entries(
        self, *, collection: str, keys: Sequence[str], managed_entries: Sequence[ManagedEntry]
    ) -> None:
        await asyncio.sleep(0)
        before = dict(self.server)
        try:
            for key, entry in zip(keys, managed_entries, strict=True):
                self.write(collection, key, entry)
        except Exception:
            self.server.clear()
            self.server.update(before)
            raise

    def write(self, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        self.reach()
        super().write(collection, key, managed_entry)

    async def _delete_managed_entry(self, *, collection: str, key: str) -> bool:
        self.reach()
        return await super()._delete_managed_entry(collection=collection, key=key)

    def live(self) -> list[tuple[str, str]]:
        self.reach()
        return super().live()

    async def _delete_store(self) -> bool:
        self.reach()
        return await super()._delete_store()

    async def _delete_collection(self, *, collection: str) -> bool:
        self.reach()
        return await super()._delete_collection(collection=collection)

    async def _cull(self) -> None:
        self.reach()
        await super()._cull()

    async def _get_key_page(self, *, collection: str, prefix: str, cursor: str | None, limit: int) -> KeyPage:
        await asyncio.sleep(0)
        after = None if cursor is None else self.position(cursor)
        keys = sorted(key for owner, key in self.live() if owner == collection and self.begins(key, prefix))
        page = [key for key in keys if after is None or key > after][:limit]
        return KeyPage(page, self.cursor_after(page[-1]) if page and page[-1] != keys[-1] else None)

    def begins(self, key: str, prefix: str) -> bool:
        return key.startswith(prefix)

    def cursor_after(self, key: str) -> str:
        return json.dumps(key)

    def position(self, cursor: str) -> str:
        position = json.loads(cursor)
        if not isinstance(position, str):
            message = "cursor is none"
            raise ValueError(message)  # noqa: TRY004 — the value is wrong, not the type
        return position

    async def _get_versioned_entry(self, *, collection: str, key: str) -> VersionedEntry | None:
        entry = await self._get_managed_entry(collection=collection, key=key)
        version = self.version(collection, key)
        return None if entry is None or version is None else VersionedEntry(entry, version)

    async def _put_managed_entry_if_version(
        self, *, collection: str, key: str, managed_entry: ManagedEntry, version: str | None
    ) -> bool:
        await asyncio.sleep(0)
        if self.version(collection, key) != version:
            return False
        self.write(collection, key, managed_entry)
        return True

    async def _delete_managed_entry_if_version(self, *, collection: str, key: str, version: str) -> bool:
        await asyncio.sleep(0)
        if self.version(collection, key) != version:
            return False
        del self.server[self.name(collection, key)]
        return True

    def version(self, collection: str, key: str) -> str | None:
        self.reach()
        stored = self.server.get(self.name(collection, key))
        return None if stored is None or expired(stored) else self.version_of(stored)

    def version_of(self, stored: bytes) -> str:
        return digest(stored)

    def reach(self) -> None:
        if self.is_broken:
            message = "hunter2"
            raise DriverError(message)


class VersionedAuthor(Author):
    store_class: type[TextStore] = VersionedTextStore

    async def break_backend(self, store: Any) -> None:
        store.is_broken = True


class TestVersionedTextStore(VersionedAuthor, StoreTests[TextStore]):
    example = VersionedTextStore({}, "")


class ExpiringVersionedStore(ExpiringTextStore, VersionedTextStore):
    capabilities = Capabilities(
        durable=True, native_expiry=True, expiry_resolution=0.01, atomic_delete=True, conditional_writes=True
    )


class TestExpiringVersionedStore(Author, ScanTests[TextStore], PutIfAbsentTests[TextStore], VersionedTests[TextStore]):
    store_class = ExpiringVersionedStore
    example = ExpiringVersionedStore({}, "")


class RefusingStore(VersionedTextStore):
    """Reports that its server does not enforce conditions."""

    capabilities = Capabilities(durable=True, atomic_delete=True)

    async def _put_managed_entry_if_version(
        self,
        *,
        collection: str,  # noqa: ARG002
        key: str,  # noqa: ARG002
        managed_entry: ManagedEntry,  # noqa: ARG002
        version: str | None,  # noqa: ARG002
    ) -> bool:
        message = "the server does not hold to conditions"
        raise StoreSetupError(message)


class TestRefusingStore(Author, PutIfAbsentTests[TextStore], VersionedTests[TextStore]):
    store_class = RefusingStore
    example = RefusingStore({}, "")


def fails(contract: type[StoreContract[Any]], test: str) -> Callable[[type[StoreClass]], type[StoreClass]]:
    return breaks(contract, test, VersionedAuthor)


# Batches, errors and probes


@fails(BatchTests, "test_a_batch_cancelled_in_the_middle_is_stored_as_a_whole_or_not_at_all")
class StoresBatchesOneByOne(VersionedTextStore):
    async def _put_managed_entries(
        self, *, collection: str, keys: Sequence[str], managed_entries: Sequence[ManagedEntry]
    ) -> None:
        for key, entry in zip(keys, managed_entries, strict=True):
            await self._put_managed_entry(collection=collection, key=key, managed_entry=entry)
            await asyncio.sleep(0)


@fails(BatchTests, "test_a_batch_that_the_backend_refuses_in_the_middle_stores_none")
class LeavesHalfABatch(VersionedTextStore):
    async def _put_managed_entries(
        self, *, collection: str, keys: Sequence[str], managed_entries: Sequence[ManagedEntry]
    ) -> None:
        for key, entry in zip(keys, managed_entries, strict=True):
            await self._put_managed_entry(collection=collection, key=key, managed_entry=entry)


@fails(BatchTests, "test_a_batch_with_a_value_over_the_limit_stores_none")
class StoresUntilAValueIsTooLarge(VersionedTextStore):
    async def _put_managed_entries(
        self, *, collection: str, keys: Sequence[str], managed_entries: Sequence[ManagedEntry]
    ) -> None:
        for key, entry in zip(keys, managed_entries, strict=True):
            self.write(collection, key, entry)


@fails(ErrorTests, "test_an_error_of_the_driver_comes_out_as_one_of_ours[get]")
class LeaksTheDriver(VersionedTextStore):
    driver_errors: ClassVar[DriverErrors] = {}


@fails(ErrorTests, "test_an_error_of_the_driver_comes_out_as_one_of_ours[scan]")
class LeaksTheDriverWhenItScans(VersionedTextStore):
    async def scan(self, collection: str | None = None, **options: Any) -> KeyPage:
        self.reach()
        return await super().scan(collection, **options)


@fails(ErrorTests, "test_an_error_of_the_driver_comes_out_as_one_of_ours[put]")
class TellsWhatTheDriverSays(VersionedTextStore):
    driver_errors: ClassVar[DriverErrors] = {DriverError: (StoreSetupError, str)}


@fails(ErrorTests, "test_setup_tells_that_the_backend_has_broken_since")
class ProbesNothing(VersionedTextStore):
    async def _probe(self) -> None:
        pass


@fails(ConcurrencyTests, "test_one_of_many_concurrent_deletes_finds_the_entry")
class LooksBeforeItDeletes(VersionedTextStore):
    async def _delete_managed_entry(self, *, collection: str, key: str) -> bool:
        entry = await self._get_managed_entry(collection=collection, key=key)
        await asyncio.sleep(0)
        self.server.pop(self.name(collection, key), None)
        return entry is not None


@fails(LifecycleTests, "test_every_setup_contacts_the_backend_and_a_use_is_spared_it")
class ProbesOnce(VersionedTextStore):
    async def setup(self) -> None:
        if not self._opening.done:
            await super().setup()


# Pages


@fails(ScanTests, "test_the_pages_have_every_key_of_the_collection_and_no_other[7]")
class ForgetsAKeyBetweenPages(VersionedTextStore):
    def position(self, cursor: str) -> str:
        return super().position(cursor) + "\0z"

    async def _get_key_page(self, *, collection: str, prefix: str, cursor: str | None, limit: int) -> KeyPage:
        page = await super()._get_key_page(collection=collection, prefix=prefix, cursor=cursor, limit=limit)
        return page if cursor is None else KeyPage(page.keys[1:], page.cursor)


@fails(ScanTests, "test_the_pages_have_every_key_of_the_collection_and_no_other[1]")
class RepeatsTheCursorForever(VersionedTextStore):
    async def _get_key_page(self, *, collection: str, prefix: str, cursor: str | None, limit: int) -> KeyPage:
        page = await super()._get_key_page(collection=collection, prefix=prefix, cursor=None, limit=limit)
        return KeyPage(page.keys, cursor or page.cursor)


@fails(ScanTests, "test_a_cursor_of_another_scan_is_refused[other-a]")
class AcceptsForeignCursors(VersionedTextStore):
    async def scan(
        self, collection: str | None = None, *, prefix: str = "", cursor: str | None = None, limit: int = 1000
    ) -> KeyPage:
        owner = collection or self.default_collection
        page = await self._get_key_page(
            collection=owner, prefix=prefix, cursor=None if cursor is None else cursor.partition("-")[2], limit=limit
        )
        return KeyPage(page.keys, None if page.cursor is None else f"mark-{page.cursor}")


@fails(ScanTests, "test_a_cursor_that_somebody_made_up_is_refused[text]")
class StartsAgainForAnyCursor(VersionedTextStore):
    async def scan(self, collection: str | None = None, **options: Any) -> KeyPage:
        try:
            return await super().scan(collection, **options)
        except ValueError:
            options["cursor"] = None
            return await super().scan(collection, **options)


@fails(ScanTests, "test_a_page_of_no_keys_is_refused[0]")
class TakesALimitOfNothing(VersionedTextStore):
    async def scan(self, collection: str | None = None, *, limit: int = 1000, **options: Any) -> KeyPage:
        return await super().scan(collection, limit=max(limit, 1), **options)


@fails(ScanTests, "test_a_prefix_is_taken_for_what_it_is[?]")
class TakesAPrefixForAGlob(VersionedTextStore):
    def begins(self, key: str, prefix: str) -> bool:
        return fnmatch.fnmatchcase(key, f"{prefix}*")


@fails(ScanTests, "test_a_prefix_is_taken_for_what_it_is[A]")
class FoldsTheCaseOfAPrefix(VersionedTextStore):
    def begins(self, key: str, prefix: str) -> bool:
        return key.lower().startswith(prefix.lower())


@fails(ScanTests, "test_a_key_that_stays_is_found_whatever_others_put_and_delete[7]")
class CountsInsteadOfRemembering(VersionedTextStore):
    async def _get_key_page(self, *, collection: str, prefix: str, cursor: str | None, limit: int) -> KeyPage:
        start = 0 if cursor is None else int(cursor)
        keys = [key for owner, key in self.live() if owner == collection and key.startswith(prefix)]
        end = start + limit
        return KeyPage(keys[start:end], str(end) if end < len(keys) else None)


@fails(ScanTests, "test_another_object_goes_on_where_a_page_ended")
class KeepsItsPlaceToItself(VersionedTextStore):
    def cursor_after(self, key: str) -> str:
        self.place = key
        return "here"

    def position(self, cursor: str) -> str:
        del cursor
        return getattr(self, "place", "z")


@fails(IterationTests, "test_iterating_gives_every_entry_with_its_value_and_ttl[7]")
class ForgetsTheTtlOfABatch(VersionedTextStore):
    async def ttl_many(
        self, keys: Sequence[str], *, collection: str | None = None
    ) -> list[tuple[dict[str, Any] | None, float | None]]:
        return [(value, None) for value in await self.get_many(keys, collection=collection)]


# Conditional writes


@fails(PutIfAbsentTests, "test_it_leaves_an_entry_and_its_ttl_as_they_are")
class PutsInAnyCase(VersionedTextStore):
    async def put_if_absent(self, key: str, value: Mapping[str, Any], **options: Any) -> bool:
        await self.put(key, value, **options)
        return True


@fails(ConditionalWriteTests, "test_one_of_many_tasks_stores")
class GetsThenPuts(VersionedTextStore):
    async def put_if_absent(self, key: str, value: Mapping[str, Any], **options: Any) -> bool:
        if await self.get(key, collection=options.get("collection")) is not None:
            return False
        await self.put(key, value, **options)
        return True


@fails(PutIfAbsentTests, "test_an_expired_entry_is_absent")
class TakesAnExpiredEntryForOne(VersionedTextStore):
    async def _put_managed_entry_if_absent(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> bool:
        if self.name(collection, key) in self.server:
            return False
        self.write(collection, key, managed_entry)
        return True


@fails(PutIfAbsentTests, "test_a_corrupt_entry_is_not_absent")
class TakesCorruptionForAbsenceWhenItPuts(VersionedTextStore):
    async def _put_managed_entry_if_absent(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> bool:
        if self.server.get(self.name(collection, key), b"").startswith(b"{"):
            return False
        self.write(collection, key, managed_entry)
        return True


@fails(VersionedTests, "test_every_write_changes_the_version[put of an equal value]")
class IgnoresEqualWrites(VersionedTextStore):
    def version_of(self, stored: bytes) -> str:
        return digest(json.dumps(json.loads(stored)["value"]))


@fails(VersionedTests, "test_a_write_in_between_is_noticed[delete and put]")
class CountsTheWritesOfAnEntry(VersionedTextStore):
    def __init__(self, server: dict[str, bytes], password: str) -> None:
        super().__init__(server, password)
        self.counts: Counter[str] = Counter()

    def write(self, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        super().write(collection, key, managed_entry)
        name = self.name(collection, key)
        self.counts[name] += 1
        self.server[name] = json.dumps({**json.loads(self.server[name]), "n": self.counts[name]}).encode()

    async def _delete_managed_entry(self, *, collection: str, key: str) -> bool:
        self.counts.pop(self.name(collection, key), None)
        return await super()._delete_managed_entry(collection=collection, key=key)

    def version_of(self, stored: bytes) -> str:
        return str(json.loads(stored).get("n"))


@fails(VersionedTests, "test_a_write_past_the_store_is_noticed")
class KeepsVersionsToItself(VersionedTextStore):
    def __init__(self, server: dict[str, bytes], password: str) -> None:
        super().__init__(server, password)
        self.versions: dict[str, str] = {}

    def write(self, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        super().write(collection, key, managed_entry)
        self.versions[self.name(collection, key)] = str(managed_entry.revision)

    def version(self, collection: str, key: str) -> str | None:
        name = self.name(collection, key)
        return self.versions.get(name) if name in self.server else None


@fails(VersionedTests, "test_an_expired_entry_is_none")
class HasVersionsOfWhatHasExpired(VersionedTextStore):
    def version(self, collection: str, key: str) -> str | None:
        stored = self.server.get(self.name(collection, key))
        return None if stored is None else self.version_of(stored)


@fails(VersionedTests, "test_a_conditional_write_sets_the_ttl_as_put_does")
class KeepsTheTtlOfAVersion(VersionedTextStore):
    async def put_if_version(self, key: str, value: Mapping[str, Any], version: str | None, **options: Any) -> bool:
        remaining = (await self.ttl(key, collection=options.get("collection")))[1]
        options.setdefault("ttl", remaining)
        return await super().put_if_version(key, value, version, **options)


@fails(VersionRefusalTests, "test_a_version_of_another_entry_is_refused[other-shelf]")
class TakesAnyVersion(VersionedTextStore):
    async def put_if_version(self, key: str, value: Mapping[str, Any], version: str | None, **options: Any) -> bool:
        with suppress(ValueError):
            return await super().put_if_version(key, value, version, **options)
        return False


@fails(VersionRefusalTests, "test_a_version_that_somebody_made_up_is_refused[empty]")
class TakesAnEmptyVersionForNone(VersionedTextStore):
    async def put_if_version(self, key: str, value: Mapping[str, Any], version: str | None, **options: Any) -> bool:
        return await super().put_if_version(key, value, version or None, **options)


@fails(ConditionalWriteTests, "test_increments_of_many_tasks_add_up")
class ComparesThenPuts(VersionedTextStore):
    async def _put_managed_entry_if_version(
        self, *, collection: str, key: str, managed_entry: ManagedEntry, version: str | None
    ) -> bool:
        if self.version(collection, key) != version:
            return False
        await self._put_managed_entry(collection=collection, key=key, managed_entry=managed_entry)
        return True


@fails(ConditionalWriteTests, "test_one_of_many_tasks_deletes_a_version")
class ComparesThenDeletes(VersionedTextStore):
    async def _delete_managed_entry_if_version(self, *, collection: str, key: str, version: str) -> bool:
        matches = self.version(collection, key) == version
        await self._delete_managed_entry(collection=collection, key=key)
        return matches
