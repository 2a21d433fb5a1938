"""update: the function's result, the ttl, and concurrent writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.atomic import update
from key_value.aio.errors import (
    SerializationError,
)

from .functions import Value, add_visit

if TYPE_CHECKING:
    from conftest import Watched
    from key_value.aio.testing import FakeClock
    from versioned_stores import SharedStore


async def test_update_stores_and_returns_the_result_of_the_function(store: Any) -> None:
    await store.put("key", {"visits": 6})
    assert await update(store, "key", lambda value: {"visits": (value or {})["visits"] + 1}) == {"visits": 7}
    assert await store.get("key") == {"visits": 7}


async def test_update_passes_none_to_the_function_if_there_is_no_entry(store: Any) -> None:
    assert await update(store, "key", lambda value: {"before": value}) == {"before": None}
    assert await store.ttl("key") == ({"before": None}, None)


async def test_the_function_may_modify_its_argument(store: Any) -> None:
    await store.put("key", {"visits": 6})
    assert await update(store, "key", add_visit) == await store.get("key") == {"visits": 7}


async def test_the_returned_value_may_be_modified(store: Any) -> None:
    kept: list[Value] = []
    value = await update(store, "key", lambda _: kept.append({"a": 1}) or kept[-1])
    value["a"] = 2
    assert kept == [{"a": 1}]
    assert await store.get("key") == {"a": 1}


async def test_update_changes_only_the_entry_in_its_collection(store: Any) -> None:
    await store.put("key", {"visits": 1})
    await update(store, "key", add_visit, collection="other")
    await update(store, "key", add_visit, collection="other")
    assert await store.get("key") == {"visits": 1}
    assert await store.get("key", collection="other") == {"visits": 2}


async def test_update_keeps_the_remaining_ttl(store: Any, clock: FakeClock) -> None:
    await store.put("key", {"visits": 1}, ttl=60)
    clock.advance(20)
    await update(store, "key", add_visit)
    assert await store.ttl("key") == ({"visits": 2}, 40)


async def test_a_slow_function_does_not_extend_the_ttl(store: Any, clock: FakeClock) -> None:
    def slow(value: Value | None) -> Value:
        clock.advance(15)
        return add_visit(value)

    await store.put("key", {"visits": 1}, ttl=60)
    await update(store, "key", slow)
    assert await store.ttl("key") == ({"visits": 2}, 45)


@pytest.mark.usefixtures("expires_by_our_clock")
async def test_an_entry_that_expires_during_the_function_is_not_restored(store: Any, clock: FakeClock) -> None:
    given: list[Value | None] = []

    def slow(value: Value | None) -> Value:
        given.append(value)
        clock.advance(40)
        return {"calls": len(given)}

    await store.put("key", {"old": True}, ttl=60)
    clock.advance(30)
    assert await update(store, "key", slow) == {"calls": 2}
    assert given == [{"old": True}, None]
    assert await store.ttl("key") == ({"calls": 2}, None)


async def test_an_uncontended_update_is_one_read_and_one_write(watched: Watched) -> None:
    await update(watched, "key", add_visit)
    await update(watched, "key", add_visit)
    assert watched.calls == ["get_versioned", "put_if_version"] * 2


async def test_update_calls_the_function_again_with_a_value_written_meanwhile(store: Any, watched: Watched) -> None:
    await store.put("key", {"visits": 1})
    watched.before_write = lambda: store.put("key", {"visits": 100})
    assert await update(watched, "key", add_visit) == {"visits": 101}
    assert watched.calls == ["get_versioned", "put_if_version"] * 2


async def test_update_creates_an_entry_that_was_deleted_meanwhile(store: Any, watched: Watched) -> None:
    await store.put("key", {"visits": 100})
    watched.before_write = lambda: store.delete("key")
    assert await update(watched, "key", add_visit) == {"visits": 1}


async def test_an_exception_in_the_function_is_raised_and_leaves_the_entry_unchanged(
    store: Any, watched: Watched
) -> None:
    await store.put("key", {"stock": 0})

    def buy(value: Value | None) -> Value:
        raise LookupError(value)

    with pytest.raises(LookupError, match="stock"):
        await update(watched, "key", buy)
    assert watched.calls == ["get_versioned"]
    assert await store.get("key") == {"stock": 0}
    assert await update(store, "key", add_first_stock) == {"stock": 1}


def add_first_stock(value: Value | None) -> Value:
    return {"stock": (value or {})["stock"] + 1}


@pytest.mark.parametrize("returned", [None, [("a", 1)], "text"])
async def test_a_result_that_is_not_a_mapping_is_an_error(store: Any, returned: Any) -> None:
    await store.put("key", {"visits": 1})
    with pytest.raises(TypeError, match=f"must return the new value, a mapping, not {type(returned).__name__}"):
        await update(store, "key", lambda _: returned)
    assert await store.get("key") == {"visits": 1}


async def test_a_result_that_json_cannot_hold_leaves_the_entry_unchanged(store: Any) -> None:
    await store.put("key", {"visits": 1})
    with pytest.raises(SerializationError):
        await update(store, "key", lambda _: {"when": b"now"})
    assert await store.get("key") == {"visits": 1}


async def test_update_replaces_an_entry_that_reads_as_absent(hiding: SharedStore) -> None:
    assert await update(hiding, "key", lambda value: {"before": value}) == {"before": None}
    hiding.hides = False
    assert await hiding.ttl("key") == ({"before": None}, None)
