"""Iteration over keys and entries of any store that scans or lists."""

from __future__ import annotations

from typing import Any

import pytest
from key_value.aio.core.iteration import Entry, iterate_entries, iterate_keys
from key_value.aio.errors import InvalidKeyError
from key_value.aio.protocols import KeyPage
from key_value.aio.stores.base import BaseScanStore, ManagedEntry
from key_value.aio.stores.memory import MemoryStore
from key_value.aio.stores.null import NullStore
from key_value.aio.testing import FakeClock
from key_value.aio.testing.inner_stores import ForeignStore


class PagedStore(BaseScanStore):
    """Returns pages in key order and records the requests."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.entries: dict[str, ManagedEntry] = {}
        self.pages: list[tuple[str, str | None, int]] = []
        self.reads: list[int] = []

    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:  # noqa: ARG002 — there is one
        return self.entries.get(key)

    async def _get_managed_entries(self, *, collection: str, keys: Any) -> list[ManagedEntry | None]:  # noqa: ARG002
        self.reads.append(len(keys))
        return [self.entries.get(key) for key in keys]

    async def _put_managed_entry(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> None:  # noqa: ARG002
        self.entries[key] = managed_entry

    async def _delete_managed_entry(self, *, collection: str, key: str) -> bool:  # noqa: ARG002
        return self.entries.pop(key, None) is not None

    async def _get_key_page(self, *, collection: str, prefix: str, cursor: str | None, limit: int) -> KeyPage:  # noqa: ARG002
        self.pages.append((prefix, cursor, limit))
        keys = sorted(key for key in self.entries if key.startswith(prefix) and key > (cursor or ""))
        return KeyPage(keys[:limit], keys[limit - 1] if len(keys) > limit else None)


async def filled(count: int, **options: Any) -> PagedStore:
    store = PagedStore(**options)
    await store.put_many([f"{number:03}" for number in range(count)], [{"n": number} for number in range(count)])
    return store


async def test_keys_come_page_by_page() -> None:
    store = await filled(10)
    assert [key async for key in iterate_keys(store, page_size=4)] == [f"{number:03}" for number in range(10)]
    assert store.pages == [("", None, 4), ("", "003", 4), ("", "007", 4)]


async def test_entries_are_read_a_page_at_a_time_with_their_remaining_ttl() -> None:
    with FakeClock() as clock:
        store = await filled(5)
        await store.put("002", {"n": "two"}, ttl=10)
        clock.advance(3)
        entries = [entry async for entry in iterate_entries(store, page_size=2)]
    assert entries[1:3] == [Entry("001", {"n": 1}, None), Entry("002", {"n": "two"}, 7)]
    assert (len(entries), store.reads) == (5, [2, 2, 1])


async def test_a_prefix_is_pushed_down_if_names_are_stored_unchanged() -> None:
    store = await filled(120)
    assert [key async for key in iterate_keys(store, prefix="01")] == [f"01{number}" for number in range(10)]
    assert store.pages == [("01", None, 1000)]


async def test_a_store_that_only_lists_is_listed_once_and_read_in_batches() -> None:
    class Listing(ForeignStore):
        def __init__(self) -> None:
            super().__init__()
            self.reads: list[int] = []

        async def keys(self, collection: str | None = None, *, limit: int | None = None) -> list[str]:
            return [name for owner, name in self.names() if owner == collection][:limit]

        def names(self) -> list[tuple[str | None, str]]:
            return [("shelf", "a1"), ("shelf", "a2"), ("shelf", "b"), ("other", "a3")]

        async def ttl_many(self, keys: Any, *, collection: str | None = None) -> list[Any]:
            self.reads.append(len(keys))
            return [({"key": key, "collection": collection}, None) for key in keys]

    store = Listing()
    assert [key async for key in iterate_keys(store, "shelf", prefix="a")] == ["a1", "a2"]
    found = [entry.key async for entry in iterate_entries(store, "shelf", page_size=2)]
    assert (found, store.reads) == (["a1", "a2", "b"], [2, 1])


async def test_a_store_that_holds_all_names_in_memory_is_still_read_in_batches() -> None:
    store = MemoryStore()
    await store.put_many([str(number) for number in range(10)], [{"n": number} for number in range(10)])
    assert len([entry async for entry in iterate_entries(store, page_size=3)]) == 10


async def test_an_entry_deleted_meanwhile_is_left_out() -> None:
    store = await filled(3)
    found: list[str] = []
    async for key, _, _ in iterate_entries(store, page_size=1):
        found.append(key)
        await store.delete("001")
    assert found == ["000", "002"]


async def test_a_store_that_cannot_list_says_which_protocols_are_missing() -> None:
    with pytest.raises(TypeError, match=r"NullStore\(\) satisfies neither AsyncScanProtocol nor AsyncEnumerateKeys"):
        await anext(iterate_keys(NullStore()))


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"page_size": 0}, ValueError),
        ({"page_size": -1}, ValueError),
        ({"page_size": "10"}, TypeError),
        ({"prefix": 1}, TypeError),
        ({"prefix": "\ud800"}, InvalidKeyError),
    ],
    ids=str,
)
async def test_wrong_arguments_are_refused_before_any_request(options: Any, error: type[Exception]) -> None:
    store = await filled(1)
    with pytest.raises(error):
        await anext(iterate_entries(store, **options))
    assert store.pages == []
