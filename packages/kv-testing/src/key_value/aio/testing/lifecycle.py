"""Lifecycle: opened by the first use, whoever comes first, and closed when told."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier
from typing import Any

import pytest
from key_value.aio.errors import BaseKeyValueError
from key_value.aio.stores.base import BaseStore
from key_value.aio.testing.contract import StoreContract, StoreT, ability, capabilities_of, method
from key_value.aio.testing.running import closing

__all__ = ["LifecycleTests"]


class CountedSetup:
    """Stands in for a store's `_setup`: counts, takes its time, and fails as often as told."""

    def __init__(self, setup: Callable[[], Awaitable[None]], failures: int = 0) -> None:
        self.calls = 0
        self._setup = setup
        self._failures = failures

    async def __call__(self) -> None:
        self.calls += 1
        await asyncio.sleep(0)
        if self.calls <= self._failures:
            raise ConnectionRefusedError
        await self._setup()


class LifecycleTests(StoreContract[StoreT]):
    async def test_setup_may_run_more_than_once(self, store: StoreT) -> None:
        setup = method(store, "setup")
        await setup()
        await store.put("key", {"a": 1})
        await setup()
        assert await store.get("key") == {"a": 1}

    async def test_a_store_is_an_async_context_manager(self, store: StoreT) -> None:
        if not hasattr(store, "__aenter__"):
            pytest.skip(f"{type(store).__name__} has no __aenter__()")
        manager: Any = store
        async with manager as entered:
            assert entered is store
            await store.put("key", {"a": 1})
            assert await store.get("key") == {"a": 1}

    async def test_close_may_run_more_than_once(self, store: StoreT) -> None:
        close = method(store, "close")
        await close()
        await store.put("key", {"a": 1})
        await close()
        await close()

    async def test_a_closed_store_finds_its_entries_or_refuses_to(self, store: StoreT) -> None:
        close = method(store, "close")
        await store.put("key", {"a": 1})
        await close()
        kept = [{"a": 1}] if capabilities_of(store).durable else [{"a": 1}, None]
        with suppress(BaseKeyValueError):
            assert await store.get("key") in kept

    async def test_a_reopened_store_is_usable(self, store: StoreT) -> None:
        close = method(store, "close")
        with suppress(BaseKeyValueError):
            for number in range(3):
                await store.put("key", {"n": number})
                assert await store.get("key") == {"n": number}
                await close()

    async def test_fifty_concurrent_first_uses_open_once(self, store: StoreT, monkeypatch: pytest.MonkeyPatch) -> None:
        setup = self._counted_setup(store, monkeypatch)
        await asyncio.gather(*(store.put(f"key {number}", {"n": number}) for number in range(50)))
        assert setup.calls == 1
        assert await store.get("key 49") == {"n": 49}

    async def test_a_failed_open_is_tried_again(self, store: StoreT, monkeypatch: pytest.MonkeyPatch) -> None:
        setup = self._counted_setup(store, monkeypatch, failures=1)
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

    def test_one_event_loop_after_another_uses_the_store(self, store: StoreT) -> None:
        self._require_any_event_loop()
        self.run(store.put("key", {"n": 1}))
        assert self.run(store.get("key")) == {"n": 1}
        self.run(store.put("key", {"n": 2}))
        assert self.run(_last(store, store.get("key"))) == {"n": 2}

    def test_a_store_closed_in_one_event_loop_opens_in_another(self, store: StoreT) -> None:
        self._require_any_event_loop()
        method(store, "close")
        self.run(_last(store, store.put("key", {"n": 1})))
        with suppress(BaseKeyValueError):
            self.run(store.put("key", {"n": 2}))
            assert self.run(_last(store, store.get("key"))) == {"n": 2}

    def test_event_loops_of_several_threads_use_the_store_at_once(self, store: StoreT) -> None:
        self._require_any_event_loop()
        threads = 4
        together = Barrier(threads, timeout=self.time_limit)

        async def work(thread: int) -> list[dict[str, Any] | None]:
            keys = [f"key {thread} {number}" for number in range(50)]
            await asyncio.gather(*(store.put(key, {"thread": thread}) for key in keys))
            return await asyncio.gather(*(store.get(key) for key in keys))

        def run(thread: int) -> list[dict[str, Any] | None]:
            together.wait()
            return self.run(work(thread))

        with ThreadPoolExecutor(threads) as pool:
            found = list(pool.map(run, range(threads)))
        self.run(_last(store, store.delete("key 0 0")))
        assert found == [[{"thread": thread}] * 50 for thread in range(threads)]

    async def test_a_durable_store_finds_its_entries_again(self, store: StoreT) -> None:
        if not capabilities_of(store).durable:
            pytest.skip(f"{type(store).__name__} does not declare itself durable")
        await store.put("key", {"a": 1}, ttl=1000)
        await method(store, "close")()
        reopened = self.reopen(store)
        async with closing(reopened):
            value, remaining = await reopened.ttl("key")
        assert value == {"a": 1}
        assert remaining == pytest.approx(1000, abs=60)

    async def test_the_event_loop_runs_on_while_a_durable_store_writes(self, store: StoreT) -> None:
        if not capabilities_of(store).durable:
            pytest.skip(f"{type(store).__name__} does not declare itself durable")
        await store.put("key", {"a": 1})
        meanwhile: list[bool] = []
        asyncio.get_running_loop().call_soon(meanwhile.append, True)  # noqa: FBT003 — what is called, not how
        await store.put("key", {"a": 2})
        assert meanwhile == [True]

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

    async def test_a_repr_shows_no_secret(self, store: StoreT) -> None:
        if not self.secrets:
            pytest.skip(f"{type(self).__name__} names no `secrets` that its store was constructed with")
        assert [secret for secret in self.secrets if secret in repr(store)] == []
        await store.put("key", {"a": 1})
        assert [secret for secret in self.secrets if secret in repr(store)] == []

    def _require_any_event_loop(self) -> None:
        if not self.any_event_loop:
            pytest.skip(f"{type(self).__name__} says that its store belongs to one event loop: any_event_loop")

    def _counted_setup(self, store: StoreT, monkeypatch: pytest.MonkeyPatch, failures: int = 0) -> CountedSetup:
        base = ability(store, BaseStore)
        setup = CountedSetup(base._setup, failures)  # noqa: SLF001 — the hook that BaseStore calls  # pyright: ignore[reportPrivateUsage]
        monkeypatch.setattr(base, "_setup", setup)
        return setup


async def _last(store: object, use: Awaitable[Any]) -> Any:
    async with closing(store):
        return await use
