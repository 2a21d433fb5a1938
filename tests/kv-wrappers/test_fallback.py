"""FallbackWrapper: calls and errors that fall back, and the contents of both stores afterwards."""

import asyncio
import logging
from typing import Any

import pytest
from key_value.aio.core.capabilities import Capabilities
from key_value.aio.errors import DeserializationError, InvalidKeyError, StoreConnectionError, StoreTimeoutError
from key_value.aio.protocols import (
    AsyncDestroyStoreProtocol,
    AsyncEnumerateCollectionsProtocol,
    AsyncEnumerateKeysProtocol,
    AsyncKeyValue,
)
from key_value.aio.stores.base import ManagedEntry
from key_value.aio.stores.memory import MemoryStore
from key_value.aio.testing import StoreTests, WrapperTests
from key_value.aio.testing.inner_stores import FailingStore, ForeignStore, FullStore, PlainStore
from key_value.aio.testing.stateful import check_against_dict
from key_value.aio.testing.wrapper import EVERY_CALL, LISTINGS, READS, REMOVALS, WRITES, ExampleCall
from key_value.aio.wrappers.fallback import FallbackWrapper

DOWN = StoreConnectionError("the server is down")


class TestFallbackWrapper(WrapperTests):
    def wrap(self, store: AsyncKeyValue) -> AsyncKeyValue:
        return FallbackWrapper(store, MemoryStore(), fallback_on=(StoreTimeoutError,))


class TestFallbackWrapperThatWrites(WrapperTests):
    def wrap(self, store: AsyncKeyValue) -> AsyncKeyValue:
        return FallbackWrapper(store, MemoryStore(), (StoreTimeoutError,), True)  # noqa: FBT003 — positional as well


class TestWorkingPrimary(StoreTests[AsyncKeyValue]):
    example = FallbackWrapper(MemoryStore(), MemoryStore())

    @pytest.fixture
    def store(self) -> AsyncKeyValue:
        return FallbackWrapper(MemoryStore(), MemoryStore())


class TestFailingPrimary(StoreTests[AsyncKeyValue]):
    @pytest.fixture
    def store(self) -> AsyncKeyValue:
        return FallbackWrapper(Down(), MemoryStore(), write_to_fallback=True)


class Down(ForeignStore):
    """Fails every call."""

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("_"):
            return object.__getattribute__(self, name)

        async def fail(*_: Any, **__: Any) -> Any:
            raise DOWN

        return fail if hasattr(ForeignStore, name) else object.__getattribute__(self, name)


def test_a_store_with_a_fallback_behaves_like_a_dict() -> None:
    check_against_dict(lambda: FallbackWrapper(MemoryStore(), MemoryStore(), write_to_fallback=True))
    check_against_dict(lambda: FallbackWrapper(Down(), MemoryStore(), write_to_fallback=True))


async def filled(**options: Any) -> tuple[FallbackWrapper, MemoryStore]:
    """Return a wrapper of a failing primary and a fallback with one entry."""
    fallback = MemoryStore()
    await fallback.put_many(["key", "other"], [{"n": 1}, {"n": 2}], collection="shelf", ttl=1000)
    return FallbackWrapper(FailingStore(DOWN), fallback, **options), fallback


async def test_reads_fall_back() -> None:
    store, _ = await filled()
    assert await store.get("key", collection="shelf") == {"n": 1}
    assert await store.get_many(["other", "absent", "key"], collection="shelf") == [{"n": 2}, None, {"n": 1}]
    (value, remaining), (absent, _) = await store.ttl_many(["key", "absent"], collection="shelf")
    assert (value, absent, remaining is not None and 990 < remaining <= 1000) == ({"n": 1}, None, True)
    assert (await store.ttl("key", collection="shelf"))[0] == {"n": 1}


async def test_listings_fall_back() -> None:
    store, _ = await filled()
    assert isinstance(store, AsyncEnumerateKeysProtocol)
    assert isinstance(store, AsyncEnumerateCollectionsProtocol)
    assert sorted(await store.keys("shelf")) == ["key", "other"]
    assert len(await store.keys("shelf", limit=1)) == 1
    assert await store.collections() == ["shelf"]
    assert await store.collections(limit=0) == []


@pytest.mark.parametrize("listing", LISTINGS.values(), ids=LISTINGS)
async def test_listings_raise_when_the_fallback_cannot_list(listing: ExampleCall) -> None:
    with pytest.raises(StoreConnectionError) as raised:
        await listing(FallbackWrapper(FailingStore(DOWN), PlainStore()))
    assert raised.value is DOWN


