"""The base classes of scanning and versioned stores: behaviour around their hooks."""

from __future__ import annotations

import re
from typing import Any

import pytest
from key_value.aio.core.marks import marked, unmarked
from key_value.aio.core.sanitization import AlwaysHashStrategy, HybridSanitizationStrategy
from key_value.aio.errors import InvalidKeyError, InvalidTTLError, KeyValueStoreError, SerializationError
from key_value.aio.protocols import KeyPage
from key_value.aio.stores.base import BaseEnumerateKeysStore, BaseScanStore, ManagedEntry
from key_value.aio.stores.memory import MemoryStore
from key_value.aio.stores.simple import SimpleStore
from key_value.aio.testing.inner_stores import PlainStore


class DictStore(BaseScanStore):
    """Pages of one key, in the order of their storage names."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.entries: dict[tuple[str, str], ManagedEntry] = {}
        self.prefixes: list[str] = []

    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
        return self.entries.get((collection, key))

    async def _put_managed_entry(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        self.entries[collection, key] = managed_entry

    async def _delete_managed_entry(self, *, collection: str, key: str) -> bool:
        return self.entries.pop((collection, key), None) is not None

    async def _get_key_page(self, *, collection: str, prefix: str, cursor: str | None, limit: int) -> KeyPage:  # noqa: ARG002 — one
        self.prefixes.append(prefix)
        keys = sorted(key for owner, key in self.entries if owner == collection and key > (cursor or ""))
        return KeyPage([key for key in keys[:1] if key.startswith(prefix)], keys[0] if len(keys) > 1 else None)


async def filled(**options: Any) -> DictStore:
    store = DictStore(**options)
    await store.put_many(["a 1", "a 2", "b"], [{"n": 1}, {"n": 2}, {"n": 3}], collection="shelf")
    return store


async def test_a_scan_continues_from_its_cursor() -> None:
    store = await filled()
    first = await store.scan("shelf", limit=1)
    second = await store.scan("shelf", cursor=first.cursor, limit=1)
    third = await store.scan("shelf", cursor=second.cursor, limit=1)
    assert [page.keys for page in (first, second, third)] == [["a 1"], ["a 2"], ["b"]]
    assert third.cursor is None


async def test_a_cursor_continues_in_another_store_object() -> None:
    cursor = (await (await filled()).scan("shelf")).cursor
    assert (await (await filled()).scan("shelf", cursor=cursor)).keys == ["a 2"]


async def test_keys_returns_the_keys_of_all_pages() -> None:
    store = await filled()
    assert await store.keys("shelf") == ["a 1", "a 2", "b"]
    assert await store.keys("shelf", limit=2) == ["a 1", "a 2"]


async def test_a_cursor_of_another_scan_is_refused() -> None:
    store = await filled()
    cursor = (await store.scan("shelf")).cursor
    scans: list[tuple[str, dict[str, Any]]] = [
        ("other", {"cursor": cursor}),
        ("shelf", {"cursor": cursor, "prefix": "a"}),
        ("shelf", {"cursor": ""}),
        ("shelf", {"cursor": "a 1"}),
    ]
    for collection, options in scans:
        with pytest.raises(ValueError, match="cursor does not come from a scan of this collection and prefix"):
            await store.scan(collection, **options)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"limit": 0}, ValueError),
        ({"limit": -1}, ValueError),
        ({"limit": 1.5}, TypeError),
        ({"limit": None}, ValueError),
        ({"prefix": None}, TypeError),
        ({"prefix": b"a"}, TypeError),
        ({"prefix": "\ud800"}, InvalidKeyError),
        ({"cursor": 5}, TypeError),
    ],
    ids=str,
)
async def test_wrong_arguments_of_a_scan_are_refused(options: Any, error: type[Exception]) -> None:
    store = await filled()
    with pytest.raises(error):
        await store.scan("shelf", **options)
    assert store.prefixes == []


async def test_a_prefix_is_not_pushed_down_if_names_are_stored_encoded() -> None:
    class Escaping(HybridSanitizationStrategy):
        def try_unsanitize(self, value: str) -> str | None:
            return re.sub(r"^S_(a)_(\d)-\w+$", r"\1 \2", value)

    store = await filled(key_sanitization_strategy=Escaping(allowed_characters="ab123"))
    assert await store.keys("shelf") == ["a 1", "a 2", "b"]
    page = await store.scan("shelf", prefix="a ")
    assert (page.keys, set(store.prefixes)) == (["a 1"], {""})


async def test_names_that_cannot_be_restored_cannot_be_scanned() -> None:
    store = await filled(key_sanitization_strategy=AlwaysHashStrategy())
    with pytest.raises(KeyValueStoreError, match="AlwaysHashStrategy cannot restore the names"):
        await store.scan("shelf")


async def test_a_store_with_the_listing_hook_of_earlier_versions_scans_in_one_page() -> None:
    class Earlier(PlainStore, BaseEnumerateKeysStore):
        async def _get_collection_keys(self, *, collection: str, limit: int | None = None) -> list[str]:
            return [key for owner, key in self.entries if owner == collection][:limit]

    store = Earlier()
    await store.put_many(["a", "b"], [{"n": 1}] * 2)
    assert await store.scan(limit=1) == (["a", "b"], None)
    assert await store.scan(prefix="b") == (["b"], None)
    assert await store.keys(limit=1) == ["a"]


async def test_keys_repeated_between_pages_are_returned_once() -> None:
    class Repeating(DictStore):
        scan_repeats = True

        async def _get_key_page(self, *, collection: str, prefix: str, cursor: str | None, limit: int) -> KeyPage:
            page = await super()._get_key_page(collection=collection, prefix=prefix, cursor=cursor, limit=limit)
            return KeyPage(["b", *page.keys], page.cursor)

    store = Repeating()
    await store.put_many(["a", "b", "c"], [{"n": 1}] * 3)
    assert sorted(await store.keys()) == ["a", "b", "c"]
    assert len(await store.keys(limit=2)) == 2


@pytest.mark.parametrize("store", [MemoryStore(), SimpleStore()], ids=repr)
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("key", {"n": 1}, ""), ValueError),
        (("key", {"n": 1}, "nonsense"), ValueError),
        (("key", {"n": 1}, 7), TypeError),
        (("", {"n": 1}, None), InvalidKeyError),
        (("key", {"n": object()}, None), SerializationError),
        (("key", "text", None), TypeError),
    ],
    ids=str,
)
async def test_wrong_arguments_of_a_conditional_put_are_refused(
    store: Any, arguments: tuple[Any, ...], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await store.put_if_version(*arguments)
    assert await store.keys() == []


@pytest.mark.parametrize("store", [MemoryStore(), SimpleStore()], ids=repr)
async def test_a_version_of_another_entry_is_refused(store: Any) -> None:
    await store.put_many(["a", "b"], [{"n": 1}] * 2)
    version = (await store.get_versioned("a")).version
    for call in (store.put_if_version("b", {"n": 2}, version), store.delete_if_version("b", version)):
        with pytest.raises(ValueError, match="version does not come from get_versioned for this key"):
            await call
    with pytest.raises(ValueError, match="does not come from get_versioned for this key"):
        await store.put_if_version("a", {"n": 2}, version, collection="other")
    with pytest.raises(TypeError, match="version must be a str"):
        await store.delete_if_version("a", None)
    with pytest.raises(InvalidTTLError):
        await store.put_if_version("a", {"n": 2}, version, ttl=0)
    assert await store.get_many(["a", "b"]) == [{"n": 1}] * 2
    await store.destroy()


def test_a_marked_text_is_recognized_only_for_its_own_entry() -> None:
    text = marked("5", "users", "alice")
    assert unmarked(text, "users", "alice") == "5"
    assert [unmarked(text, "users", "bob"), unmarked("5", "users", "alice"), unmarked("", "a")] == [None] * 3
