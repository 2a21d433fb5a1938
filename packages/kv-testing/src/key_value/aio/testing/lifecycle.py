"""Lifecycle: the first use opens a store, `close` closes it, and both work concurrently and repeatedly."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from key_value.aio.errors import BaseKeyValueError, StoreConnectionError, StoreSetupError
from key_value.aio.protocols import AsyncLifecycleProtocol, CapabilitiesProtocol
from key_value.aio.stores.base import BaseStore
from key_value.aio.testing.calls import READS, WRITES
from key_value.aio.testing.contract import StoreContract, StoreT, ability, capabilities_of, method
from key_value.aio.testing.running import closed_after, closing
from key_value.aio.testing.selection import declares, helper, needs, no_setting, setting
from key_value.aio.testing.threads import in_threads

__all__ = ["LifecycleTests"]


class CountedHook:
    """Replaces a hook such as `_setup`: counts the calls, yields to other tasks, and fails in the first `failures`."""

    def __init__(self, hook: Callable[[], Awaitable[None]], failures: int, error: Exception) -> None:
        self.calls: int = 0
        self._hook = hook
        self._failures = failures
        self._error = error

    async def __call__(self) -> None:
        self.calls += 1
        await asyncio.sleep(0)
        if self.calls <= self._failures:
            raise self._error
        await self._hook()


class LifecycleTests(StoreContract[StoreT]):
    def test_a_store_can_be_opened_and_closed_and_tells_what_it_promises(self, store: StoreT) -> None:
        assert isinstance(store, AsyncLifecycleProtocol)
        assert isinstance(store, CapabilitiesProtocol)

    @needs(BaseStore)
    async def test_every_setup_contacts_the_backend_and_a_use_is_spared_it(
        self, store: StoreT, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        probe = self._count_calls(store, "_probe", monkeypatch)
        await store.put("key", {"a": 1})
        assert probe.calls == 0
        lifecycle = ability(store, AsyncLifecycleProtocol)
        for calls in (1, 2, 3):
            await lifecycle.setup()
            assert probe.calls == calls
        async with lifecycle:
            assert probe.calls == 4
            assert await store.get("key") == {"a": 1}
        if self.reopens:
            assert await store.get("key") in ([{"a": 1}] if capabilities_of(store).durable else [{"a": 1}, None])

    @needs(BaseStore)
    async def test_a_setup_that_does_not_reach_the_backend_says_so_and_a_later_one_may(
        self, store: StoreT, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self._count_calls(store, "_probe", monkeypatch, failures=2 if self.reopens else 1)
        lifecycle = ability(store, AsyncLifecycleProtocol)
        with pytest.raises(StoreConnectionError) as failure:
            await lifecycle.setup()
        assert isinstance(failure.value.__cause__, ConnectionRefusedError)
        if self.reopens:  # a failed `__aenter__` closes the store
            with pytest.raises(StoreConnectionError):
                await lifecycle.__aenter__()
        await lifecycle.setup()
        await store.put("key", {"a": 1})
        assert await store.get("key") == {"a": 1}

    @needs(BaseStore)
    async def test_what_setup_cannot_heal_by_trying_again_is_a_setup_error(
        self, store: StoreT, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self._count_calls(store, "_probe", monkeypatch, failures=1, error=LookupError("unknown to any table"))
        with pytest.raises(StoreSetupError) as failure:
            await ability(store, AsyncLifecycleProtocol).setup()
        assert isinstance(failure.value.__cause__, LookupError)
        assert not isinstance(failure.value, StoreConnectionError)

    async def test_setups_at_once_are_one(self, store: StoreT) -> None:
        lifecycle = ability(store, AsyncLifecycleProtocol)
        puts = [store.put(f"key {number}", {"n": number}) for number in range(20)]
        await asyncio.gather(*(lifecycle.setup() for _ in range(20)), *puts)
        assert await store.get("key 7") == {"n": 7}

    async def test_setup_may_run_more_than_once(self, store: StoreT) -> None:
        setup = method(store, "setup")
        await setup()
        await store.put("key", {"a": 1})
        await setup()
        assert await store.get("key") == {"a": 1}

    async def test_a_store_is_an_async_context_manager(self, store: StoreT) -> None:
        manager: Any = store
        async with manager as entered:
            assert entered is store
            await store.put("key", {"a": 1})
            assert await store.get("key") == {"a": 1}

    async def test_close_may_run_more_than_once(self, store: StoreT) -> None:
        close = method(store, "close")
        await close()
        if self.reopens:
            await store.put("key", {"a": 1})
        await close()
        await close()

    @needs(setting("reopens"))
    async def test_a_closed_store_finds_its_entries_at_the_next_use(self, store: StoreT) -> None:
        close = method(store, "close")
        await store.put("key", {"a": 1})
        await close()
        assert await store.get("key") in ([{"a": 1}] if capabilities_of(store).durable else [{"a": 1}, None])

    @needs(setting("reopens"))
    async def test_a_reopened_store_is_usable(self, store: StoreT) -> None:
        close = method(store, "close")
        for number in range(3):
            await store.put("key", {"n": number})
            assert await store.get("key") == {"n": number}
            await close()

    @needs(no_setting("reopens"))
    async def test_a_store_that_does_not_reopen_refuses_every_use(self, store: StoreT) -> None:
        await store.put("key", {"a": 1}, collection="shelf")
        await method(store, "close")()
        answered: list[str] = []
        for name, call in {**READS, **WRITES}.items():
            with suppress(BaseKeyValueError):
                await call(store)
                answered.append(name)
        assert answered == []

    @needs(BaseStore)
    async def test_fifty_concurrent_first_uses_open_once(self, store: StoreT, monkeypatch: pytest.MonkeyPatch) -> None:
        setup = self._count_calls(store, "_setup", monkeypatch)
        await asyncio.gather(*(store.put(f"key {number}", {"n": number}) for number in range(50)))
        assert setup.calls == 1
        assert await store.get("key 49") == {"n": 49}

    @needs(BaseStore)
    async def test_a_failed_open_is_tried_again(self, store: StoreT, monkeypatch: pytest.MonkeyPatch) -> None:
        setup = self._count_calls(store, "_setup", monkeypatch, failures=1)
        with pytest.raises(BaseKeyValueError) as failure:
            await store.put("key", {"a": 1})
        assert isinstance(failure.value.__cause__, ConnectionRefusedError)
        await store.put("key", {"a": 2})
        assert await store.get("key") == {"a": 2}
        assert setup.calls == 2

    @pytest.mark.parametrize("steps", range(5))
    async def test_a_cancelled_first_use_leaves_the_next_one_working(self, store: StoreT, steps: int) -> None:
        first = asyncio.ensure_future(store.put("key", {"n": 1}))
        second = asyncio.ensure_future(store.put("other", {"n": 2}))
        for _ in range(steps):
            await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        assert second.exception() is None
        await store.put("key", {"n": 3})
        assert await store.get_many(["key", "other"]) == [{"n": 3}, {"n": 2}]

    @needs(setting("any_event_loop"))
    def test_one_event_loop_after_another_uses_the_store(self, store: StoreT) -> None:
        self.run(store.put("key", {"n": 1}))
        assert self.run(store.get("key")) == {"n": 1}
        self.run(store.put("key", {"n": 2}))
        assert self.run(closed_after(store, store.get("key"))) == {"n": 2}

    @needs(setting("any_event_loop"), setting("reopens"))
    def test_a_store_closed_in_one_event_loop_opens_in_another(self, store: StoreT) -> None:
        method(store, "close")
        self.run(closed_after(store, store.put("key", {"n": 1})))
        self.run(store.put("key", {"n": 2}))
        assert self.run(closed_after(store, store.get("key"))) == {"n": 2}

    @needs(setting("any_event_loop"))
    def test_event_loops_of_several_threads_use_the_store_at_once(self, store: StoreT) -> None:
        async def work(thread: int) -> list[dict[str, Any] | None]:
            keys = [f"key {thread} {number}" for number in range(50)]
            await asyncio.gather(*(store.put(key, {"thread": thread}) for key in keys))
            return await asyncio.gather(*(store.get(key) for key in keys))

        assert in_threads(self, store, work) == [[{"thread": thread}] * 50 for thread in range(4)]

    @needs(helper("reopen"), declares("durable"))
    async def test_a_durable_store_finds_its_entries_again(self, store: StoreT) -> None:
        await store.put("key", {"a": 1}, ttl=1000)
        await method(store, "close")()
        reopened = self.reopen(store)
        async with closing(reopened):
            value, remaining = await reopened.ttl("key")
        assert value == {"a": 1}
        assert remaining == pytest.approx(1000, abs=60)

    @needs(declares("durable"))
    async def test_the_event_loop_runs_on_while_a_durable_store_writes(self, store: StoreT) -> None:
        await store.put("key", {"a": 1})
        meanwhile: list[bool] = []
        asyncio.get_running_loop().call_soon(meanwhile.append, True)  # noqa: FBT003 — the argument of the callback
        await store.put("key", {"a": 2})
        assert meanwhile == [True]

    @needs(helper("reopen"))
    async def test_two_objects_over_the_same_data_see_each_others_entries(self, store: StoreT) -> None:
        other = self.reopen(store)
        async with closing(other):
            await store.put("key", {"a": 1})
            assert await other.get("key") == {"a": 1}
            await other.put("key", {"a": 2})
            assert await store.get("key") == {"a": 2}
            assert await other.delete("key") is True
            assert await store.get("key") is None

    def test_a_store_is_always_true(self, store: StoreT) -> None:
        assert bool(store) is True
        assert not hasattr(type(store), "__len__")
        assert not hasattr(type(store), "__bool__")

    @needs(setting("secrets"))
    async def test_a_repr_shows_no_secret(self, store: StoreT) -> None:
        assert [secret for secret in self.secrets if secret in repr(store)] == []
        await store.put("key", {"a": 1})
        assert [secret for secret in self.secrets if secret in repr(store)] == []

    def _count_calls(
        self,
        store: StoreT,
        hook: str,
        monkeypatch: pytest.MonkeyPatch,
        *,
        failures: int = 0,
        error: Exception | None = None,
    ) -> CountedHook:
        """Replace a hook of BaseStore with a CountedHook, and return it."""
        base = ability(store, BaseStore)
        counted = CountedHook(getattr(base, hook), failures, error or ConnectionRefusedError())
        monkeypatch.setattr(base, hook, counted)
        return counted