async def test_an_absent_entry_is_not_looked_up_in_the_fallback() -> None:
    fallback = MemoryStore(seed={"shelf": {"key": {"n": 1}}})
    store = FallbackWrapper(MemoryStore(), fallback)
    assert await store.get("key", collection="shelf") is None
    assert await store.get_many(["key"], collection="shelf") == [None]
    assert await store.ttl("key", collection="shelf") == (None, None)


@pytest.mark.parametrize("write", {**WRITES, **REMOVALS}.values(), ids={**WRITES, **REMOVALS})
async def test_a_write_raises_by_default_and_does_not_reach_the_fallback(write: ExampleCall) -> None:
    store, fallback = await filled()
    with pytest.raises(StoreConnectionError) as raised:
        await write(store)
    assert raised.value is DOWN
    assert await fallback.get_many(["key", "other"], collection="shelf") == [{"n": 1}, {"n": 2}]


async def test_writes_fall_back_on_request() -> None:
    store, fallback = await filled(write_to_fallback=True)
    await store.put("key", {"n": 3}, collection="shelf", ttl=50)
    (value, remaining) = await fallback.ttl("key", collection="shelf")
    assert (value, remaining is not None and 40 < remaining <= 50) == ({"n": 3}, True)
    assert await store.delete("key", collection="shelf") is True
    await store.put_many(["one", "two"], [{"n": 1}, {"n": 2}])
    assert await fallback.get_many(["one", "two"]) == [{"n": 1}, {"n": 2}]
    assert await store.delete_many(["one", "two", "absent"]) == 2
    assert await fallback.get("key", collection="shelf") is None


@pytest.mark.parametrize("removal", REMOVALS.values(), ids=REMOVALS)
async def test_removals_never_fall_back(removal: ExampleCall) -> None:
    store, fallback = await filled(write_to_fallback=True)
    with pytest.raises(StoreConnectionError):
        await removal(store)
    assert await fallback.get("key", collection="shelf") == {"n": 1}


async def test_a_write_that_succeeds_is_not_repeated_in_the_fallback() -> None:
    fallback = MemoryStore()
    store = FallbackWrapper(MemoryStore(), fallback, write_to_fallback=True)
    await store.put("key", {"n": 1})
    assert await fallback.get("key") is None


@pytest.mark.parametrize("call", EVERY_CALL.values(), ids=EVERY_CALL)
async def test_other_errors_are_raised_unchanged(call: ExampleCall) -> None:
    store, _ = await filled(fallback_on=(StoreTimeoutError, DeserializationError), write_to_fallback=True)
    with pytest.raises(StoreConnectionError) as raised:
        await call(store)
    assert raised.value is DOWN


@pytest.mark.parametrize("call", {**READS, **WRITES}.values(), ids={**READS, **WRITES})
async def test_when_both_fail_the_fallbacks_error_has_the_primarys_as_its_context(call: ExampleCall) -> None:
    late = StoreTimeoutError("the fallback is late")
    with pytest.raises(StoreTimeoutError) as raised:
        await call(FallbackWrapper(FailingStore(DOWN), FailingStore(late), write_to_fallback=True))
    assert raised.value is late
    assert raised.value.__context__ is DOWN


class Waiting(PlainStore):
    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()

    async def _setup(self) -> None:
        self.asked.set()
        await asyncio.Event().wait()


@pytest.mark.parametrize("call", {**READS, **WRITES}.values(), ids={**READS, **WRITES})
async def test_a_cancellation_never_falls_back(call: ExampleCall) -> None:
    primary, fallback = Waiting(), PlainStore()
    task = asyncio.ensure_future(call(FallbackWrapper(primary, fallback, write_to_fallback=True)))
    await primary.asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert fallback.opened == 0


@pytest.mark.parametrize("fallback_on", [(BaseException,), (ValueError, asyncio.CancelledError), (1,), None])
@pytest.mark.filterwarnings("ignore::key_value.aio.core.type_checks.TypeViolationWarning")
def test_fallback_on_must_be_exception_classes(fallback_on: Any) -> None:
    with pytest.raises(ValueError, match="fallback_on must be classes of exceptions"):
        FallbackWrapper(MemoryStore(), MemoryStore(), fallback_on=fallback_on)


@pytest.mark.parametrize("no_store", [MemoryStore, 3, None])
@pytest.mark.filterwarnings("ignore::key_value.aio.core.type_checks.TypeViolationWarning")
def test_both_stores_are_stores(no_store: Any) -> None:
    with pytest.raises(TypeError, match=r"^fallback_key_value must be a store, not (the class MemoryStore|int|None)"):
        FallbackWrapper(MemoryStore(), no_store)


