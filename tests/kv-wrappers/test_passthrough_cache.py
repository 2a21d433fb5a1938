"""PassthroughCacheWrapper: the store contracts, cached entries and their ttl, and parameters."""

from typing import Any

import pytest
from key_value.aio.errors import StoreTimeoutError
from key_value.aio.protocols import AsyncKeyValue
from key_value.aio.stores.base import ManagedEntry
from key_value.aio.stores.memory import MemoryStore
from key_value.aio.stores.simple import SimpleStore
from key_value.aio.testing import FakeClock, StoreTests, WrapperTests
from key_value.aio.testing.inner_stores import ForeignStore, PlainStore
from key_value.aio.testing.stateful import check_against_dict
from key_value.aio.wrappers.passthrough_cache import PassthroughCacheWrapper

from .cache_doubles import Faulty, Gated


class TestPassthroughCache(WrapperTests):
    def wrap(self, store: AsyncKeyValue) -> AsyncKeyValue:
        return PassthroughCacheWrapper(store, MemoryStore())


class TestWithNegativeTtlAndAForeignCache(WrapperTests):
    def wrap(self, store: AsyncKeyValue) -> AsyncKeyValue:
        return PassthroughCacheWrapper(store, ForeignStore(), negative_ttl=60)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
class TestWithAFailingCache(WrapperTests):
    def wrap(self, store: AsyncKeyValue) -> AsyncKeyValue:
        return PassthroughCacheWrapper(store, Faulty(failing=True))


class TestStoreBehindACache(StoreTests[AsyncKeyValue]):
    example = PassthroughCacheWrapper(MemoryStore(), MemoryStore())

    @pytest.fixture
    def store(self) -> AsyncKeyValue:
        return PassthroughCacheWrapper(MemoryStore(), MemoryStore(), negative_ttl=60)


@pytest.mark.parametrize("options", [{}, {"negative_ttl": 700, "maximum_ttl": 900, "missing_ttl": 800}])
def test_a_store_behind_a_cache_behaves_like_a_dict(options: dict[str, Any]) -> None:
    check_against_dict(lambda: PassthroughCacheWrapper(MemoryStore(), MemoryStore(), **options))


# How long


async def cached_ttl(ttl: float | None, **options: Any) -> float | None:
    primary, cache = MemoryStore(), MemoryStore()
    store = PassthroughCacheWrapper(primary, cache, **options)
    with FakeClock():
        await primary.put("key", {"n": 1}, ttl=ttl)
        assert await store.get("key") == {"n": 1}
        return (await cache.ttl("key"))[1]


async def test_an_entry_is_cached_for_its_remaining_ttl() -> None:
    assert await cached_ttl(90) == 90
    assert await cached_ttl(1.5, maximum_ttl=2, missing_ttl=1) == 1.5


async def test_an_entry_is_cached_for_at_most_the_maximum() -> None:
    assert await cached_ttl(90, maximum_ttl=60) == 60
    assert await cached_ttl(90_000) == 1800
    assert await cached_ttl(None, maximum_ttl=60, missing_ttl=90) == 60


async def test_an_entry_without_ttl_is_cached_for_the_missing_ttl() -> None:
    assert await cached_ttl(None, missing_ttl=7) == 7
    assert await cached_ttl(None) == 1800


async def test_the_ttl_comes_from_the_primary_even_if_the_entry_is_cached() -> None:
    store = PassthroughCacheWrapper(MemoryStore(), MemoryStore(), maximum_ttl=5, missing_ttl=3)
    with FakeClock():
        await store.put("forever", {"n": 1})
        await store.put("long", {"n": 2}, ttl=100)
        for _ in range(2):
            assert await store.get_many(["forever", "long"]) == [{"n": 1}, {"n": 2}]
            assert await store.ttl("forever") == ({"n": 1}, None)
            assert await store.ttl_many(["long", "forever"]) == [({"n": 2}, 100.0), ({"n": 1}, None)]


async def test_a_cached_entry_expires_in_time_even_if_the_primary_is_slow() -> None:
    with FakeClock() as clock:

        class Slow(PlainStore):
            async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
                clock.advance(3)
                return await super()._get_managed_entry(collection=collection, key=key)

        class SlowToAnswer(ForeignStore):
            async def ttl(self, key: str, *, collection: str | None = None) -> Any:
                answer = await super().ttl(key, collection=collection)
                clock.advance(3)
                return answer

        for primary in (Slow(), SlowToAnswer()):
            cache = PlainStore()
            store = PassthroughCacheWrapper(primary, cache)
            await store.put("key", {"n": 1}, collection="shelf", ttl=10)
            end = clock.now()
            assert await store.get("key", collection="shelf") == {"n": 1}
            (entry,) = cache.entries.values()
            assert entry.expires_at is not None
            assert (entry.expires_at - end).total_seconds() <= 10


