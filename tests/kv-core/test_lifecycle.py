"""Once: a function runs once for all its callers, and again after a fork."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from key_value.aio.core.forks import new_lock
from key_value.aio.core.lifecycle import Once

from .forking import forks, in_child


class Opening:
    """A function that waits for an event and raises in its first `failures` runs."""

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


async def test_waiting_callers_share_a_failure_and_the_next_call_tries_again() -> None:
    once, opening = Once(), Opening(failures=1)
    callers = [asyncio.create_task(once.run(opening)) for _ in range(10)]
    await opening.started.wait()
    opening.go_on.set()
    outcomes = await asyncio.gather(*callers, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ConnectionError] * 10
    await once.run(opening)
    assert (opening.runs, once.done) == (2, True)


async def test_a_waiting_caller_takes_over_from_a_cancelled_one() -> None:
    once, opening = Once(), Opening()
    first = asyncio.create_task(once.run(opening))
    await opening.started.wait()
    second = asyncio.create_task(once.run(opening))
    await asyncio.sleep(0)
    first.cancel()
    opening.go_on.set()
    await second
    assert (opening.runs, first.cancelled(), once.done) == (2, True, True)


async def test_a_waiting_caller_can_be_cancelled_alone() -> None:
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


@pytest.mark.parametrize("others_wait_already", [False, True])
def test_a_waiting_caller_takes_over_from_a_stopped_loop(*, others_wait_already: bool) -> None:
    once, opening, runs = Once(), Opening(), list[int]()
    first = asyncio.new_event_loop()

    async def begin() -> asyncio.Task[None]:
        return asyncio.create_task(once.run(opening))

    async def open_now() -> None:
        runs.append(1)

    begun, stop = threading.Event(), threading.Event()

    async def stay() -> asyncio.Task[None]:
        task = await begin()
        await opening.started.wait()
        begun.set()
        await asyncio.to_thread(stop.wait)
        return task

    async def take_over() -> None:
        waiting = asyncio.create_task(once.run(open_now))
        if others_wait_already:
            await asyncio.sleep(0.1)
            assert not runs
        stop.set()
        await asyncio.wait_for(waiting, 60)

    tasks: list[asyncio.Task[None]] = []
    thread = threading.Thread(target=lambda: tasks.append(first.run_until_complete(stay())))
    thread.start()
    begun.wait()
    if not others_wait_already:
        stop.set()
        thread.join()
    asyncio.run(take_over())
    thread.join()
    assert (runs, once.done) == ([1], True)
    opening.go_on.set()
    first.run_until_complete(tasks[0])
    first.close()


@forks
def test_a_forked_child_does_not_wait_for_its_parents_run() -> None:
    once, begun, stop = Once(), threading.Event(), threading.Event()

    async def stay() -> None:
        begun.set()
        await asyncio.to_thread(stop.wait)

    async def run() -> None:
        await once.run(nothing)

    thread = threading.Thread(target=asyncio.run, args=(once.run(stay),))
    thread.start()
    begun.wait()
    assert in_child(lambda: asyncio.run(asyncio.wait_for(run(), 60)) is None and once.done)
    stop.set()
    thread.join()


async def nothing() -> None:
    """Open nothing."""


@forks
@pytest.mark.parametrize("in_each_process", [False, True])
def test_a_forked_child_repeats_a_run_required_in_each_process(*, in_each_process: bool) -> None:
    once = Once(in_each_process=in_each_process)
    asyncio.run(once.run(nothing))
    assert in_child(lambda: once.done is not in_each_process)
    assert once.done


@forks
def test_a_lock_held_too_long_by_another_thread_is_free_in_the_child() -> None:
    lock, held, stop = new_lock(), threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            stop.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    assert in_child(lambda: lock.acquire(timeout=1))
    stop.set()
    thread.join()
    assert lock.acquire(timeout=1)
    lock.release()


@forks
def test_a_thread_may_fork_while_it_holds_a_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("key_value.aio.core.forks._LOCK_WAIT_SECONDS", 60)
    lock = new_lock()
    began = time.monotonic()
    with lock:
        assert in_child(lambda: lock.acquire(timeout=1))
    assert time.monotonic() - began < 30
