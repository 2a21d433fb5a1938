"""Test doubles for frameworks: YieldingStore exposes races, FaultyStore fails or hangs on demand."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.errors import StoreConnectionError, StoreTimeoutError
from key_value.aio.stores.memory import MemoryStore
from key_value.aio.testing import FaultyStore, StoreTests, WrapperTests, YieldingStore

if TYPE_CHECKING:
    from key_value.aio.protocols import AsyncKeyValue

DOWN = StoreConnectionError("the server is down")


class TestYieldingStore(WrapperTests):
    def wrap(self, store: AsyncKeyValue) -> YieldingStore:
        return YieldingStore(store)


class TestFaultyStore(WrapperTests):
    def wrap(self, store: AsyncKeyValue) -> FaultyStore:
        return FaultyStore(store)


class TestContractsOfYieldingStore(StoreTests[YieldingStore]):
    example = YieldingStore(MemoryStore())

    # On purpose: an empty batch yields too.
    test_an_empty_batch_does_no_io = None  # pyright: ignore[reportAssignmentType]

    @pytest.fixture
    def store(self) -> YieldingStore:
        return YieldingStore(MemoryStore())


async def count_to_100(store: AsyncKeyValue) -> int:
    async def visit() -> None:
        found = await store.get("visits") or {"n": 0}
        await store.put("visits", {"n": found["n"] + 1})

    await asyncio.gather(*(visit() for _ in range(100)))
    return (await store.get("visits") or {})["n"]


async def test_a_race_hidden_by_memory_store_is_exposed() -> None:
    assert await count_to_100(MemoryStore()) == 100
    assert await count_to_100(YieldingStore(MemoryStore())) < 100


@pytest.fixture
def faulty() -> FaultyStore:
    return FaultyStore(MemoryStore())


async def test_every_call_fails_until_it_recovers(faulty: FaultyStore) -> None:
    await faulty.put("key", {"n": 1})
    faulty.fail(DOWN)
    for call in (faulty.get("key"), faulty.put("key", {"n": 2}), faulty.setup()):
        with pytest.raises(StoreConnectionError) as raised:
            await call
        assert raised.value is DOWN
    faulty.recover()
    await faulty.setup()
    assert await faulty.get("key") == {"n": 1}


async def test_the_requested_number_of_calls_fail(faulty: FaultyStore) -> None:
    faulty.fail(DOWN, times=2)
    outcomes = await asyncio.gather(*(faulty.get("key") for _ in range(4)), return_exceptions=True)
    assert outcomes == [DOWN, DOWN, None, None]


async def test_only_the_named_operations_fail(faulty: FaultyStore) -> None:
    faulty.fail(DOWN, operations=["put", "scan"])
    assert await faulty.get("key") is None
    with pytest.raises(StoreConnectionError):
        await faulty.put("key", {"n": 1})


async def test_a_write_with_a_lost_answer_is_stored(faulty: FaultyStore) -> None:
    lost = StoreTimeoutError("the answer was lost")
    faulty.fail(lost, operations=["put"], after=True)
    with pytest.raises(StoreTimeoutError):
        await faulty.put("key", {"n": 1})
    assert await faulty.get("key") == {"n": 1}


async def test_a_call_hangs_until_the_store_recovers(faulty: FaultyStore) -> None:
    faulty.hang(operations=["get"])
    await faulty.put("key", {"n": 1})
    reading = asyncio.ensure_future(faulty.get("key"))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not reading.done()
    faulty.recover()
    assert await reading == {"n": 1}


async def test_a_call_that_hangs_can_be_cancelled(faulty: FaultyStore) -> None:
    faulty.hang()
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(faulty.get("key"), 0.01)


@pytest.mark.parametrize("operations", [["got"], "get"])
def test_an_unknown_operation_is_refused(faulty: FaultyStore, operations: Any) -> None:
    with pytest.raises(ValueError, match="operations"):
        faulty.fail(DOWN, operations=operations)
    with pytest.raises(ValueError, match="operations"):
        faulty.hang(operations=operations)