async def test_an_entry_may_expire_while_it_is_written_to_the_cache() -> None:
    with FakeClock() as clock:

        class SlowToCache(MemoryStore):
            async def put(self, key: str, value: Any, **options: Any) -> None:
                await super().put(key, value, **options)
                clock.advance(30)

        primary = MemoryStore()
        await primary.put("long", {"n": 1}, ttl=100)
        await primary.put("short", {"n": 2}, ttl=50)
        store = PassthroughCacheWrapper(primary, SlowToCache())
        assert await store.ttl("long") == ({"n": 1}, 70.0)
        assert await store.ttl("short") == (None, None)
        assert await store.get("short") is None


async def test_an_entry_that_expired_during_the_read_is_not_cached() -> None:
    with FakeClock() as clock:

        class SlowToAnswer(ForeignStore):
            async def ttl(self, key: str, *, collection: str | None = None) -> Any:
                answer = await super().ttl(key, collection=collection)
                clock.advance(30)
                return answer

        cache = PlainStore()
        store = PassthroughCacheWrapper(SlowToAnswer(), cache)
        await store.put("key", {"n": 1}, ttl=10)
        await store.get("key")
        assert cache.entries == {}


async def test_each_entry_of_a_batch_is_cached_for_its_own_ttl() -> None:
    primary, cache = MemoryStore(), MemoryStore()
    ttls = {"a": 10.0, "b": 10.2, "c": 60.0, "d": 4000.0, "e": None, "f": 0.5}
    with FakeClock() as clock:
        for key, ttl in ttls.items():
            await primary.put(key, {"key": key}, ttl=ttl)
        store = PassthroughCacheWrapper(primary, cache, missing_ttl=300)
        assert await store.get_many([*ttls, "absent"]) == [*({"key": key} for key in ttls), None]
        for key, most in zip(ttls, (10, 10.2, 60, 1800, 300, 0.5), strict=True):
            value, remaining = await cache.ttl(key)
            assert value == {"key": key}
            assert remaining is not None
            assert most * 0.9 <= remaining <= most
        clock.advance(10)
        assert await store.get_many(["a", "c"]) == [None, {"key": "c"}]


async def test_a_batch_with_one_ttl_is_cached_by_one_put() -> None:
    class Counting(MemoryStore):
        puts = 0

        async def put_many(self, *arguments: Any, **options: Any) -> None:
            self.puts += 1
            await super().put_many(*arguments, **options)

    primary, cache = MemoryStore(), Counting()
    keys = [f"key {number}" for number in range(100)]
    await primary.put_many(keys, [{"key": key} for key in keys], ttl=100)
    await PassthroughCacheWrapper(primary, cache).get_many(keys)
    assert cache.puts == 1


# Absent keys


async def test_an_absent_key_is_looked_up_each_time_by_default() -> None:
    primary = Gated()
    primary.read_gate.set()
    store = PassthroughCacheWrapper(primary, MemoryStore())
    assert [await store.get("key", collection="shelf") for _ in range(2)] == [None, None]
    assert primary.reads == [["key"], ["key"]]
    await primary.fill(key=1)
    assert await store.get("key", collection="shelf") == {"n": 1}


async def test_an_absent_key_is_remembered_for_the_negative_ttl() -> None:
    primary = Gated()
    primary.read_gate.set()
    store = PassthroughCacheWrapper(primary, MemoryStore(), negative_ttl=10)
    with FakeClock() as clock:
        assert await store.get("key", collection="shelf") is None
        assert await store.get_many(["key", "other"], collection="shelf") == [None, None]
        await primary.fill(key=1, other=2)
        assert await store.get("key", collection="shelf") is None
        assert await store.get_many(["other", "key"], collection="shelf") == [None, None]
        assert primary.reads == [["key"], ["other"]]
        assert await store.ttl("key", collection="shelf") == ({"n": 1}, None)
        clock.advance(10)
        assert await store.get_many(["other", "key"], collection="shelf") == [{"n": 2}, {"n": 1}]


async def test_a_put_clears_a_remembered_absent_key() -> None:
    store = PassthroughCacheWrapper(MemoryStore(), MemoryStore(), negative_ttl=10)
    assert await store.get("key") is None
    await store.put("key", {"n": 1})
    assert await store.get("key") == {"n": 1}


@pytest.mark.parametrize("negative_ttl", [None, 10])
async def test_no_value_is_mistaken_for_an_absent_one(negative_ttl: float | None) -> None:
    cache = MemoryStore()
    remembering = PassthroughCacheWrapper(MemoryStore(), cache, negative_ttl=10)
    await remembering.get("key")
    marker = await cache.get("key")
    assert marker is not None
    for value in (marker, {**marker, "more": 1}, dict.fromkeys(marker, 1), {}):
        store = PassthroughCacheWrapper(MemoryStore(), MemoryStore(), negative_ttl=negative_ttl)
        await store.put("key", value)
        assert [await store.get("key") for _ in range(2)] == [value, value]
        assert await store.get_many(["key", "key"]) == [value, value]
        await store.delete("key")
        assert await store.get("key") is None


