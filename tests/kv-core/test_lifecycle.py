"""Opening once, and one resource for each event loop."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from typing import TYPE_CHECKING

import pytest
from key_value.aio.core.forks import new_lock
from key_value.aio.core.lifecycle import Once, PerLoop

if TYPE_CHECKING:
    from collections.abc import Callable


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


@pytest.mark.parametrize("others_wait_already", [False, True])
def test_one_who_waits_takes_over_from_a_loop_that_stopped(*, others_wait_already: bool) -> None:
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


def in_child(function: Callable[[], bool]) -> bool:
    child = os.fork()
    if not child:
        fine = False
        try:
            fine = function()
        finally:
            os._exit(0 if fine else 1)
    return os.waitpid(child, 0)[1] == 0


def forks(test: Callable[..., None]) -> Callable[..., None]:
    # From Python 3.12 on, a fork of a process with threads is warned of.
    test = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")(test)
    test = pytest.mark.timeout(120)(test)
    return pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform does not fork")(test)


@forks
def test_a_child_does_not_wait_for_what_its_parent_runs() -> None:
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
    """Nothing to open."""


@forks
@pytest.mark.parametrize("in_each_process", [False, True])
def test_a_child_runs_again_what_each_process_needs(*, in_each_process: bool) -> None:
    once = Once(in_each_process=in_each_process)
    asyncio.run(once.run(nothing))
    assert in_child(lambda: once.done is not in_each_process)
    assert once.done


@forks
def test_a_lock_that_another_thread_holds_too_long_is_free_in_the_child() -> None:
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


async def get_from(per_loop: PerLoop[Resource]) -> Resource:
    return per_loop.get()


def test_what_a_closed_loop_has_left_is_released_when_another_gets_its_own() -> None:
    released: list[Resource] = []
    per_loop = PerLoop(Resource, Resource.close, released.append)
    closed, other = asyncio.new_event_loop(), asyncio.new_event_loop()
    resource = closed.run_until_complete(get_from(per_loop))
    closed.close()
    other.run_until_complete(get_from(per_loop))
    assert released == [resource]
    other.run_until_complete(per_loop.close())
    other.close()


@pytest.mark.parametrize("is_idle", [True, False])
def test_what_a_stopped_loop_has_left_is_released_only_when_nothing_is_under_way(*, is_idle: bool) -> None:
    released: list[Resource] = []
    per_loop = PerLoop(Resource, Resource.close, released.append, lambda _: is_idle)
    stopped, other = asyncio.new_event_loop(), asyncio.new_event_loop()
    resource = stopped.run_until_complete(get_from(per_loop))
    other.run_until_complete(get_from(per_loop))
    assert released == [resource] * is_idle
    assert (stopped.run_until_complete(get_from(per_loop)) is resource) is not is_idle
    for loop in (stopped, other):
        loop.run_until_complete(per_loop.close())
        loop.close()


def test_closing_releases_what_closed_and_stopped_loops_have_left() -> None:
    released: list[Resource] = []
    per_loop = PerLoop(Resource, Resource.close, released.append)
    closed, stopped = asyncio.new_event_loop(), asyncio.new_event_loop()
    first = closed.run_until_complete(get_from(per_loop))
    second = stopped.run_until_complete(get_from(per_loop))
    closed.close()
    asyncio.run(per_loop.close())
    assert released == [first, second]
    stopped.close()
    assert first.closed_in is second.closed_in is None


@forks
def test_a_child_that_goes_on_with_its_parents_loop_has_a_resource_of_its_own(per_loop: PerLoop[Resource]) -> None:
    loop = asyncio.new_event_loop()

    async def get() -> Resource:
        return per_loop.get()

    resource = loop.run_until_complete(get())

    def end() -> bool:
        own = loop.run_until_complete(get())
        loop.run_until_complete(per_loop.close())
        loop.run_until_complete(loop.shutdown_asyncgens())
        return own is not resource and own.closed_in is loop and resource.closed_in is None

    assert in_child(end)
    loop.run_until_complete(per_loop.close())
    assert resource.closed_in is loop
    loop.close()


@forks
def test_a_child_that_goes_on_with_its_parents_loop_resolves_host_names(per_loop: PerLoop[Resource]) -> None:
    """The threads that asyncio resolves them with are the parent's."""

    async def use() -> bool:
        per_loop.get()
        return bool(await asyncio.wait_for(asyncio.get_running_loop().getaddrinfo("localhost", 80), 60))

    loop = asyncio.new_event_loop()
    assert loop.run_until_complete(use())
    loop.run_until_complete(asyncio.sleep(0.1))  # until the thread waits for more
    assert in_child(lambda: loop.run_until_complete(use()))
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
