"""ReadOnlyWrapper passes reads through and refuses every write, with or without an error."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from key_value.aio.core.operations import OPERATIONS
from key_value.aio.errors import ReadOnlyError
from key_value.aio.stores.memory import MemoryStore
from key_value.aio.testing import WrapperTests
from key_value.aio.testing.inner_stores import FailingStore, ForeignStore, FullStore
from key_value.aio.testing.wrapper import EVERY_WRITE, LISTINGS, READS, ExampleCall
from key_value.aio.wrappers.read_only import ReadOnlyWrapper

if TYPE_CHECKING:
    from key_value.aio.protocols import AsyncKeyValue

ANSWERS = {
    "put": None,
    "put_many": None,
    "delete": False,
    "delete_many": 0,
    "destroy": False,
    "destroy_collection": False,
    "cull": None,
    "put_if_absent": False,
    "put_if_version": False,
    "delete_if_version": False,
}


class TestReadOnlyWrapper(WrapperTests):
    read_only = True

    def wrap(self, store: AsyncKeyValue) -> ReadOnlyWrapper:
        return ReadOnlyWrapper(store)


@pytest.mark.parametrize("name", EVERY_WRITE)
async def test_a_silent_wrapper_returns_the_results_of_a_write_without_effect(name: str) -> None:
    store = FullStore()
    await store.put("key", {"a": 1}, collection="shelf", ttl=90)
    before = dict(store.entries)
    answer = await EVERY_WRITE[name](ReadOnlyWrapper(store, raise_on_write=False))
    assert (answer, type(answer)) == (ANSWERS[name], type(ANSWERS[name]))
    assert store.entries == before


@pytest.mark.parametrize("raise_on_write", [True, False])
@pytest.mark.parametrize("call", EVERY_WRITE.values(), ids=EVERY_WRITE)
async def test_a_refused_write_does_not_reach_the_inner_store(call: ExampleCall, *, raise_on_write: bool) -> None:
    wrapper = ReadOnlyWrapper(FailingStore(AssertionError("reached")), raise_on_write)
    if raise_on_write:
        with pytest.raises(ReadOnlyError):
            await call(wrapper)
    else:
        await call(wrapper)


@pytest.mark.parametrize("call", {**READS, **LISTINGS}.values(), ids={**READS, **LISTINGS})
async def test_a_read_returns_the_result_of_the_inner_store(call: ExampleCall) -> None:
    store = FullStore()
    await store.put("key", {"a": 1}, collection="shelf")
    assert await call(ReadOnlyWrapper(store, raise_on_write=False)) == await call(store)


@pytest.mark.parametrize("name", EVERY_WRITE)
async def test_the_error_names_the_refused_operation(name: str) -> None:
    with pytest.raises(ReadOnlyError) as raised:
        await EVERY_WRITE[name](ReadOnlyWrapper(FullStore()))
    assert raised.value.extra_info == {
        "operation": name,
        "collection": None if name in ("destroy", "cull") else "shelf",
        "key": "key" if "key" in OPERATIONS[name].parameters else None,
    }


async def test_an_empty_batch_is_refused_too() -> None:
    with pytest.raises(ReadOnlyError):
        await ReadOnlyWrapper(MemoryStore()).delete_many([])


async def test_reads_of_a_foreign_store_are_passed_through() -> None:
    foreign = ForeignStore()
    await foreign.put("key", {"a": 1})
    wrapper = ReadOnlyWrapper(key_value=foreign)
    assert await wrapper.get("key") == {"a": 1}
    assert await wrapper.get_many(["key", "absent"]) == [{"a": 1}, None]


async def test_a_seed_is_stored_nevertheless() -> None:
    wrapper = ReadOnlyWrapper(MemoryStore(seed={"shelf": {"key": {"a": 1}}}))
    assert await wrapper.get("key", collection="shelf") == {"a": 1}