async def test_a_marker_left_in_the_cache_is_not_returned_as_a_value() -> None:
    primary, cache = MemoryStore(), MemoryStore()
    await PassthroughCacheWrapper(primary, cache, negative_ttl=1000).get("key")
    await primary.put("key", {"n": 1})
    store = PassthroughCacheWrapper(primary, cache)
    assert await store.get_many(["key"]) == [{"n": 1}]
    assert await store.get("key") == {"n": 1}


# The default collection


@pytest.mark.parametrize("default", ["default_collection", "shelf"])
@pytest.mark.parametrize("written", [None, "default"])
async def test_a_write_to_the_default_collection_is_visible_under_both_its_names(
    default: str, written: str | None
) -> None:
    names = (None, default)
    store: Any = PassthroughCacheWrapper(MemoryStore(default_collection=default), MemoryStore(), negative_ttl=10)
    collection = None if written is None else default
    for number in range(2):
        await store.put("key", {"n": number}, collection=collection)
        assert [await store.get("key", collection=name) for name in names] == [{"n": number}] * 2
    await store.delete("key", collection=collection)
    assert [await store.get("key", collection=name) for name in names] == [None] * 2
    await store.put("key", {"n": 3}, collection=collection)
    assert [await store.get("key", collection=name) for name in names] == [{"n": 3}] * 2
    assert await store.destroy_collection(default) is True
    assert [await store.get("key", collection=name) for name in names] == [None] * 2


@pytest.mark.parametrize("defaults", [("shelf", "default_collection"), ("default_collection", "shelf"), ("x", "y")])
async def test_stores_with_different_default_collections_do_not_mix(defaults: tuple[str, str]) -> None:
    primary, cache = (MemoryStore(default_collection=default) for default in defaults)
    collections = ["default_collection", "shelf", "x", "y", "__named__x", "__named____named__x", "__named__shelf"]
    for name in collections:
        await primary.put("key", {"in": name}, collection=name)
    store = PassthroughCacheWrapper(primary, cache)
    for _ in range(2):
        assert await store.get("key") == {"in": defaults[0]}
        assert [await store.get("key", collection=name) for name in collections] == [
            {"in": name} for name in collections
        ]


async def test_the_cache_holds_plain_values_under_the_same_names() -> None:
    cache = SimpleStore()
    store = PassthroughCacheWrapper(MemoryStore(), cache)
    await store.put("key", {"n": 1})
    await store.put("key", {"n": 2}, collection="shelf")
    await store.get("key")
    await store.get("key", collection="shelf")
    assert await cache.get("key") == {"n": 1}
    assert await cache.get("key", collection="shelf") == {"n": 2}


# Configuration


@pytest.mark.parametrize("option", ["maximum_ttl", "missing_ttl", "negative_ttl", "cache_timeout"])
@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan")])
def test_a_time_that_is_not_finite_and_positive_is_a_value_error(option: str, seconds: float) -> None:
    options: dict[str, Any] = {option: seconds}
    with pytest.raises(ValueError, match=f"{option} must be"):
        PassthroughCacheWrapper(MemoryStore(), MemoryStore(), **options)


@pytest.mark.parametrize("no_store", [MemoryStore, 3, None])
@pytest.mark.filterwarnings("ignore::key_value.aio.core.type_checks.TypeViolationWarning")
def test_the_cache_is_a_store(no_store: Any) -> None:
    with pytest.raises(TypeError, match=r"^cache_key_value must be a store, not (the class MemoryStore|int|None)"):
        PassthroughCacheWrapper(MemoryStore(), no_store)


def test_one_store_cannot_be_both_primary_and_cache() -> None:
    store = MemoryStore()
    with pytest.raises(ValueError, match="must be different stores"):
        PassthroughCacheWrapper(store, store)


async def test_parameters_may_be_positional_or_keyword() -> None:
    primary, cache = MemoryStore(), MemoryStore()
    for store in (
        PassthroughCacheWrapper(primary, cache, 60, 30),
        PassthroughCacheWrapper(primary_key_value=primary, cache_key_value=cache, maximum_ttl=60, missing_ttl=30),
    ):
        assert (store.maximum_ttl, store.missing_ttl, store.negative_ttl) == (60, 30, None)
    assert repr(PassthroughCacheWrapper(primary, cache)) == "PassthroughCacheWrapper(MemoryStore(), MemoryStore())"


async def test_a_timeout_error_of_the_cache_is_logged_with_its_message(caplog: pytest.LogCaptureFixture) -> None:
    class Late(MemoryStore):
        async def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
            del key, collection
            message = "the cache is late"
            raise StoreTimeoutError(message)

    store = PassthroughCacheWrapper(MemoryStore(), Late())
    assert await store.get("key") is None
    assert "StoreTimeoutError: the cache is late" in caplog.text


async def test_an_unknown_default_collection_is_not_cached() -> None:
    primary = ForeignStore()
    store = PassthroughCacheWrapper(primary, MemoryStore())
    await store.put("key", {"n": 1})
    assert await store.get("key") == {"n": 1}
    # The wrapper cannot know the name of the default collection in this store.
    await primary.put("key", {"n": 2})
    assert (await store.get("key"), await store.get_many(["key"])) == ({"n": 2}, [{"n": 2}])
