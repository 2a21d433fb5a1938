"""StatisticsWrapper counts the operations on each collection exactly."""

from __future__ import annotations

import asyncio
import copy
import sys
import threading
from dataclasses import asdict
from typing import TYPE_CHECKING

import pytest
from key_value.aio.errors import KeyValueStoreError, SerializationError, StoreConnectionError
from key_value.aio.stores.memory import MemoryStore
from key_value.aio.testing import FakeClock, WrapperTests
from key_value.aio.testing.inner_stores import FailingStore, ForeignStore
from key_value.aio.testing.stateful import check_against_dict
from key_value.aio.testing.wrapper import EVERY_CALL, LISTINGS, REMOVALS, ExampleCall
from key_value.aio.wrappers.statistics import StatisticsWrapper
from key_value.aio.wrappers.statistics.wrapper import KVStoreCollectionStatistics, KVStoreStatistics
from pydantic import BaseModel, TypeAdapter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from key_value.aio.protocols import AsyncKeyValue


class TestStatisticsWrapper(WrapperTests):
    def wrap(self, store: AsyncKeyValue) -> StatisticsWrapper:
        return StatisticsWrapper(store)


def test_it_behaves_like_a_dict() -> None:
    check_against_dict(lambda: StatisticsWrapper(MemoryStore()))


@pytest.fixture
def wrapper() -> StatisticsWrapper:
    return StatisticsWrapper(MemoryStore())


@pytest.fixture
def frequent_thread_switches() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def hits(hit: int, miss: int) -> dict[str, int]:
    return {"count": hit + miss, "hit": hit, "miss": miss}


async def test_each_operation_is_counted_in_its_collection(wrapper: StatisticsWrapper) -> None:
    await wrapper.get("key", collection="c")
    await wrapper.put("key", {"a": 1}, collection="c")
    await wrapper.get("key", collection="c")
    await wrapper.get("key", collection="c")
    await wrapper.ttl("key", collection="c")
    await wrapper.ttl("absent", collection="c")
    await wrapper.delete("key", collection="c")
    await wrapper.delete("key", collection="c")
    assert asdict(wrapper.statistics.collections["c"]) == {
        "get": hits(2, 1),
        "ttl": hits(1, 1),
        "put": {"count": 1},
        "delete": hits(1, 1),
        "exists": hits(0, 0),
    }
    assert wrapper.statistics.collections["c"].count == 8
    assert list(wrapper.statistics.collections) == ["c"]


async def test_a_batch_counts_each_of_its_keys(wrapper: StatisticsWrapper) -> None:
    await wrapper.put_many(["a", "b"], [{"n": 1}] * 2)
    await wrapper.get_many(["a", "absent", "a", "other"])
    await wrapper.ttl_many(["a", "b", "absent"])
    await wrapper.delete_many(["a", "b", "absent"])
    counted = wrapper.statistics.get_collection("default_collection")
    assert asdict(counted.get) == hits(2, 2)
    assert asdict(counted.ttl) == hits(2, 1)
    assert asdict(counted.put) == {"count": 2}
    assert asdict(counted.delete) == hits(2, 1)


async def test_a_key_deleted_twice_in_a_batch_is_not_a_miss(wrapper: StatisticsWrapper) -> None:
    await wrapper.put("key", {"a": 1}, collection="c")
    await wrapper.delete_many(["key", "key"], collection="c")
    assert asdict(wrapper.statistics.collections["c"].delete) == hits(1, 0)


async def test_an_expired_entry_is_a_miss(wrapper: StatisticsWrapper) -> None:
    with FakeClock() as clock:
        await wrapper.put("key", {"a": 1}, collection="c", ttl=90)
        clock.advance(100)
        await wrapper.get("key", collection="c")
        await wrapper.ttl("key", collection="c")
    assert asdict(wrapper.statistics.collections["c"].get) == hits(0, 1)
    assert asdict(wrapper.statistics.collections["c"].ttl) == hits(0, 1)


async def test_an_empty_value_is_a_hit(wrapper: StatisticsWrapper) -> None:
    await wrapper.put("key", {})
    await wrapper.get("key")
    await wrapper.get_many(["key"])
    assert asdict(wrapper.statistics.collections["default_collection"].get) == hits(2, 0)


