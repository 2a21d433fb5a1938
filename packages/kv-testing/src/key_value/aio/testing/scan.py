"""Pages of keys: a scan finds every live key, with any page size, across store objects and concurrent writes."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from key_value.aio.core.names import MAX_NAME_BYTES
from key_value.aio.errors import InvalidKeyError
from key_value.aio.protocols import AsyncEnumerateKeysProtocol, AsyncScanProtocol, KeyPage
from key_value.aio.testing.clock import FakeClock
from key_value.aio.testing.contract import StoreContract, StoreT, ability, capabilities_of, eventually, store_keys
from key_value.aio.testing.names import INVALID_NAMES, NASTY_NAMES, each_invalid_name
from key_value.aio.testing.running import closing
from key_value.aio.testing.selection import declares, declares_no, helper, needs
from key_value.aio.testing.tables import for_each

__all__ = ["PREFIXES", "ScanTests", "pages", "scanned"]

# Empty pages are allowed: a backend may read many keys of other collections.
_MAX_PAGES = 10_000

_SIMILAR_NAMES = [
    "a",
    "a*",
    "a%",
    "a_",
    "a?",
    "a[",
    "a[b",
    "a\\",
    "a\\*",
    "a:",
    "a::",
    "a/",
    "ab",
    "a\0",
    "A",
    "a\U0010ffff",
    "b",
]

PREFIXES = [
    "a",
    "a*",
    "*",
    "%",
    "a%",
    "_",
    "a_",
    "?",
    "a?",
    "[",
    "[a",
    "\\",
    "a\\",
    "a::",
    ":",
    "/",
    ".",
    "'",
    "\0",
    "a\0",
    "é",
    "e\u0301",
    "cafe",
    "🌍",
    "\U0010ffff",
    "A",
    " ",
    "$",
    "^",
    "n" * 300,
    "absent",
]

INVALID_PREFIXES = {name: prefix for name, prefix in INVALID_NAMES.items() if prefix}

MADE_UP = {
    "empty": "",
    "text": "made up",
    "number": "0",
    "NUL": "\0",
    "long": "x" * 100_000,
    "lone surrogate": "\ud800",
}

Make = Callable[[int], str]


async def pages(store: AsyncScanProtocol, collection: str | None = "shelf", **options: Any) -> list[KeyPage]:
    """Return all pages of a scan."""
    found = [await store.scan(collection, **options)]
    while found[-1].cursor is not None:
        assert len(found) < _MAX_PAGES, f"the scan has not ended after {_MAX_PAGES} pages"
        found.append(await store.scan(collection, cursor=found[-1].cursor, **options))
    return found


async def scanned(store: AsyncScanProtocol, collection: str | None = "shelf", **options: Any) -> set[str]:
    return {key for page in await pages(store, collection, **options) for key in page.keys}


class ScanTests(StoreContract[StoreT], needs=(AsyncScanProtocol,)):
    async def test_a_scan_of_an_empty_collection_ends_and_finds_nothing(self, store: StoreT) -> None:
        scannable = ability(store, AsyncScanProtocol)
        await store.put("a", {"n": 1}, collection="other")
        found = await pages(scannable)
        assert [page.keys for page in found] == [[] for _ in found]
        assert found[-1].cursor is None

    @for_each("limit", [1, 7, 1000, 10**9])
    async def test_the_pages_have_every_key_of_the_collection_and_no_other(self, store: StoreT, limit: int) -> None:
        scannable = ability(store, AsyncScanProtocol)
        keys = [f"key {number}" for number in range(50)]
        await store_keys(store, keys, "shelf")
        await store_keys(store, ["other"], "shelf2")
        found = await pages(scannable, limit=limit)
        assert {key for page in found for key in page.keys} == set(keys)
        for page in found:
            assert isinstance(page, KeyPage)
            assert isinstance(page.keys, list)
            assert page.cursor is None or isinstance(page.cursor, str)

    async def test_a_scan_without_arguments_starts_in_the_default_collection(self, store: StoreT) -> None:
        scannable = ability(store, AsyncScanProtocol)
        await store.put("a", {"n": 1})
        await store.put("b", {"n": 1}, collection="shelf")
        assert await scanned(scannable, None) == {"a"}
        assert (await scannable.scan(collection="absent")).keys == []

    @needs(AsyncEnumerateKeysProtocol)
    async def test_keys_lists_once_what_the_pages_have(self, store: StoreT) -> None:
        scannable = ability(store, AsyncScanProtocol)
        keys = [f"key {number}" for number in range(50)]
        await store_keys(store, keys, "shelf")
        await store.put("key 7", {"n": 2}, collection="shelf")
        await store.delete("key 8", collection="shelf")
        listed = await ability(store, AsyncEnumerateKeysProtocol).keys("shelf")
        assert len(set(listed)) == len(listed)
        assert set(listed) == await scanned(scannable, limit=7) == set(keys) - {"key 8"}

    async def test_a_scan_finds_every_key_however_many_there_are(self, store: StoreT) -> None:
        scannable = ability(store, AsyncScanProtocol)
        keys = [f"key {number}" for number in range(self.many_keys)]
        await store_keys(store, keys, "shelf")
        assert await scanned(scannable) == set(keys)
        assert await scanned(scannable, prefix="key 10") == {key for key in keys if key.startswith("key 10")}

    @for_each("limit", [1, 7, 1000])
    async def test_names_that_look_alike_come_back_unchanged(self, store: StoreT, limit: int) -> None:
        scannable = ability(store, AsyncScanProtocol)
        names = self.enumerable(store, NASTY_NAMES)
        await store_keys(store, names, "shelf")
        assert await scanned(scannable, limit=limit) == set(names)

    async def test_a_scan_takes_no_collection_for_a_pattern(self, store: StoreT) -> None:
        scannable = ability(store, AsyncScanProtocol)
        for collection in _SIMILAR_NAMES:
            await store.put(f"of {collection}", {"n": 1}, collection=collection)
        found = {collection: await scanned(scannable, collection) for collection in _SIMILAR_NAMES}
        assert found == {collection: {f"of {collection}"} for collection in _SIMILAR_NAMES}

    @for_each("prefix", PREFIXES)
    async def test_a_prefix_is_taken_for_what_it_is(self, store: StoreT, prefix: str) -> None:
        scannable = ability(store, AsyncScanProtocol)
        keys = list(dict.fromkeys([*_SIMILAR_NAMES, *self.enumerable(store, NASTY_NAMES)]))
        await store_keys(store, keys, "shelf")
        expected = {key for key in keys if key.startswith(prefix)}
        assert await scanned(scannable, prefix=prefix) == expected
        assert await scanned(scannable, prefix=prefix, limit=7) == expected

    async def test_an_empty_prefix_is_that_of_every_key(self, store: StoreT) -> None:
        scannable = ability(store, AsyncScanProtocol)
        await store_keys(store, _SIMILAR_NAMES, "shelf")
        assert await scanned(scannable, prefix="") == set(_SIMILAR_NAMES)

    @needs(helper("reopen"))
    async def test_another_object_goes_on_where_a_page_ended(self, store: StoreT) -> None:
        scannable = ability(store, AsyncScanProtocol)
        keys = {f"key {number}" for number in range(50)}
        await store_keys(store, sorted(keys), "shelf")
        other = self.reopen(store)
        async with closing(other):
            objects = [ability(other, AsyncScanProtocol), scannable]
            found = [await scannable.scan("shelf", limit=7)]
            while found[-1].cursor is not None and len(found) < _MAX_PAGES:
                found.append(await objects[len(found) % 2].scan("shelf", cursor=found[-1].cursor, limit=7))
        assert {key for page in found for key in page.keys} == keys

    @for_each("cursor", MADE_UP)
    async def test_a_cursor_that_somebody_made_up_is_refused(self, store: StoreT, cursor: str) -> None:
        await store_keys(store, ["a", "b"], "shelf")
        with pytest.raises(ValueError, match="cursor"):
            await ability(store, AsyncScanProtocol).scan("shelf", cursor=cursor)

    @for_each(("collection", "prefix"), [("other", "a"), (None, "a"), ("shelf", ""), ("shelf", "b"), ("shelf", "aa")])
    async def test_a_cursor_of_another_scan_is_refused(
        self, store: StoreT, collection: str | None, prefix: str
    ) -> None:
        scannable = ability(store, AsyncScanProtocol)
        cursor = await self._cursor(store, "a")
        with pytest.raises(ValueError, match="cursor"):
            await scannable.scan(collection, prefix=prefix, cursor=cursor)

    async def test_a_damaged_cursor_is_refused_or_a_position(self, store: StoreT) -> None:
        scannable = ability(store, AsyncScanProtocol)
        cursor = await self._cursor(store, "a")
        damaged = [cursor[:end] for end in range(len(cursor))] + [
            cursor + end for end in ("x", "\0", ":", "é", "🌍", "-1")
        ]
        for each in damaged:
            with suppress(ValueError):
                page = await scannable.scan("shelf", prefix="a", cursor=each)
                assert [key for key in page.keys if not key.startswith("a")] == []

    @for_each("limit", [0, -1])
    async def test_a_page_of_no_keys_is_refused(self, store: StoreT, limit: int) -> None:
        with pytest.raises(ValueError, match="limit"):
            await ability(store, AsyncScanProtocol).scan("shelf", limit=limit)

    @each_invalid_name
    async def test_an_invalid_collection_is_not_scanned(self, store: StoreT, name: str) -> None:
        with pytest.raises(InvalidKeyError):
            await ability(store, AsyncScanProtocol).scan(name)

    @for_each("prefix", INVALID_PREFIXES)
    async def test_a_prefix_that_no_key_can_have_is_refused(self, store: StoreT, prefix: str) -> None:
        with pytest.raises(InvalidKeyError):
            await ability(store, AsyncScanProtocol).scan("shelf", prefix=prefix)

    async def test_a_key_of_64_kib_has_a_prefix_like_any_other(self, store: StoreT) -> None:
        limit = capabilities_of(store).max_key_bytes
        if self.max_name_bytes < MAX_NAME_BYTES or (limit is not None and limit < MAX_NAME_BYTES):
            pytest.skip(f"{type(store).__name__} limits max_key_bytes or max_name_bytes to less than {MAX_NAME_BYTES}")
        scannable = ability(store, AsyncScanProtocol)
        longest = "n" * MAX_NAME_BYTES
        await store_keys(store, ["n", longest], "shelf")
        assert await scanned(scannable, prefix=longest) == {longest}
        assert await scanned(scannable, prefix=longest[:-1], limit=1) == {longest}

    @for_each(
        "options",
        [
            {"prefix": None},
            {"prefix": 7},
            {"prefix": b"a"},
            {"cursor": 7},
            {"cursor": b"a"},
            {"limit": "5"},
            {"limit": 1.5},
            {"limit": True},
            {"collection": 7},
            {"collection": b"shelf"},
        ],
    )
    async def test_an_argument_of_a_wrong_type_is_a_type_error(self, store: StoreT, options: dict[str, Any]) -> None:
        self._require_type_checks()
        scan: Any = ability(store, AsyncScanProtocol).scan
        with pytest.raises(TypeError):
            await scan(**{"collection": "shelf", **options})

    @needs(declares_no("native_expiry"))
    async def test_an_expired_entry_is_on_no_page(self, store: StoreT, clock: FakeClock) -> None:
        scannable = ability(store, AsyncScanProtocol)
        await store.put("expired", {"n": 1}, collection="shelf", ttl=100)
        await store.put("live", {"n": 1}, collection="shelf", ttl=300)
        assert await scanned(scannable, limit=1) == {"expired", "live"}
        clock.advance(100 + self.ttl_granularity)
        assert await scanned(scannable, limit=1) == {"live"}

    @needs(declares("native_expiry"))
    async def test_an_entry_that_the_backend_expired_is_on_no_page(self, store: StoreT) -> None:
        scannable = ability(store, AsyncScanProtocol)
        resolution = capabilities_of(store).expiry_resolution or 0.0
        await store.put("expired", {"n": 1}, collection="shelf", ttl=0.2)
        await store.put("live", {"n": 1}, collection="shelf")

        async def gone() -> bool:
            return await scanned(scannable) == {"live"}

        assert await eventually(gone, within=0.2 + resolution + self.native_expiry_wait)

    @for_each("limit", [1, 7])
    async def test_a_key_that_stays_is_found_whatever_others_put_and_delete(
        self, store: StoreT, shelf: str, limit: int
    ) -> None:
        scannable = ability(store, AsyncScanProtocol)
        staying = [f"stays {number}" for number in range(60)]
        passing = [f"passes {number}" for number in range(60)]
        await store_keys(store, [name for pair in zip(staying, passing, strict=True) for name in pair], shelf)
        ended = False

        async def disturb(number: int) -> None:
            while not ended:
                key = passing[number % len(passing)]
                await store.delete(key, collection=shelf)
                await store.put(staying[number % len(staying)], {"n": 2}, collection=shelf)
                await store.put(key, {"n": 2}, collection=shelf)
                number += 7
                await asyncio.sleep(0)

        others = [asyncio.ensure_future(disturb(number)) for number in range(4)]
        found: set[str] = set()
        cursor = None
        try:
            for _ in range(_MAX_PAGES):
                keys, cursor = await scannable.scan(shelf, cursor=cursor, limit=limit)
                found.update(keys)
                if cursor is None:
                    break
                await asyncio.sleep(0)
        finally:
            ended = True
            await asyncio.gather(*others)
        assert cursor is None
        assert set(staying) - found == set()
        assert found <= {*staying, *passing}

    async def _cursor(self, store: StoreT, prefix: str) -> str:
        """Return a cursor of a scan for the prefix in the collection "shelf"."""
        await store_keys(store, [f"{prefix} {number}" for number in range(50)], "shelf")
        page = await ability(store, AsyncScanProtocol).scan("shelf", prefix=prefix, limit=1)
        if page.cursor is None:
            pytest.skip("needs a store that returns keys in several pages")
        return page.cursor
