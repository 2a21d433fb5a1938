"""Time to live: entries never expire early, and reads never return expired entries."""

import time
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from key_value.aio.errors import InvalidTTLError
from key_value.aio.testing.clock import FakeClock
from key_value.aio.testing.contract import StoreContract, StoreT, capabilities_of, eventually
from key_value.aio.testing.selection import declares, declares_no, helper, needs
from key_value.aio.testing.tables import Decorator, for_each

__all__ = ["ExpiryTests"]


class Seconds:
    def __float__(self) -> float:
        return 90.0


NINETY: dict[str, Any] = {
    "int": 90,
    "float": 90.0,
    "Decimal": Decimal(90),
    "Fraction": Fraction(180, 2),
    "with __float__": Seconds(),
}

INVALID: dict[str, Any] = {
    "zero": 0,
    "minus zero": -0.0,
    "negative": -1,
    "true": True,
    "false": False,
    "infinity": float("inf"),
    "minus infinity": float("-inf"),
    "NaN": float("nan"),
    "NaN as Decimal": Decimal("NaN"),
    "beyond the year 9999": 3e11,
    "beyond any timedelta": 1e300,
    "beyond any float": 10**400,
}

MICROSECOND = 1e-6

each_invalid_ttl: Decorator = for_each("ttl", INVALID)
each_lifetime: Decorator = for_each("ttl", [90, 90.1, 91.9, 100.000001, 86_400 * 365])


class ExpiryTests(StoreContract[StoreT]):
    async def test_an_entry_without_ttl_has_no_remaining_seconds(self, store: StoreT) -> None:
        await store.put("key", {"a": 1})
        assert await store.ttl("key") == ({"a": 1}, None)

    @for_each("ttl", NINETY)
    async def test_a_ttl_is_any_number_of_seconds(self, store: StoreT, clock: FakeClock, key: str, ttl: Any) -> None:
        one, two = f"{key} one", f"{key} two"
        await store.put(key, {"a": 1}, ttl=ttl)
        await store.put_many([one, two], [{"a": 2}, {"a": 3}], ttl=ttl)
        clock.advance(30)
        for _, remaining in await store.ttl_many([key, one, two]):
            assert remaining == pytest.approx(60, abs=MICROSECOND + self.ttl_granularity)

    @each_lifetime
    async def test_an_entry_lives_its_ttl_to_the_end(
        self, store: StoreT, clock: FakeClock, key: str, ttl: float
    ) -> None:
        await store.put(key, {"a": 1}, ttl=ttl)
        clock.advance(ttl - MICROSECOND)
        assert await store.get(key) == {"a": 1}
        assert await store.get_many([key]) == [{"a": 1}]

    @each_lifetime
    async def test_an_expired_entry_is_none_at_once(
        self, store: StoreT, clock: FakeClock, key: str, ttl: float
    ) -> None:
        other = f"other {key}"
        await store.put(key, {"a": 1}, ttl=ttl)
        await store.put_many([other], [{"a": 1}], ttl=ttl)
        clock.advance(ttl + self.ttl_granularity)
        assert await store.get(key) is None
        assert await store.ttl(key) == (None, None)
        assert await store.get_many([key, other]) == [None, None]
        assert await store.ttl_many([key, other]) == [(None, None), (None, None)]

    async def test_entries_of_a_batch_expire_each_by_itself(self, store: StoreT, clock: FakeClock) -> None:
        await store.put("soon", {"a": 1}, ttl=100)
        await store.put("later", {"a": 2}, ttl=200)
        await store.put("never", {"a": 3})
        clock.advance(150)
        assert await store.get_many(["soon", "later", "never"]) == [None, {"a": 2}, {"a": 3}]
        assert await store.ttl_many(["soon", "never"]) == [(None, None), ({"a": 3}, None)]

    async def test_a_put_without_ttl_clears_the_earlier_one(self, store: StoreT, clock: FakeClock) -> None:
        for key in ("one", "two"):
            await store.put(key, {"a": 1}, ttl=100)
        await store.put("one", {"a": 2})
        await store.put_many(["two"], [{"a": 2}])
        clock.advance(200)
        assert await store.ttl_many(["one", "two"]) == [({"a": 2}, None)] * 2

    async def test_a_put_with_ttl_replaces_the_earlier_one(self, store: StoreT, clock: FakeClock) -> None:
        await store.put("longer", {"a": 1}, ttl=100)
        await store.put("longer", {"a": 2}, ttl=300)
        await store.put("shorter", {"a": 1}, ttl=300)
        await store.put("shorter", {"a": 2}, ttl=100)
        clock.advance(200)
        assert await store.get_many(["longer", "shorter"]) == [{"a": 2}, None]

    async def test_an_expired_key_can_be_put_again(self, store: StoreT, clock: FakeClock) -> None:
        await store.put("key", {"a": 1}, ttl=100)
        clock.advance(200)
        await store.put("key", {"a": 2})
        assert await store.ttl("key") == ({"a": 2}, None)

    @needs(declares_no("native_expiry"))
    async def test_deleting_an_expired_entry_deletes_nothing(self, store: StoreT, clock: FakeClock) -> None:
        for key in ("one", "two", "three"):
            await store.put(key, {"a": 1}, ttl=100)
        clock.advance(200)
        assert await store.delete("one") is False
        assert await store.delete_many(["two", "three"]) == 0

    @each_invalid_ttl
    async def test_an_invalid_ttl_is_refused(self, store: StoreT, key: str, ttl: Any) -> None:
        other = f"other {key}"
        await store.put(key, {"a": 1})
        with pytest.raises(InvalidTTLError):
            await store.put(key, {"a": 2}, ttl=ttl)
        with pytest.raises(InvalidTTLError):
            await store.put_many([key, other], [{"a": 2}, {"a": 3}], ttl=ttl)
        assert await store.get_many([key, other]) == [{"a": 1}, None]

    @for_each("ttl", ["5", b"5", [5], 5j])
    async def test_a_ttl_that_is_not_a_number_is_a_type_error(self, store: StoreT, key: str, ttl: Any) -> None:
        self._require_type_checks()
        with pytest.raises(TypeError):
            await store.put(key, {"a": 1}, ttl=ttl)
        with pytest.raises(TypeError):
            await store.put_many([key], [{"a": 1}], ttl=ttl)
        assert await store.get(key) is None

    @needs(declares("native_expiry"))
    async def test_the_backends_own_expiry_is_not_early(self, store: StoreT) -> None:
        start = time.monotonic()
        await store.put("key", {"a": 1}, ttl=1.1)

        async def expired() -> bool:
            return await store.get("key") is None

        assert await eventually(expired, within=10)
        # Tolerance for the difference between the two clocks.
        assert time.monotonic() - start >= 1.1 - 0.005

    @needs(declares("native_expiry"), helper("read_stored"))
    async def test_the_backend_removes_an_expired_entry(self, store: StoreT) -> None:
        resolution = capabilities_of(store).expiry_resolution or 0.0
        await store.put("key", {"a": 1}, collection="collection", ttl=0.2)

        async def removed() -> bool:
            return await self.read_stored(store, "collection", "key") is None

        assert await eventually(removed, within=0.2 + resolution + self.native_expiry_wait)