async def test_calls_without_a_collection_count_under_a_fixed_name() -> None:
    wrapper = StatisticsWrapper(MemoryStore(default_collection="mine"))
    await wrapper.put("key", {"a": 1})
    assert list(wrapper.statistics.collections) == ["default_collection"]


@pytest.mark.parametrize("call", EVERY_CALL.values(), ids=EVERY_CALL)
async def test_a_failed_call_is_not_counted(call: ExampleCall) -> None:
    wrapper = StatisticsWrapper(FailingStore(StoreConnectionError("the server is down")))
    with pytest.raises(KeyValueStoreError):
        await call(wrapper)
    assert wrapper.statistics == KVStoreStatistics()


async def test_a_refused_value_is_not_counted(wrapper: StatisticsWrapper) -> None:
    with pytest.raises(SerializationError):
        await wrapper.put("key", {"a": object()})
    assert wrapper.statistics == KVStoreStatistics()


@pytest.mark.parametrize("call", {**LISTINGS, **REMOVALS}.values(), ids={**LISTINGS, **REMOVALS})
async def test_a_call_of_an_optional_protocol_is_not_counted(call: ExampleCall, wrapper: StatisticsWrapper) -> None:
    await call(wrapper)
    assert wrapper.statistics == KVStoreStatistics()


async def test_a_foreign_store_is_counted() -> None:
    wrapper = StatisticsWrapper(ForeignStore())
    await wrapper.put("key", {"a": 1}, collection="c")
    await wrapper.get_many(("key", "absent"), collection="c")
    assert asdict(wrapper.statistics.collections["c"].get) == hits(1, 1)


@pytest.mark.usefixtures("frequent_thread_switches")
def test_tasks_in_several_threads_are_counted_exactly(wrapper: StatisticsWrapper) -> None:
    async def use(number: int) -> None:
        await wrapper.put("key", {"a": 1}, collection=f"c{number % 2}")
        await wrapper.get_many(["key", f"absent {number}"], collection=f"c{number % 2}")
        await wrapper.get("key", collection=f"c{number % 2}")

    async def use_much() -> None:
        await asyncio.gather(*(use(number) for number in range(500)))

    threads = [threading.Thread(target=asyncio.run, args=(use_much(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for collection in ("c0", "c1"):
        counted = wrapper.statistics.collections[collection]
        assert (asdict(counted.get), counted.put.count) == (hits(2000, 1000), 1000)


async def test_a_copy_is_a_snapshot(wrapper: StatisticsWrapper) -> None:
    await wrapper.get("key")
    before = copy.deepcopy(wrapper.statistics)
    await wrapper.get("key")
    assert before.collections["default_collection"].get.miss == 1
    assert wrapper.statistics.collections["default_collection"].get.miss == 2


async def test_assigning_new_statistics_restarts_the_counts(wrapper: StatisticsWrapper) -> None:
    await wrapper.get("key")
    wrapper.statistics = KVStoreStatistics()
    await wrapper.put("key", {"a": 1})
    assert asdict(wrapper.statistics.collections["default_collection"])["get"] == hits(0, 0)
    assert wrapper.statistics.collections["default_collection"].put.count == 1


async def test_the_statistics_of_a_collection_can_be_a_pydantic_field(wrapper: StatisticsWrapper) -> None:
    class Report(BaseModel):
        tools: KVStoreCollectionStatistics | None

    await wrapper.get("key", collection="tools")
    report = Report(tools=wrapper.statistics.collections.get("tools"))
    assert report.model_dump()["tools"]["get"] == hits(0, 1)
    assert Report.model_validate_json(report.model_dump_json()) == report
    assert Report(tools=wrapper.statistics.collections.get("absent")).tools is None


async def test_all_statistics_can_be_serialized_with_pydantic(wrapper: StatisticsWrapper) -> None:
    await wrapper.get("key", collection="c")
    await wrapper.delete_many(["key", "other"], collection="d")
    adapter = TypeAdapter(KVStoreStatistics)
    assert adapter.validate_json(adapter.dump_json(wrapper.statistics)) == wrapper.statistics
    assert adapter.json_schema()["properties"].keys() == {"collections"}


def test_statistics_can_be_incremented_directly() -> None:
    counted = KVStoreCollectionStatistics()
    counted.get.increment_hit()
    counted.get.increment_miss(increment=2)
    counted.put.increment(increment=3)
    assert (asdict(counted.get), counted.put.count) == (hits(1, 2), 3)
