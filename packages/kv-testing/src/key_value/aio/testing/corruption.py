"""Corruption: stored data that is not an entry raises an error, and never reads as absent or as another value."""

import json
import pickle
from collections.abc import Awaitable, Callable
from contextlib import suppress
from math import isnan
from typing import Any

import pytest
from key_value.aio.errors import DeserializationError
from key_value.aio.protocols import AsyncKeyValue
from key_value.aio.testing.contract import StoreContract, StoreT
from key_value.aio.testing.selection import helper, needs, setting
from key_value.aio.testing.tables import Decorator, for_each

__all__ = ["CorruptionTests"]

NOT_OBJECTS: dict[str, bytes] = {
    "nothing": b"",
    "text": b"not JSON",
    "truncated": b'{"version": 1, "value": {"a": ',
    "array": b'[{"a": 1}]',
    "string": b'"text"',
    "null": b"null",
    "number": b"17",
    "two objects": b'{"a": 1}{"a": 2}',
    "not UTF-8": b'{"a": "\xff\xfe"}',
    "nested without end": b"[" * 200_000,
}

NOT_ENTRIES: dict[str, Any] = {
    "object without fields": {},
    "value missing": {"version": 1, "created_at": "2026-11-23T09:03:14+00:00"},
    "value null": {"version": 1, "value": None},
    "value an array": {"version": 1, "value": [1]},
    "value a number": {"version": 1, "value": 7},
    "value a string that is no JSON": {"version": 1, "value": "text"},
    "value a string that holds an array": {"version": 1, "value": "[1]"},
    "version unknown": {"version": 2, "value": {"a": 1}},
    "version a string": {"version": "one", "value": {"a": 1}},
    "version null": {"version": None, "value": {"a": 1}},
    "expiry no date": {"version": 1, "value": {"a": 1}, "expires_at": "tomorrow"},
    "expiry a number": {"version": 1, "value": {"a": 1}, "expires_at": 7},
    "expiry an object": {"version": 1, "value": {"a": 1}, "expires_at": {}},
    "expiry in a month that is none": {"version": 1, "value": {"a": 1}, "expires_at": "2036-13-01T00:00:00+00:00"},
    "creation no date": {"version": 1, "value": {"a": 1}, "created_at": "yesterday"},
    "key a number": {"version": 1, "value": {"a": 1}, "key": 7},
    "collection an array": {"version": 1, "value": {"a": 1}, "collection": ["a"]},
}

unpickled: list[str] = []


def note_unpickling(what: str) -> None:
    unpickled.append(what)


class Malicious:
    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return note_unpickling, ("what was stored has run",)


Read = Callable[[AsyncKeyValue, str], Awaitable[Any]]

READS: dict[str, Read] = {
    "get": lambda store, key: store.get(key, collection="shelf"),
    "ttl": lambda store, key: store.ttl(key, collection="shelf"),
    "get_many": lambda store, key: store.get_many(["good", key], collection="shelf"),
    "ttl_many": lambda store, key: store.ttl_many(["good", key], collection="shelf"),
}

each_read: Decorator = for_each("read", READS)


