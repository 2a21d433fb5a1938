"""Stores as third-party authors write them, for this version and for earlier ones."""

import asyncio
import sys
from collections.abc import Sequence
from datetime import datetime
from types import FrameType
from typing import Any

import pytest
from key_value.aio.core.envelope import dump_entry, load_entry
from key_value.aio.core.sanitization import HashExcessLengthStrategy
from key_value.aio.errors import StoreConnectionError, StoreSetupError
from key_value.aio.stores.base import BaseContextManagerStore, BaseStore, ManagedEntry
from key_value.aio.stores.memory import MemoryStore
from key_value.aio.testing import FakeClock
from key_value.aio.testing.inner_stores import PlainStore

MAX_FRAMES_PER_OPERATION = 8


class DictStore(BaseStore):
    """The three hooks, as written for py-key-value-aio."""

    def __init__(self, **options: Any) -> None:
        self.entries: dict[tuple[str, str], ManagedEntry] = {}
        super().__init__(stable_api=True, **options)

    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
        return self.entries.get((collection, key))

    async def _put_managed_entry(self, *, key: str, collection: str, managed_entry: ManagedEntry) -> None:
        self.entries[collection, key] = managed_entry

    async def _delete_managed_entry(self, *, key: str, collection: str) -> bool:
        return self.entries.pop((collection, key), None) is not None


class BatchStore(DictStore):
    async def _put_managed_entries(  # pyright: ignore[reportIncompatibleMethodOverride] — as earlier versions had it
        self,
        *,
        collection: str,
        keys: Sequence[str],
        managed_entries: Sequence[ManagedEntry],
        ttl: float | None,
        created_at: datetime,
        expires_at: datetime | None,
    ) -> None:
        self.batch = (ttl, created_at, expires_at)
        self.entries.update({(collection, key): entry for key, entry in zip(keys, managed_entries, strict=True)})


class PreparedStore(DictStore):
    """Counts how often it is prepared, and can be unreachable at first."""

    def __init__(self, failures: int = 0) -> None:
        self.setups: list[str] = []
        self.failures = failures
        super().__init__()

    async def _setup(self) -> None:
        self.setups.append("store")
        if len(self.setups) <= self.failures:
            raise ConnectionRefusedError

    async def _setup_collection(self, *, collection: str) -> None:
        await asyncio.sleep(0)
        self.setups.append(collection)


async def test_three_hooks_make_a_store() -> None:
    store = DictStore()
    await store.put_many(["a", "b"], [{"n": 1}, {"n": 2}], ttl=60)
    assert await store.get_many(["b", "c", "a"]) == [{"n": 2}, None, {"n": 1}]
    assert await store.delete_many(["a", "c"]) == 1


async def test_a_store_may_inherit_the_context_manager_beside_its_base() -> None:
    class ClosingStore(BaseContextManagerStore, DictStore):
        closed = False

        async def _close(self) -> None:
            self.closed = True

    async with ClosingStore(client_provided_by_user=True, default_collection="c") as store:
        await store.put("a", {})
    assert (store.closed, list(store.entries)) == (True, [("c", "a")])


async def test_entries_kept_by_a_store_share_no_objects_with_its_callers() -> None:
    store, value = DictStore(), {"list": [1]}
    await store.put("a", value)
    value["list"].append(2)
    (await store.get("a") or {})["list"].append(3)
    assert await store.get("a") == {"list": [1]}


async def test_results_of_one_batch_share_no_objects() -> None:
    class DecodingStore(DictStore):
        async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
            return load_entry(dump_entry(self.entries[collection, key]))

    store = DecodingStore()
    await store.put("a", {"list": [1]})
    first, second = await store.get_many(["a", "a"])
    (first or {})["list"].append(2)
    assert second == {"list": [1]}


async def test_a_batch_hook_with_ttl_and_time_parameters_receives_them() -> None:
    store = BatchStore()
    with FakeClock():
        await store.put_many(["a"], [{}], ttl=60)
    entry = store.entries["default_collection", "a"]
    assert store.batch == (60, entry.created_at, entry.expires_at)


async def test_the_store_and_each_collection_are_prepared_once() -> None:
    store = PreparedStore()
    await asyncio.gather(*(store.put(key, {}, collection=name) for key in "abc" for name in ("x", "y")))
    assert sorted(store.setups) == ["store", "x", "y"]


async def test_a_failed_setup_is_tried_again() -> None:
    store = PreparedStore(failures=1)
    with pytest.raises(StoreConnectionError):
        await store.get("a")
    assert await store.get("a") is None


