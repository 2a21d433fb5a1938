"""Opening once, and one resource for each event loop."""

import asyncio
import threading

import pytest
from key_value.aio.core.lifecycle import Once, PerLoop


class Opening:
    """A function to run once, which waits until it may go on and fails as often as it is told."""

    def __init__(self, failures: int = 0) -> None:
        self.runs = 0
        self.failures = failures
        self.started = asyncio.Event()
        self.go_on = asyncio.Event()

    async def __call__(self) -> None:
        self.runs += 1
        self.started.set()
        await self.go_on.wait()
        if self.failures >= self.runs:
            raise ConnectionError(self.runs)


async def test_many_callers_run_it_once() -> None:
    once, opening = Once(), Opening()
    opening.go_on.set()
    await asyncio.gather(*(once.run(opening) for _ in range(100)))
    assert opening.runs == 1


async def test_those_who_wait_share_a_failure_and_the_next_tries_again() -> None:
    once, opening = Once(), Opening(failures=1)
    callers = [asyncio.create_task(once.run(opening)) for _ in range(10)]
    await opening.started.wait()
    opening.go_on.set()
    outcomes = await asyncio.gather(*callers, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ConnectionError] * 10
    await once.run(opening)
    assert (opening.runs, once.done) == (2, True)


async def test_one_who_waits_takes_over_from_one_who_is_cancelled() -> None:
    once, opening = Once(), Opening()
    first = asyncio.create_task(once.run(opening))
    await opening.started.wait()
    second = asyncio.create_task(once.run(opening))
    await asyncio.sleep(0)
    first.cancel()
    opening.go_on.set()
    await second
    assert (opening.runs, first.cancelled(), once.done) == (2, True, True)


async def test_one_who_waits_can_be_cancelled_alone() -> None:
    once, opening = Once(), Opening()
    first = asyncio.create_task(once.run(opening))
    await opening.started.wait()
    second = asyncio.create_task(once.run(opening))
    await asyncio.sleep(0)
    second.cancel()
    opening.go_on.set()
    await first
    assert (opening.runs, second.cancelled()) == (1, True)


def test_threads_with_their_own_loops_run_it_once() -> None:
    once, runs, together = Once(), list[int](), threading.Barrier(8)

    async def open_slowly() -> None:
        runs.append(1)
        await asyncio.sleep(0.01)

    def use() -> None:
        together.wait()
        asyncio.run(once.run(open_slowly))
        assert once.done

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(runs) == 1


async def test_it_runs_again_after_a_reset() -> None:
    once, opening = Once(), Opening()
    opening.go_on.set()
    await once.run(opening)
    once.reset()
    await once.run(opening)
    assert opening.runs == 2


class Resource:
    def __init__(self) -> None:
        self.closed_in: asyncio.AbstractEventLoop | None = None

    async def close(self) -> None:
        self.closed_in = asyncio.get_running_loop()


@pytest.fixture
def per_loop() -> PerLoop[Resource]:
    return PerLoop(Resource, Resource.close)


async def test_a_loop_keeps_its_resource(per_loop: PerLoop[Resource]) -> None:
    assert per_loop.get() is per_loop.get()
    await per_loop.close()


def test_each_loop_has_its_own_and_closes_it_at_its_end(per_loop: PerLoop[Resource]) -> None:
    async def use() -> tuple[Resource, asyncio.AbstractEventLoop]:
        return per_loop.get(), asyncio.get_running_loop()

    first, second = asyncio.run(use()), asyncio.run(use())
    assert first[0] is not second[0]
    assert (first[0].closed_in, second[0].closed_in) == (first[1], second[1])


async def test_after_closing_there_is_a_new_one(per_loop: PerLoop[Resource]) -> None:
    first = per_loop.get()
    await per_loop.close()
    assert first.closed_in is asyncio.get_running_loop()
    assert per_loop.get() is not first
    await per_loop.close()


async def test_closing_closes_each_in_its_own_loop(per_loop: PerLoop[Resource]) -> None:
    opened, go_on = threading.Event(), threading.Event()
    others: list[Resource] = []

    async def use() -> None:
        others.append(per_loop.get())
        opened.set()
        await asyncio.to_thread(go_on.wait)

    thread = threading.Thread(target=asyncio.run, args=(use(),))
    thread.start()
    await asyncio.to_thread(opened.wait)
    await per_loop.close()
    go_on.set()
    await asyncio.to_thread(thread.join)
    assert others[0].closed_in not in (None, asyncio.get_running_loop())