def test_abilities_and_capabilities_come_from_the_primary() -> None:
    store = FallbackWrapper(primary_key_value=PlainStore(), fallback_key_value=FullStore())
    assert not isinstance(store, AsyncEnumerateKeysProtocol)
    assert isinstance(FallbackWrapper(FullStore(), ForeignStore()), AsyncDestroyStoreProtocol)
    assert store.capabilities == PlainStore.capabilities != Capabilities()


async def test_both_stores_are_opened_and_closed() -> None:
    primary, fallback = PlainStore(), PlainStore()
    async with FallbackWrapper(primary, fallback):
        assert (primary.opened, fallback.opened) == (1, 1)
    assert (primary.closed, fallback.closed) == (1, 1)


async def test_both_stores_are_closed_when_closing_one_fails() -> None:
    class FailsToClose(PlainStore):
        async def _close(self) -> None:
            raise DOWN

    fallback = PlainStore()
    store = FallbackWrapper(FailsToClose(), fallback)
    await store.setup()
    with pytest.raises(StoreConnectionError):
        await store.close()
    assert fallback.closed == 1


@pytest.mark.parametrize("failing", ["primary", "fallback"])
async def test_a_single_store_that_cannot_be_opened_is_logged(failing: str, caplog: pytest.LogCaptureFixture) -> None:
    working = PlainStore()
    stores = (FailingStore(DOWN), working) if failing == "primary" else (working, FailingStore(DOWN))
    async with FallbackWrapper(*stores):
        assert working.opened == 1
    assert [(record.levelno, failing in record.getMessage()) for record in caplog.records] == [(logging.WARNING, True)]


async def test_setup_raises_when_both_stores_cannot_be_opened() -> None:
    with pytest.raises(StoreConnectionError):
        await FallbackWrapper(FailingStore(DOWN), FailingStore(DOWN)).setup()


async def test_setup_raises_errors_it_does_not_fall_back_on() -> None:
    for stores in ((FailingStore(DOWN), PlainStore()), (PlainStore(), FailingStore(DOWN))):
        with pytest.raises(StoreConnectionError):
            await FallbackWrapper(*stores, fallback_on=(StoreTimeoutError,)).setup()


def test_a_repr_shows_both_stores() -> None:
    assert repr(FallbackWrapper(MemoryStore(), PlainStore())) == "FallbackWrapper(MemoryStore(), PlainStore())"


class BuggyStore(MemoryStore):
    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
        raise ZeroDivisionError(collection, key)


async def test_a_programming_error_is_not_swallowed_by_default() -> None:
    store = FallbackWrapper(BuggyStore(), MemoryStore())
    with pytest.raises(ZeroDivisionError):
        await store.get("key")


async def test_a_call_with_an_invalid_argument_does_not_reach_the_fallback() -> None:
    fallback = FullStore()
    with pytest.raises(InvalidKeyError):
        await FallbackWrapper(MemoryStore(), fallback).get("")
    assert fallback.opened == 0


@pytest.mark.filterwarnings("ignore::key_value.aio.core.type_checks.TypeViolationWarning")
async def test_a_single_exception_may_be_passed_without_a_tuple() -> None:
    store = FallbackWrapper(BuggyStore(), MemoryStore(), fallback_on=ZeroDivisionError)  # pyright: ignore[reportArgumentType] — as in earlier versions
    assert await store.get("key") is None


async def test_each_fallback_is_logged_without_the_error_message(caplog: pytest.LogCaptureFixture) -> None:
    store = FallbackWrapper(FailingStore(StoreConnectionError("hunter2")), MemoryStore())
    await store.get("key")
    (record,) = caplog.records
    assert (record.levelname, "get goes to the fallback store after" in record.getMessage()) == ("WARNING", True)


class HalfBrokenStore(MemoryStore):
    """Fails conditional and paged operations."""

    async def scan(self, *arguments: Any, **options: Any) -> Any:
        raise StoreConnectionError(str((arguments, options)))

    get_versioned = put_if_absent = put_if_version = delete_if_version = scan


@pytest.mark.parametrize("write_to_fallback", [False, True])
async def test_calls_with_store_specific_versions_or_cursors_never_fall_back(write_to_fallback: bool) -> None:  # noqa: FBT001
    fallback = MemoryStore()
    store: Any = FallbackWrapper(HalfBrokenStore(), fallback, write_to_fallback=write_to_fallback)
    for call in (
        store.scan(),
        store.get_versioned("key"),
        store.put_if_absent("key", {}),
        store.put_if_version("key", {}, None),
        store.delete_if_version("key", "version"),
    ):
        with pytest.raises(StoreConnectionError):
            await call
    assert await fallback.keys() == []