class CorruptionTests(StoreContract[StoreT]):
    @needs(helper("corrupt_stored"))
    @for_each("data", NOT_OBJECTS)
    @each_read
    async def test_what_is_not_an_object_is_corrupt(self, store: StoreT, key: str, data: bytes, read: Read) -> None:
        await self._corrupt(store, data, key)
        with pytest.raises(DeserializationError) as corruption:
            await read(store, key)
        assert "hunter2" not in str(corruption.value)

    @needs(helper("corrupt_stored"), setting("stores_envelopes"))
    @for_each("envelope", NOT_ENTRIES)
    @each_read
    async def test_an_object_that_is_not_an_entry_is_corrupt(
        self, store: StoreT, key: str, envelope: dict[str, Any], read: Read
    ) -> None:
        await self._corrupt(store, json.dumps({"secret": "hunter2", **envelope}).encode(), key)
        with pytest.raises(DeserializationError) as corruption:
            await read(store, key)
        assert "hunter2" not in str(corruption.value)

    @needs(helper("corrupt_stored"))
    @for_each("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    async def test_a_stored_pickle_is_never_loaded(self, store: StoreT, key: str, protocol: int) -> None:
        unpickled.clear()
        await self._corrupt(store, pickle.dumps(Malicious(), protocol), key)
        with pytest.raises(DeserializationError):
            await store.get(key, collection="shelf")
        assert unpickled == []

    @needs(helper("read_stored"), helper("corrupt_stored"))
    @for_each("part", [0.1, 0.5, 0.9])
    async def test_an_entry_cut_short_is_corrupt(self, store: StoreT, key: str, part: float) -> None:
        await store.put(key, {"text": "x" * 1000}, collection="shelf", ttl=1000)
        stored = _as_bytes(await self.read_stored(store, "shelf", key))
        await self.corrupt_stored(store, "shelf", key, stored[: int(part * len(stored))])
        with pytest.raises(DeserializationError):
            await store.get(key, collection="shelf")

    @needs(helper("corrupt_stored"))
    @for_each("data", NOT_OBJECTS)
    async def test_a_corrupt_entry_can_be_replaced(self, store: StoreT, key: str, data: bytes) -> None:
        await self._corrupt(store, data, key)
        await store.put(key, {"a": 2}, collection="shelf")
        assert await store.get(key, collection="shelf") == {"a": 2}

    @needs(helper("corrupt_stored"))
    @for_each("data", NOT_OBJECTS)
    async def test_a_corrupt_entry_can_be_deleted(self, store: StoreT, key: str, data: bytes) -> None:
        await self._corrupt(store, data, key)
        await store.delete(key, collection="shelf")
        assert await store.get(key, collection="shelf") is None
        assert await store.get("good", collection="shelf") == {"a": 1}

    @needs(helper("read_stored"), helper("corrupt_stored"))
    async def test_a_corrupt_entry_is_left_for_someone_to_look_at(self, store: StoreT) -> None:
        await self._corrupt(store, b"not JSON")
        with pytest.raises(DeserializationError):
            await store.get("key", collection="shelf")
        assert _as_bytes(await self.read_stored(store, "shelf", "key")) == b"not JSON"

    @needs(helper("corrupt_stored"), setting("stores_envelopes"))
    async def test_the_entry_of_another_key_is_never_returned(self, store: StoreT) -> None:
        await self._corrupt(store, b'{"version": 1, "key": "other", "collection": "shelf", "value": {"a": 1}}')
        with suppress(DeserializationError):
            assert await store.get("key", collection="shelf") is None

    @needs(helper("corrupt_stored"), setting("stores_envelopes"))
    async def test_the_entry_of_another_collection_is_never_returned(self, store: StoreT) -> None:
        await self._corrupt(store, b'{"version": 1, "key": "key", "collection": "other", "value": {"a": 1}}')
        with suppress(DeserializationError):
            assert await store.get_many(["key"], collection="shelf") == [None]

    @needs(helper("corrupt_stored"))
    async def test_a_nan_that_an_earlier_version_stored_is_readable(self, store: StoreT) -> None:
        value = b'{"number": NaN, "limit": Infinity}'
        await self._corrupt(store, b'{"version": 1, "value": %b}' % value if self.stores_envelopes else value)
        found = await store.get("key", collection="shelf")
        assert found is not None
        assert isnan(found["number"])
        assert found["limit"] == float("inf")

    @needs(helper("corrupt_stored"), setting("stores_envelopes"))
    async def test_a_value_stored_as_a_string_that_holds_the_object_is_readable(self, store: StoreT) -> None:
        await self._corrupt(store, json.dumps({"version": 1, "value": '{"a": [1, 2]}'}).encode())
        assert await store.get("key", collection="shelf") == {"a": [1, 2]}

    @needs(helper("corrupt_stored"), setting("stores_envelopes"))
    async def test_an_entry_without_version_is_of_version_1(self, store: StoreT) -> None:
        await self._corrupt(store, b'{"value": {"a": 3}}')
        assert await store.ttl("key", collection="shelf") == ({"a": 3}, None)

    @needs(helper("corrupt_stored"), setting("stores_envelopes"))
    async def test_the_dates_of_an_entry_may_end_in_z(self, store: StoreT) -> None:
        await self._corrupt(store, b'{"version": 1, "value": {"a": 3}, "expires_at": "2001-01-01T00:00:00Z"}')
        assert await store.get("key", collection="shelf") is None

    async def _corrupt(self, store: StoreT, data: bytes, key: str = "key") -> None:
        await store.put_many(["good", key], [{"a": 1}, {"a": 1}], collection="shelf")
        await self.corrupt_stored(store, "shelf", key, data)


def _as_bytes(stored: bytes | str | None) -> bytes:
    assert stored is not None, "read_stored() returned None for an existing entry"
    return stored.encode() if isinstance(stored, str) else stored