async def test_an_unexpected_exception_in_setup_becomes_a_setup_error() -> None:
    class BrokenStore(DictStore):
        async def _setup(self) -> None:
            raise ZeroDivisionError

    with pytest.raises(StoreSetupError, match=r"BrokenStore\(\) cannot be used: ZeroDivisionError"):
        await BrokenStore().get("a")


async def test_hooks_receive_stored_names_and_entries_the_original_names() -> None:
    store = DictStore(key_sanitization_strategy=HashExcessLengthStrategy(max_length=20))
    await store.put("k" * 30, {"n": 1})
    ((collection, key),) = store.entries
    assert (collection, key[:2], len(key)) == ("default_collection", "H_", 20)
    assert store.entries[collection, key].key == "k" * 30
    assert await store.get("k" * 30) == {"n": 1}


async def test_an_entry_stored_for_another_key_is_not_returned() -> None:
    store = DictStore()
    await store.put("a", {"n": 1})
    store.entries["default_collection", "b"] = store.entries["default_collection", "a"]
    assert await store.get("b") is None


async def test_a_seed_is_stored_when_the_store_is_first_opened() -> None:
    store = DictStore(seed={"users": {"alice": {"n": 1}}})
    assert store.entries == {}
    assert await store.get("alice", collection="users") == {"n": 1}


class HalfOpenStore(PreparedStore):
    """Fails its setup after it has opened a resource."""

    is_open = False

    async def _setup(self) -> None:
        self.is_open = True
        await super()._setup()

    async def _close(self) -> None:
        self.is_open = False


async def test_a_resource_opened_during_a_concurrent_close_is_closed_by_the_next_close() -> None:
    opening, go_on = asyncio.Event(), asyncio.Event()

    class Slow(PlainStore):
        async def _setup(self) -> None:
            opening.set()
            await go_on.wait()

    store = Slow()
    put = asyncio.create_task(store.put("a", {}))
    await opening.wait()
    await store.close()
    go_on.set()
    await put
    await store.close()
    assert store.closed == 2


async def test_after_a_failed_setup_close_and_the_context_manager_close_the_store() -> None:
    store = HalfOpenStore(failures=2)
    with pytest.raises(StoreConnectionError):
        await store.setup()
    await store.close()
    assert store.is_open is False
    with pytest.raises(StoreConnectionError):
        await store.__aenter__()
    assert store.is_open is False
    async with store:
        assert store.is_open is True
    assert store.is_open is False


async def test_a_seed_is_stored_by_the_next_setup_after_a_failed_one() -> None:
    class FailingAtFirst(DictStore):
        failures = 1

        async def _put_managed_entry(self, *, key: str, collection: str, managed_entry: ManagedEntry) -> None:
            if self.failures:
                self.failures -= 1
                raise ConnectionResetError
            await super()._put_managed_entry(key=key, collection=collection, managed_entry=managed_entry)

    store = FailingAtFirst(seed={"users": {"alice": {"n": 1}}})
    with pytest.raises(StoreConnectionError):
        await store.setup()
    assert await store.get("alice", collection="users") == {"n": 1}


@pytest.mark.parametrize("operation", ["get", "put"])
async def test_a_warm_operation_makes_few_calls_within_our_packages(operation: str) -> None:
    store = MemoryStore()
    await store.put("a", {"n": 1}, collection="c")
    frames: list[str] = []

    def count(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and "key_value/aio" in frame.f_code.co_filename:
            frames.append(frame.f_code.co_qualname if sys.version_info >= (3, 11) else frame.f_code.co_name)

    call = store.get("a", collection="c") if operation == "get" else store.put("a", {"n": 1}, collection="c")
    sys.setprofile(count)
    await call
    sys.setprofile(None)
    assert len(frames) <= MAX_FRAMES_PER_OPERATION, frames


class ForgetfulStore(DictStore):
    def __init__(self) -> None:
        self.entries = {}
        self.colour = getattr(self, "colour", "red")


async def test_a_store_that_does_not_call_its_base_constructor_raises_a_clear_error() -> None:
    forgetful = ForgetfulStore()
    assert forgetful.colour == "red"
    with pytest.raises(AttributeError, match=r"ForgetfulStore\.__init__ did not call super\(\)\.__init__\(\)"):
        await forgetful.put("key", {"a": 1})
    complete: Any = DictStore()
    with pytest.raises(AttributeError, match=r"'DictStore' object has no attribute 'color'$"):
        _ = complete.color
