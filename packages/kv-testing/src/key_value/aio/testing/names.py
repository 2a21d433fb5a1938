"""Names: every key and collection keeps to itself."""

import unicodedata
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from key_value.aio.core.names import MAX_NAME_BYTES
from key_value.aio.errors import InvalidKeyError
from key_value.aio.protocols import (
    AsyncEnumerateCollectionsProtocol,
    AsyncEnumerateKeysProtocol,
    AsyncKeyValue,
)
from key_value.aio.testing.contract import StoreContract, StoreT, ability
from key_value.aio.testing.selection import needs
from key_value.aio.testing.tables import Decorator, for_each

__all__ = ["NASTY_NAMES", "NameTests"]

_ACCENT = "caf\u00e9"
_LONG = "n" * 300

NASTY_NAMES: list[str] = [
    # addresses and paths
    *(
        "https://example.com/a?b=1#c",
        "../../etc/passwd",
        "..",
        ".",
        "/",
        "//",
        "a/b",
        "a\\b",
        "/a",
        "a/",
        "~",
        "a/../b",
    ),
    # separators of collection and key, in stored format v1 and in wrappers
    *(
        "a",
        "a:",
        ":a",
        ":",
        "::",
        "a::b",
        "a:::b",
        "::a",
        "a::",
        "__",
        "a__b",
        "__a",
        "a__",
        "_",
        "mcp:oauth",
        "mcpoauth",
    ),
    # escape sequences
    *("%", "%%", "%3A", "%253A", "a%3A%3Ab", "a%2Fb", "\\", "\\x00", "&amp;", "+", "a+b", "a b"),
    # globs, patterns, queries
    *("*", "?", "[a]", "[^a]", "{a}", "a*", ".*", "$a", "^a", "'", '"', "`", ";", "' OR 1=1 --", "%s", "{}", "{0}"),
    # invisible characters
    *("\0", "a\0b", "\n", "a\nb", "\r\n", "\t", " ", " a", "a ", "\x7f", "\ufeff", "\u200b", "\u2028"),
    # names that a file system or a database may treat as equal
    *(
        "A",
        "\u0131",
        "I",
        "ß",
        "ss",
        "ẞ",
        _ACCENT,
        unicodedata.normalize("NFD", _ACCENT),
        "\ufb01",
        "fi",
        "K",
        "\u212a",
    ),
    # beyond the basic plane
    *("🌍", "👩\u200d👩\u200d👧", "\U0010ffff", "עברית", "日本語"),
    # names that a platform or a library reserves
    *("CON", "con", "NUL.txt", "a.", "a.json", "a-info.json", "H_a", "S_a", "H_", "default_collection", "None", "null"),
    *("0", "-1", "1e5", "-", "--help", "id", "key", "_id", "kv_entries"),
    # longer than a file name may be, and equal except at the end
    *(_LONG, _LONG + "m", "é" * 200, "é" * 199 + "e\u0301"),
]

_AMBIGUOUS = ["a", "a:", ":a", "a::", "a::b", "b", "b::c", "c", "a__b", "b__c", "a/b", "b/c", "../b", "../b/c", "a%3A"]

