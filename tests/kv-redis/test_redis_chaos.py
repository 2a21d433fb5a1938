"""Calls cancelled and timed out at random, over a network that delays, cuts, drops and stalls at random.

KV_REDIS_CHAOS_OPERATIONS sets the number of operations; a million take several minutes.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.errors import StoreConnectionError
from key_value.aio.stores.redis import RedisStore
from key_value.aio.testing import FaultProxy
from key_value.aio.testing.contract import eventually
from redis_cases import connections_named

if TYPE_CHECKING:
    from collections.abc import Callable

OPERATIONS = int(os.environ.get("KV_REDIS_CHAOS_OPERATIONS", "20000"))
WORKERS = 200
TIMEOUT = 0.2
# Store calls within one operation of a worker.
MAX_CALLS = 2
SLACK = 0.5
TICK = 0.01
CONNECTIONS = 4
NAME = "chaos"


def pass_through(proxy: FaultProxy, _: random.Random) -> None:
    proxy.pass_through()


# Mostly undisturbed, so that calls are in flight when a fault occurs.
WEATHER: list[Callable[[FaultProxy, random.Random], None]] = [
    *[pass_through] * 8,
    lambda proxy, chance: proxy.delay(chance.uniform(0, TIMEOUT)),
    lambda proxy, chance: proxy.delay(chance.uniform(TIMEOUT, 3 * TIMEOUT)),
    lambda proxy, chance: proxy.drop_after(chance.randrange(5000)),
    lambda proxy, _: proxy.reset(),
    lambda proxy, _: proxy.refuse(),
    lambda proxy, _: proxy.black_hole(),
]


class Pulse:
    """Time that the event loop has run; time during which the machine stalls does not count."""

    def __init__(self) -> None:
        self.seconds = 0.0

    async def beat(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            self.seconds += TICK


class Worker:
    """Use its own keys; each value contains its key."""

    def __init__(self, store: RedisStore, pulse: Pulse, number: int) -> None:
        self._store = store
        self._pulse = pulse
        self._chance = random.Random(number)  # noqa: S311 — reproducible
        self._keys = [f"{number}-{each}" for each in range(3)]
        self.outcomes: Counter[str] = Counter()
        self.longest = 0.0

    async def run(self, operations: int) -> None:
        for _ in range(operations):
            call = asyncio.ensure_future(self._chance.choice(self._kinds)(self))
            if self._chance.random() < 0.1:
                asyncio.get_running_loop().call_later(self._chance.choice([0, 0, 0.001, 0.01]), call.cancel)
            start = self._pulse.seconds
            try:
                await call
                self.outcomes["answered"] += 1
            except asyncio.CancelledError:
                self.outcomes["cancelled"] += 1
            except StoreConnectionError as error:
                self.outcomes[type(error).__name__] += 1
            self.longest = max(self.longest, self._pulse.seconds - start)

    def _value(self, key: str) -> dict[str, Any]:
        return {"key": key, "padding": "x" * self._chance.choice([0, 0, 10, 1000, 100_000])}

    def _check(self, key: str, value: dict[str, Any] | None) -> None:
        assert value is None or value["key"] == key

    async def _get(self) -> None:
        key = self._chance.choice(self._keys)
        self._check(key, await self._store.get(key))

    async def _ttl(self) -> None:
        key = self._chance.choice(self._keys)
        value, _ = await self._store.ttl(key)
        self._check(key, value)

    async def _put(self) -> None:
        key = self._chance.choice(self._keys)
        await self._store.put(key, self._value(key), ttl=self._chance.choice([None, 60]))

    async def _delete(self) -> None:
        assert await self._store.delete(self._chance.choice(self._keys)) in (True, False)

    async def _get_many(self) -> None:
        keys = self._chance.sample(self._keys, 2)
        found = await self._store.get_many([*keys, "absent"])
        for key, value in zip(keys, found[:2], strict=True):
            self._check(key, value)
        assert found[2] is None

    async def _put_many(self) -> None:
        await self._store.put_many(self._keys, list(map(self._value, self._keys)), ttl=self._chance.choice([None, 60]))

    async def _put_if_version(self) -> None:
        key = self._chance.choice(self._keys)
        found = await self._store.get_versioned(key)
        self._check(key, found.value)
        assert await self._store.put_if_version(key, self._value(key), found.version) in (True, False)

    _kinds = (_get, _get, _get, _ttl, _put, _put, _delete, _get_many, _put_many, _put_if_version)


async def change_weather(proxy: FaultProxy) -> None:
    chance = random.Random(7)  # noqa: S311 — reproducible
    while True:
        chance.choice(WEATHER)(proxy, chance)
        await asyncio.sleep(chance.uniform(0.01, 0.1))


@pytest.mark.timeout(120 + OPERATIONS / 500)
async def test_no_answer_is_lost_or_delivered_to_another_call_under_random_faults(url: str, raw: Any) -> None:
    options = raw.connection_pool.connection_kwargs
    database = url.rpartition("/")[2]
    tasks = asyncio.all_tasks()
    async with FaultProxy(options["host"], options["port"]) as proxy:
        place = f"redis://{proxy.host}:{proxy.port}/{database}?client_name={NAME}"
        store = RedisStore(url=place, timeout=TIMEOUT, max_connections=CONNECTIONS)
        pulse = Pulse()
        workers = [Worker(store, pulse, number) for number in range(WORKERS)]
        background = [asyncio.create_task(pulse.beat()), asyncio.create_task(change_weather(proxy))]
        await asyncio.gather(*(worker.run(OPERATIONS // WORKERS) for worker in workers))
        for each in background:
            each.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        proxy.pass_through()

        async def answers() -> bool:
            with suppress(StoreConnectionError):
                await store.setup()
                return True
            return False

        assert await eventually(answers, within=60)
        outcomes = sum((worker.outcomes for worker in workers), Counter[str]())
        assert sum(outcomes.values()) == OPERATIONS // WORKERS * WORKERS
        # Each of these outcomes has occurred.
        assert {"answered", "cancelled", "StoreConnectionError", "StoreTimeoutError"} == set(outcomes)
        assert max(worker.longest for worker in workers) < MAX_CALLS * TIMEOUT + SLACK
        await store.close()
    assert asyncio.all_tasks() == tasks
    assert connections_named(raw, NAME) == 0
