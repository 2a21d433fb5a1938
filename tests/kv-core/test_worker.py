"""Worker: calls run in one thread, in order, until the worker is closed or dropped."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.core.worker import Job, Worker

from .worker_resources import Resource, Resources, fail, identity, sleep, wait

if TYPE_CHECKING:
    from collections.abc import Sequence


@pytest.fixture
def resources() -> Resources:
    return Resources()


@pytest.fixture
def worker(resources: Resources) -> Worker[Resource]:
    return Worker(resources.open, Resource.close)


async def test_calls_run_in_one_other_thread(worker: Worker[Resource], resources: Resources) -> None:
    assert await worker.run(identity, 1, "a") == (1, "a")
    assert await asyncio.gather(*(worker.run(identity, number) for number in range(2500))) == [
        (number,) for number in range(2500)
    ]
    assert [resource.thread for resource in resources.opened] != [threading.get_ident()]
    assert len(resources.opened) == 1
    await worker.close()


async def test_nothing_is_opened_before_the_first_call(worker: Worker[Resource], resources: Resources) -> None:
    await worker.close()
    assert resources.opened == []


async def test_calls_run_in_order(worker: Worker[Resource]) -> None:
    made: list[int] = []

    def note(_: Resource, number: int) -> None:
        made.append(number)

    await asyncio.gather(*(worker.run(note, number) for number in range(1000)))
    assert made == list(range(1000))
    await worker.close()


async def test_an_exception_in_a_call_reaches_its_caller_only(worker: Worker[Resource]) -> None:
    calls = [worker.run(fail, KeyError("one")), worker.run(identity, 2), worker.run(fail, OSError(3))]
    outcomes: list[Any] = await asyncio.gather(*calls, return_exceptions=True)
    assert [repr(outcome) for outcome in outcomes] == ["KeyError('one')", "(2,)", "OSError(3)"]
    await worker.close()


async def test_a_failed_open_is_tried_again_by_the_next_call() -> None:
    resources = Resources(OSError("first"))
    worker = Worker(resources.open, Resource.close)
    with pytest.raises(OSError, match="first"):
        await worker.run(identity)
    assert await worker.run(identity, 1) == (1,)
    await worker.close()


async def test_waiting_calls_are_passed_on_together(resources: Resources) -> None:
    sizes: list[int] = []
    begun = threading.Event()

    def make_all(resource: Resource, calls: Sequence[Job[Resource]]) -> None:
        sizes.append(len(calls))
        begun.set()
        for call in calls:
            call.make(resource)

    worker = Worker(resources.open, Resource.close, make_all)
    event = threading.Event()
    first = asyncio.ensure_future(worker.run(wait, event))
    assert await asyncio.to_thread(begun.wait, 60)
    others = asyncio.gather(*(worker.run(identity) for _ in range(100)))
    await asyncio.sleep(0)
    event.set()
    await asyncio.gather(first, others)
    assert sizes == [1, 100]
    await worker.close()


async def test_waiting_calls_may_run_a_few_at_a_time_and_each_caller_is_answered_at_once(
    resources: Resources,
) -> None:
    def make_first(resource: Resource, calls: Sequence[Job[Resource]]) -> Sequence[Job[Resource]]:
        calls[0].make(resource)
        return calls[1:]

    worker = Worker(resources.open, Resource.close, make_first)
    event = threading.Event()
    first = asyncio.ensure_future(worker.run(wait, event))
    few = asyncio.gather(*(worker.run(identity) for _ in range(5)))
    later = threading.Event()
    last = asyncio.ensure_future(worker.run(wait, later))
    await asyncio.sleep(0)
    event.set()
    await asyncio.gather(first, few)
    assert not last.done()
    later.set()
    await last
    assert worker.load == 0
    await worker.close()


async def test_callers_do_not_wait_for_later_calls(worker: Worker[Resource]) -> None:
    event = threading.Event()
    calls = [asyncio.ensure_future(worker.run(sleep, 0.002)) for _ in range(3)]
    last = asyncio.ensure_future(worker.run(wait, event))
    await asyncio.gather(*calls)
    assert not last.done()
    event.set()
    await last
    await worker.close()


async def test_an_exception_around_the_calls_reaches_all_callers(resources: Resources) -> None:
    def make_all(resource: Resource, calls: Sequence[Job[Resource]]) -> None:
        for call in calls:
            call.make(resource)
        message = "around"
        raise OSError(message)

    worker = Worker(resources.open, Resource.close, make_all)
    outcomes = await asyncio.gather(*(worker.run(identity) for _ in range(3)), return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["around"] * 3
    await worker.close()


async def test_a_call_cancelled_before_it_starts_does_not_run(worker: Worker[Resource]) -> None:
    made: list[str] = []

    def note(_: Resource, what: str) -> None:
        made.append(what)

    event = threading.Event()
    first = asyncio.ensure_future(worker.run(wait, event))
    doomed = asyncio.ensure_future(worker.run(note, "doomed"))
    await asyncio.sleep(0)
    doomed.cancel()
    await asyncio.sleep(0)
    event.set()
    await first
    await worker.run(note, "last")
    assert made == ["last"]
    await worker.close()


async def test_a_call_cancelled_after_it_starts_is_completed(worker: Worker[Resource]) -> None:
    begun, event, completed = threading.Event(), threading.Event(), threading.Event()

    def work(_: Resource) -> None:
        begun.set()
        assert event.wait(60)
        completed.set()

    doomed = asyncio.ensure_future(worker.run(work))
    assert await asyncio.to_thread(begun.wait, 60)
    doomed.cancel()
    event.set()
    with pytest.raises(asyncio.CancelledError):
        await doomed
    await worker.close()
    assert completed.is_set()


async def test_close_waits_for_earlier_calls(worker: Worker[Resource], resources: Resources) -> None:
    calls = asyncio.gather(*(worker.run(identity, number) for number in range(10)))
    await asyncio.sleep(0)
    await worker.close()
    assert await calls == [(number,) for number in range(10)]
    assert resources.opened[0].closed.is_set()
    await worker.close()


async def test_a_closed_worker_opens_again(worker: Worker[Resource], resources: Resources) -> None:
    await worker.run(identity)
    await worker.close()
    assert await worker.run(identity, 1) == (1,)
    await worker.close()
    assert [resource.closed.is_set() for resource in resources.opened] == [True, True]


async def test_an_exception_while_closing_reaches_the_caller_of_close(resources: Resources) -> None:
    def close(_: Resource) -> None:
        message = "closing"
        raise OSError(message)

    worker = Worker(resources.open, close)
    await worker.run(identity)
    with pytest.raises(OSError, match="closing"):
        await worker.close()


async def test_a_worker_that_is_dropped_ends_its_thread(resources: Resources) -> None:
    worker = Worker(resources.open, Resource.close)
    await worker.run(identity)
    reference = weakref.ref(worker)
    del worker
    gc.collect()
    assert reference() is None
    assert resources.opened[0].closed.wait(60)


async def test_no_reference_to_a_call_is_kept(worker: Worker[Resource]) -> None:
    argument = Resource()
    reference = weakref.ref(argument)
    await worker.run(identity, argument)
    del argument
    # The thread drops its reference after it has answered.
    await worker.run(identity)
    assert reference() is None
    await worker.close()


def test_event_loops_and_threads_share_a_worker(worker: Worker[Resource], resources: Resources) -> None:
    async def use(number: int) -> None:
        for _ in range(100):
            assert await asyncio.gather(*(worker.run(identity, number) for _ in range(5))) == [(number,)] * 5

    threads = [threading.Thread(target=asyncio.run, args=(use(number),)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(resources.opened) == 1
    asyncio.run(worker.close())
    assert resources.opened[0].closed.is_set()


def test_a_call_from_an_ended_loop_does_not_disturb_others(worker: Worker[Resource]) -> None:
    event = threading.Event()

    async def leave() -> None:
        task = asyncio.ensure_future(worker.run(wait, event))
        await asyncio.sleep(0)
        task.cancel()

    asyncio.run(leave())
    event.set()
    assert asyncio.run(worker.run(identity, 1)) == (1,)
    asyncio.run(worker.close())


def test_open_resources_are_closed_at_the_end_of_the_program() -> None:
    program = """
import asyncio, time
from key_value.aio.core.worker import Worker

def close(_):
    time.sleep(0.2)
    print("closed", flush=True)

worker = Worker(object, close)
print(asyncio.run(worker.run(lambda _: "called")), flush=True)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout.split() == ["called", "closed"]