INVALID_NAMES: dict[str, str] = {
    "empty": "",
    "lone surrogate": "a\ud800",
    "too long": "n" * (MAX_NAME_BYTES + 1),
    "too long in UTF-8": "é" * (MAX_NAME_BYTES // 2 + 1),
}

Call = Callable[[AsyncKeyValue, Any, Any, str], Awaitable[object]]

CALLS: dict[str, Call] = {
    "get": lambda store, key, collection, _: store.get(key, collection=collection),
    "ttl": lambda store, key, collection, _: store.ttl(key, collection=collection),
    "put": lambda store, key, collection, _: store.put(key, {"a": 1}, collection=collection),
    "delete": lambda store, key, collection, _: store.delete(key, collection=collection),
    "get_many": lambda store, key, collection, good: store.get_many([good, key], collection=collection),
    "ttl_many": lambda store, key, collection, good: store.ttl_many([good, key], collection=collection),
    "put_many": lambda store, key, collection, good: store.put_many([good, key], [{"a": 1}] * 2, collection=collection),
    "delete_many": lambda store, key, collection, good: store.delete_many([good, key], collection=collection),
}
"""The eight methods, called with the key and collection under test, and a valid key for a batch."""

each_call: Decorator = for_each("call", CALLS)
each_invalid_name: Decorator = for_each("name", INVALID_NAMES)


class NameTests(StoreContract[StoreT]):
    async def test_keys_that_look_alike_are_different_entries(self, store: StoreT) -> None:
        for number, key in enumerate(NASTY_NAMES):
            await store.put(key, {"number": number})
        found = {key: await store.get(key) for key in NASTY_NAMES}
        assert found == _numbered(NASTY_NAMES)

    async def test_keys_that_look_alike_are_different_entries_of_a_batch(self, store: StoreT) -> None:
        await store.put_many(NASTY_NAMES, list(_numbered(NASTY_NAMES).values()))
        found = dict(zip(NASTY_NAMES, await store.get_many(NASTY_NAMES), strict=True))
        assert found == _numbered(NASTY_NAMES)

    async def test_deleting_a_key_touches_no_key_that_looks_alike(self, store: StoreT) -> None:
        await store.put_many(NASTY_NAMES, list(_numbered(NASTY_NAMES).values()))
        remaining = _numbered(NASTY_NAMES)
        for key in NASTY_NAMES[::2]:
            assert await store.delete(key) is True
            del remaining[key]
        found = dict(zip(NASTY_NAMES, await store.get_many(NASTY_NAMES), strict=True))
        assert {key: value for key, value in found.items() if value is not None} == remaining

    @needs(AsyncEnumerateKeysProtocol)
    async def test_keys_come_back_from_enumeration_unchanged(self, store: StoreT) -> None:
        names = self.enumerable(store, NASTY_NAMES)
        await store.put_many(names, [{"a": 1}] * len(names), collection="collection")
        assert sorted(await ability(store, AsyncEnumerateKeysProtocol).keys("collection")) == sorted(names)

    async def test_collections_that_look_alike_are_different(self, store: StoreT) -> None:
        for number, collection in enumerate(NASTY_NAMES):
            await store.put("key", {"number": number}, collection=collection)
        found = {collection: await store.get("key", collection=collection) for collection in NASTY_NAMES}
        assert found == _numbered(NASTY_NAMES)

    @needs(AsyncEnumerateCollectionsProtocol)
    async def test_collections_come_back_from_enumeration_unchanged(self, store: StoreT) -> None:
        names = self.enumerable(store, NASTY_NAMES)
        for collection in names:
            await store.put("key", {"a": 1}, collection=collection)
        assert sorted(await ability(store, AsyncEnumerateCollectionsProtocol).collections()) == sorted(names)

    @needs(AsyncEnumerateKeysProtocol)
    async def test_no_collection_lists_the_keys_of_one_that_looks_alike(self, store: StoreT) -> None:
        enumerable = ability(store, AsyncEnumerateKeysProtocol)
        names = self.enumerable(store, NASTY_NAMES)
        for collection in names:
            await store.put(f"key of {collection[-60:]}", {"a": 1}, collection=collection)
        found = {collection: await enumerable.keys(collection) for collection in names}
        assert found == {collection: [f"key of {collection[-60:]}"] for collection in names}

    async def test_pairs_that_join_to_the_same_text_are_different_entries(self, store: StoreT) -> None:
        pairs = [(collection, key) for collection in _AMBIGUOUS for key in _AMBIGUOUS]
        for number, (collection, key) in enumerate(pairs):
            await store.put(key, {"number": number}, collection=collection)
        found = {pair: await store.get(pair[1], collection=pair[0]) for pair in pairs}
        assert found == _numbered(pairs)

    async def test_no_collection_is_the_default_one(self, store: StoreT) -> None:
        await store.put("key", {"a": 1})
        await store.put("key", {"a": 2}, collection="collection")
        assert await store.get("key", collection=None) == {"a": 1}
        assert await store.get("key", collection="other") is None

    @for_each("letter", ["n", "é", "🌍"])
    async def test_names_of_64_kib_work(self, store: StoreT, letter: str) -> None:
        longest = letter * (self.max_name_bytes // len(letter.encode()))
        await store.put(longest, {"a": 1}, collection=longest)
        await store.put(longest[:-1], {"a": 2}, collection=longest)
        await store.put(longest, {"a": 3}, collection=longest[:-1])
        assert await store.get_many([longest, longest[:-1]], collection=longest) == [{"a": 1}, {"a": 2}]
        assert await store.get_many([longest, longest[:-1]], collection=longest[:-1]) == [{"a": 3}, None]

    @each_invalid_name
    @each_call
    async def test_an_invalid_key_is_refused(self, store: StoreT, key: str, call: Call, name: str) -> None:
        with pytest.raises(InvalidKeyError):
            await call(store, name, None, key)
        assert await store.get(key) is None

    @each_invalid_name
    @each_call
    async def test_an_invalid_collection_is_refused(self, store: StoreT, key: str, call: Call, name: str) -> None:
        good = f"good {key}"
        with pytest.raises(InvalidKeyError):
            await call(store, key, name, good)
        assert await store.get_many([key, good]) == [None, None]

    @for_each("name", [None, 7, b"key", ["key"]])
    @each_call
    async def test_a_key_that_is_not_a_str_is_a_type_error(
        self, store: StoreT, key: str, call: Call, name: Any
    ) -> None:
        self._require_type_checks()
        with pytest.raises(TypeError):
            await call(store, name, None, key)
        assert await store.get(key) is None

    @for_each("name", [7, b"key", ["key"]])
    @each_call
    async def test_a_collection_that_is_not_a_str_is_a_type_error(
        self, store: StoreT, key: str, call: Call, name: Any
    ) -> None:
        self._require_type_checks()
        good = f"good {key}"
        with pytest.raises(TypeError):
            await call(store, key, name, good)
        assert await store.get_many([key, good]) == [None, None]


def _numbered(names: list[Any]) -> dict[Any, Any]:
    return {name: {"number": number} for number, name in enumerate(names)}
