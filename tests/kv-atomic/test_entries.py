"""increment, take and touch: effects on an entry and its ttl, concurrent writes; errors of all functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.atomic import Lock, increment, take, touch, update
from key_value.aio.errors import (
    DeserializationError,
    InvalidKeyError,
    InvalidTTLError,
    KeyValueStoreError,
    StoreConnectionError,
    StoreTimeoutError,
)
from key_value.aio.stores.null import NullStore

from .functions import Value, add_visit, raising

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from conftest import Watched
    from key_value.aio.testing import FakeClock
    from versioned_stores import SharedStore

CALLS: dict[str, Callable[[Any], Awaitable[object]]] = {
    "update": lambda store: update(store, "key", add_visit),
    "increment": lambda store: increment(store, "key"),
    "take": lambda store: take(store, "key"),
    "touch": lambda store: touch(store, "key", 60),
}
each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


# increment


async def test_increment_counts_from_zero_and_returns_the_count(store: Any) -> None:
    assert [await increment(store, "key") for _ in range(3)] == [1, 2, 3]
    assert await increment(store, "key", 10) == 13
    assert await increment(store, "key", by=-20) == -7
    assert await increment(store, "key", 0) == -7
    assert await store.ttl("key") == ({"count": -7}, None)


async def test_increment_continues_from_a_stored_counter(store: Any) -> None:
    await store.put("key", {"count": 2**70}, collection="counters")
    assert await increment(store, "key", collection="counters") == 2**70 + 1


async def test_the_ttl_of_a_counter_counts_from_its_first_increment(store: Any, clock: FakeClock) -> None:
    await increment(store, "key", ttl=60)
    clock.advance(20)
    await increment(store, "key", ttl=60)
    await increment(store, "key")
    assert await store.ttl("key") == ({"count": 3}, 40)


async def test_an_expired_counter_restarts_with_a_new_ttl(store: Any, clock: FakeClock) -> None:
    await increment(store, "key", 5, ttl=60)
    clock.advance(61)
    assert await increment(store, "key", ttl=30) == 1
    assert await store.ttl("key") == ({"count": 1}, 30)


@pytest.mark.usefixtures("expires_by_our_clock")
async def test_a_counter_that_expires_between_read_and_write_restarts(
    watched: Watched, store: Any, clock: FakeClock
) -> None:
    async def pass_time() -> None:
        clock.advance(30)

    await increment(watched, "key", 5, ttl=60)
    clock.advance(50)
    watched.before_write = pass_time
    assert await increment(watched, "key", ttl=60) == 1
    assert await store.ttl("key") == ({"count": 1}, 60)


NOT_COUNTERS = [{}, {"count": "1"}, {"count": 1.0}, {"count": True}, {"count": None}, {"count": 1, "name": "a"}]


@pytest.mark.parametrize("value", NOT_COUNTERS, ids=str)
async def test_incrementing_a_value_that_is_not_a_counter_is_an_error_and_keeps_it(
    store: Any, value: Mapping[str, Any]
) -> None:
    await store.put("key", value)
    with pytest.raises(DeserializationError, match=r"not a counter.*'key'"):
        await increment(store, "key")
    assert await store.get("key") == value


@pytest.mark.parametrize("by", [1.0, True, "1", None])
async def test_an_increment_that_is_not_an_int_raises_a_type_error(watched: Watched, by: Any) -> None:
    with pytest.raises(TypeError, match="by must be an int"):
        await increment(watched, "key", by)
    assert watched.calls == []


# take


async def test_take_removes_the_entry_and_returns_its_value(store: Any) -> None:
    await store.put("key", {"digits": "123456"}, ttl=60)
    assert await take(store, "key") == {"digits": "123456"}
    assert await store.get("key") is None
    assert await take(store, "key") is None


async def test_take_returns_none_if_the_entry_has_expired(store: Any, clock: FakeClock) -> None:
    await store.put("key", {"digits": "123456"}, ttl=60)
    clock.advance(60)
    assert await take(store, "key") is None


async def test_take_returns_a_value_written_meanwhile(store: Any, watched: Watched) -> None:
    await store.put("key", {"digits": "old"})
    watched.before_write = lambda: store.put("key", {"digits": "new"})
    assert await take(watched, "key") == {"digits": "new"}
    assert await store.get("key") is None


async def test_take_returns_none_if_the_entry_was_taken_meanwhile(store: Any, watched: Watched) -> None:
    await store.put("key", {"digits": "123456"})
    watched.before_write = lambda: take(store, "key")
    assert await take(watched, "key") is None


async def test_take_leaves_an_entry_that_reads_as_absent(hiding: SharedStore) -> None:
    assert await take(hiding, "key") is None
    hiding.hides = False
    assert await hiding.get("key") == {"secret": 1}


# touch


async def test_touch_sets_a_new_ttl_and_keeps_the_value(store: Any, clock: FakeClock) -> None:
    await store.put("key", {"page": 7}, ttl=60)
    clock.advance(50)
    assert await touch(store, "key", 100) is True
    assert await store.ttl("key") == ({"page": 7}, 100)
    assert await touch(store, "key", None) is True
    assert await store.ttl("key") == ({"page": 7}, None)


async def test_touch_does_not_create_an_entry(store: Any, clock: FakeClock) -> None:
    await store.put("key", {"page": 7}, ttl=60)
    clock.advance(60)
    assert await touch(store, "key", 60) is False
    assert await store.get("key") is None


async def test_touch_keeps_a_newer_value(store: Any, watched: Watched) -> None:
    await store.put("key", {"page": 7})
    watched.before_write = lambda: store.put("key", {"page": 8})
    assert await touch(watched, "key", None) is True
    assert await store.get("key") == {"page": 8}


# All functions


@each_call
async def test_a_write_with_an_unknown_outcome_raises_and_is_not_repeated(
    call: Callable[[Any], Awaitable[object]], store: Any, watched: Watched
) -> None:
    await store.put("key", {"count": 1} if call is CALLS["increment"] else {"visits": 1})
    watched.after_write = raising(StoreTimeoutError("no answer"))
    with pytest.raises(StoreTimeoutError, match="no answer"):
        await call(watched)
    assert len(watched.calls) == 2


@each_call
async def test_the_error_of_a_failed_read_is_raised(call: Callable[[Any], Awaitable[object]], watched: Watched) -> None:
    error = StoreConnectionError("down")
    watched.before_read = raising(error)
    with pytest.raises(StoreConnectionError) as raised:
        await call(watched)
    assert raised.value is error
    assert watched.calls == ["get_versioned"]


class Unchanging:
    """Drops writes silently, as a read-only wrapper may."""

    def __init__(self, store: Any) -> None:
        self.get_versioned = store.get_versioned

    async def put_if_version(self, *_: Any, **__: Any) -> bool:
        return False

    async def delete_if_version(self, *_: Any, **__: Any) -> bool:
        return False


@each_call
async def test_a_store_that_silently_drops_writes_is_an_error(
    call: Callable[[Any], Awaitable[object]], store: Any
) -> None:
    await store.put("key", {"count": 1} if call is CALLS["increment"] else {"visits": 1})
    with pytest.raises(KeyValueStoreError, match="refused 20 conditional writes"):
        await call(Unchanging(store))


@each_call
async def test_a_store_without_versions_is_a_type_error_that_names_the_protocol(
    call: Callable[[Any], Awaitable[object]],
) -> None:
    with pytest.raises(TypeError, match="Plain does not satisfy AsyncVersionedProtocol"):
        await call(Plain())


def test_a_lock_in_a_store_without_versions_is_a_type_error_that_names_the_protocol() -> None:
    with pytest.raises(TypeError, match="Plain does not satisfy AsyncVersionedProtocol"):
        Lock(Plain(), "key")


class Plain:
    """The eight methods of a store without stored entries."""

    def __init__(self) -> None:
        store = NullStore()
        self.get, self.ttl, self.put, self.delete = store.get, store.ttl, store.put, store.delete
        self.get_many, self.ttl_many = store.get_many, store.ttl_many
        self.put_many, self.delete_many = store.put_many, store.delete_many


WRONG: dict[str, tuple[type[Exception], Callable[[Any], Awaitable[object]]]] = {
    "an empty key": (InvalidKeyError, lambda store: increment(store, "")),
    "a key that is not a str": (TypeError, lambda store: take(store, 7)),  # pyright: ignore[reportArgumentType]
    "an empty collection": (InvalidKeyError, lambda store: touch(store, "key", 1, collection="")),
    "a lone surrogate": (InvalidKeyError, lambda store: update(store, "\ud800", add_visit)),
    "a ttl of zero": (InvalidTTLError, lambda store: touch(store, "key", 0)),
    "a ttl that is a bool": (InvalidTTLError, lambda store: touch(store, "key", True)),  # noqa: FBT003
    "an infinite ttl": (InvalidTTLError, lambda store: increment(store, "key", ttl=float("inf"))),
    "a ttl that is text": (TypeError, lambda store: increment(store, "key", ttl="60")),  # pyright: ignore[reportArgumentType]
    "not a function": (TypeError, lambda store: update(store, "key", {"visits": 1})),  # pyright: ignore[reportArgumentType]
    "an async function": (TypeError, lambda store: update(store, "key", add_visit_later)),  # pyright: ignore[reportArgumentType]
}


async def add_visit_later(value: Value | None) -> Value:
    return add_visit(value)


@pytest.mark.parametrize(("error", "call"), WRONG.values(), ids=WRONG)
async def test_wrong_arguments_are_refused_before_any_io(
    error: type[Exception], call: Callable[[Any], Awaitable[object]], watched: Watched
) -> None:
    with pytest.raises(error):
        await call(watched)
    assert watched.calls == []
