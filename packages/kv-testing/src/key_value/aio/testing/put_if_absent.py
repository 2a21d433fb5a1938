"""put_if_absent: stores a value only if there is no entry, and never replaces one."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from key_value.aio.errors import (
    DeserializationError,
    InvalidKeyError,
    InvalidTTLError,
    SerializationError,
    StoreSetupError,
    ValueTooLargeError,
)
from key_value.aio.protocols import AsyncPutIfAbsentProtocol
from key_value.aio.testing.clock import FakeClock
from key_value.aio.testing.contract import StoreContract, StoreT, ability, capabilities_of, eventually
from key_value.aio.testing.expiry import MICROSECOND, each_invalid_ttl
from key_value.aio.testing.names import NASTY_NAMES, each_invalid_name
from key_value.aio.testing.selection import Need, declares, declares_no, helper, needs
from key_value.aio.testing.tables import for_each
from key_value.aio.testing.values import VALUES, each_refused, exact

__all__ = ["PutIfAbsentTests"]

WRONG_TYPES: dict[str, dict[str, Any]] = {
    "key None": {"key": None},
    "key bytes": {"key": b"key"},
    "collection": {"collection": 7},
    "value a list": {"value": ["a"]},
    "value None": {"value": None},
    "ttl": {"ttl": "5"},
}

conditional: Need = declares("conditional_writes")


class PutIfAbsentTests(StoreContract[StoreT], needs=(AsyncPutIfAbsentProtocol,)):
    @needs(conditional)
    async def test_it_stores_where_nothing_is(self, store: StoreT) -> None:
        assert await ability(store, AsyncPutIfAbsentProtocol).put_if_absent("key", {"a": 1}) is True
        assert await store.ttl("key") == ({"a": 1}, None)

    @needs(conditional)
    async def test_it_leaves_an_entry_and_its_ttl_as_they_are(self, store: StoreT, clock: FakeClock) -> None:
        absent = ability(store, AsyncPutIfAbsentProtocol)
        await store.put("key", {"a": 1}, ttl=100)
        clock.advance(40)
        assert await absent.put_if_absent("key", {"a": 2}) is False
        assert await absent.put_if_absent("key", {"a": 2}, ttl=1000) is False
        value, remaining = await store.ttl("key")
        assert value == {"a": 1}
        assert remaining == pytest.approx(60, abs=MICROSECOND + self.ttl_granularity)

    @needs(conditional)
    async def test_what_it_stored_is_an_entry_like_any_other(self, store: StoreT, clock: FakeClock) -> None:
        absent = ability(store, AsyncPutIfAbsentProtocol)
        assert await absent.put_if_absent("key", {"a": 1}, collection="shelf", ttl=90) is True
        clock.advance(30)
        remaining = (await store.ttl("key", collection="shelf"))[1]
        assert remaining == pytest.approx(60, abs=MICROSECOND + self.ttl_granularity)
        assert await store.get_many(["key"], collection="shelf") == [{"a": 1}]
        assert await store.get("key") is None
        clock.advance(60 + self.ttl_granularity)
        assert await store.get("key", collection="shelf") is None

    @needs(conditional)
    async def test_a_deleted_entry_is_absent(self, store: StoreT) -> None:
        absent = ability(store, AsyncPutIfAbsentProtocol)
        for number in range(3):
            assert await absent.put_if_absent("key", {"n": number}) is True
            assert await absent.put_if_absent("key", {"n": 7}) is False
            assert await store.get("key") == {"n": number}
            assert await store.delete("key") is True

    @needs(conditional, declares_no("native_expiry"))
    async def test_an_expired_entry_is_absent(self, store: StoreT, clock: FakeClock) -> None:
        absent = ability(store, AsyncPutIfAbsentProtocol)
        await store.put("key", {"a": 1}, ttl=100)
        clock.advance(100 - MICROSECOND)
        assert await absent.put_if_absent("key", {"a": 2}) is False
        clock.advance(MICROSECOND + self.ttl_granularity)
        assert await absent.put_if_absent("key", {"a": 2}) is True
        assert await store.ttl("key") == ({"a": 2}, None)

    @needs(conditional, declares("native_expiry"))
    async def test_an_entry_that_the_backend_expired_is_absent(self, store: StoreT) -> None:
        absent = ability(store, AsyncPutIfAbsentProtocol)
        # The first use of a backend may take longer than the entry lives.
        await store.get("key")
        start = time.monotonic()
        await store.put("key", {"a": 1}, ttl=0.5)

        async def stores() -> bool:
            return await absent.put_if_absent("key", {"a": 2})

        # It must store as soon as reads find the entry expired.
        assert await eventually(stores, within=0.5 + self.native_expiry_wait)
        # Tolerance for the difference between the two clocks.
        assert time.monotonic() - start >= 0.5 - 0.005
        assert await store.ttl("key") == ({"a": 2}, None)

    @needs(conditional)
    @for_each("value", VALUES)
    async def test_the_value_comes_back_as_it_was(self, store: StoreT, key: str, value: dict[str, Any]) -> None:
        await ability(store, AsyncPutIfAbsentProtocol).put_if_absent(key, value)
        assert exact(await store.get(key)) == exact(value)

    @needs(conditional)
    async def test_changing_a_value_afterwards_changes_nothing(self, store: StoreT) -> None:
        value: dict[str, Any] = {"items": [{"a": 1}]}
        await ability(store, AsyncPutIfAbsentProtocol).put_if_absent("key", value)
        value["items"][0]["a"] = 2
        assert await store.get("key") == {"items": [{"a": 1}]}

    @needs(conditional)
    async def test_a_key_that_looks_alike_is_another(self, store: StoreT) -> None:
        absent = ability(store, AsyncPutIfAbsentProtocol)
        results = [await absent.put_if_absent(name, {"key": name}, collection="shelf") for name in NASTY_NAMES]
        assert results == [True] * len(NASTY_NAMES)
        results = [await absent.put_if_absent(name, {"key": "other"}, collection="shelf") for name in NASTY_NAMES]
        assert results == [False] * len(NASTY_NAMES)
        assert await store.get_many(NASTY_NAMES, collection="shelf") == [{"key": name} for name in NASTY_NAMES]

    @needs(conditional, helper("corrupt_stored"))
    async def test_a_corrupt_entry_is_not_absent(self, store: StoreT) -> None:
        await store.put("key", {"a": 1}, collection="shelf")
        await self.corrupt_stored(store, "shelf", "key", b"not JSON")
        with suppress(DeserializationError):
            absent = ability(store, AsyncPutIfAbsentProtocol)
            assert await absent.put_if_absent("key", {"a": 2}, collection="shelf") is False
        with pytest.raises(DeserializationError):
            await store.get("key", collection="shelf")

    @each_refused
    async def test_a_value_that_is_not_json_is_not_stored(
        self, store: StoreT, key: str, make: Callable[[], dict[str, Any]]
    ) -> None:
        with pytest.raises(SerializationError, match="value"):
            await ability(store, AsyncPutIfAbsentProtocol).put_if_absent(key, make())
        assert await store.get(key) is None

    @each_invalid_ttl
    async def test_an_invalid_ttl_stores_nothing(self, store: StoreT, key: str, ttl: Any) -> None:
        with pytest.raises(InvalidTTLError):
            await ability(store, AsyncPutIfAbsentProtocol).put_if_absent(key, {"a": 1}, ttl=ttl)
        assert await store.get(key) is None

    @each_invalid_name
    async def test_an_invalid_name_is_an_error(self, store: StoreT, key: str, name: str) -> None:
        absent = ability(store, AsyncPutIfAbsentProtocol)
        with pytest.raises(InvalidKeyError):
            await absent.put_if_absent(name, {"a": 1})
        with pytest.raises(InvalidKeyError):
            await absent.put_if_absent(key, {"a": 1}, collection=name)
        assert await store.get(key) is None

    @for_each("options", WRONG_TYPES)
    async def test_a_wrong_type_stores_nothing(self, store: StoreT, key: str, options: dict[str, Any]) -> None:
        self._require_type_checks()
        call: Any = ability(store, AsyncPutIfAbsentProtocol).put_if_absent
        with pytest.raises(TypeError):
            await call(**{"key": key, "value": {"a": 1}, **options})
        assert await store.get(key) is None

    @needs(conditional, declares("max_value_bytes"))
    async def test_a_value_over_the_limit_stores_nothing(self, store: StoreT) -> None:
        absent = ability(store, AsyncPutIfAbsentProtocol)
        with pytest.raises(ValueTooLargeError):
            await absent.put_if_absent("key", {"text": "x" * self.value_limit(store)})
        assert await store.get("key") is None

    @needs(declares_no("conditional_writes"))
    async def test_a_backend_without_conditional_writes_says_so(self, store: StoreT) -> None:
        assert capabilities_of(store).conditional_writes is False
        with pytest.raises(StoreSetupError):
            await ability(store, AsyncPutIfAbsentProtocol).put_if_absent("key", {"a": 1})
        assert await store.get("key") is None
