"""Worker in forking processes: the child's own thread, and the calls that a fork waits for."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.core.worker import Worker

from .forking import forked, forks
from .worker_resources import Resource, Resources, fail, identity, sleep

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def resources() -> Resources:
    return Resources()


@pytest.fixture
def worker(resources: Resources) -> Worker[Resource]:
    return Worker(resources.open, Resource.close)


@forks
def test_a_forked_child_has_its_own_thread(worker: Worker[Resource], resources: Resources) -> None:
    asyncio.run(worker.run(identity))
    child = os.fork()
    if not child:
        status = 1
        try:
            fine = asyncio.run(worker.run(identity, 1)) == (1,) and len(resources.opened) == 2
            asyncio.run(worker.close())
            status = 0 if fine else 2
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert asyncio.run(worker.run(identity, 2)) == (2,)
    asyncio.run(worker.close())


@pytest.fixture
def patient_forks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let forks wait longer than any machine stalls."""
    monkeypatch.setattr("key_value.aio.core.forks._LOCK_WAIT_SECONDS", 60)


def use(worker: Worker[Any]) -> Callable[[], bool]:
    return lambda: asyncio.run(worker.run(lambda _, argument: argument, 1)) == 1


@forks
@pytest.mark.usefixtures("patient_forks")
def test_a_fork_waits_for_the_running_call_and_the_lock_it_holds(resources: Resources) -> None:
    driver, worker = threading.Lock(), Worker(resources.open, Resource.close)
    begun = threading.Event()

    def hold(_: Resource) -> None:
        with driver:
            begun.set()
            time.sleep(0.2)

    def call() -> bool:
        return not driver.locked() and use(worker)()

    thread = threading.Thread(target=asyncio.run, args=(worker.run(hold),))
    thread.start()
    assert begun.wait(60)
    assert forked(call) == 0
    thread.join()
    asyncio.run(worker.close())


@forks
def test_a_fork_does_not_wait_for_a_call_forever(worker: Worker[Resource]) -> None:
    begun, event = threading.Event(), threading.Event()

    def stay(_: Resource) -> None:
        begun.set()
        assert event.wait(60)

    thread = threading.Thread(target=asyncio.run, args=(worker.run(stay),))
    thread.start()
    assert begun.wait(60)
    assert forked(use(worker)) == 0
    event.set()
    thread.join()
    asyncio.run(worker.close())


@forks
@pytest.mark.usefixtures("patient_forks")
def test_a_fork_is_not_starved_by_continuous_calls(worker: Worker[Resource]) -> None:
    stop = threading.Event()

    async def call_on() -> None:
        while not stop.is_set():
            await asyncio.gather(*(worker.run(sleep, 0.0001) for _ in range(50)))

    thread = threading.Thread(target=asyncio.run, args=(call_on(),))
    thread.start()
    began = time.monotonic()
    assert [forked(use(worker)) for _ in range(5)] == [0] * 5
    assert time.monotonic() - began < 60
    stop.set()
    thread.join()
    asyncio.run(worker.close())


@forks
def test_a_call_may_fork(worker: Worker[Resource], resources: Resources) -> None:
    assert asyncio.run(worker.run(lambda _: forked(use(worker)))) == 0
    assert not resources.opened[0].closed.is_set()
    asyncio.run(worker.close())


@forks
def test_a_resource_that_must_not_be_inherited_is_closed_before_the_fork_and_reopened() -> None:
    resources = Resources()

    def close(resource: Resource) -> None:
        resource.closed.set()

    worker = Worker(resources.open, close, close_before_fork=True)
    asyncio.run(worker.run(identity))
    assert forked(lambda: resources.opened[0].closed.is_set() and use(worker)()) == 0
    assert asyncio.run(worker.run(identity, 1)) == (1,)
    assert [resource.closed.is_set() for resource in resources.opened] == [True, False]
    asyncio.run(worker.close())


@forks
def test_a_child_does_not_close_its_parents_resource(worker: Worker[Resource], resources: Resources) -> None:
    asyncio.run(worker.run(identity))

    def close() -> bool:
        asyncio.run(worker.close())
        return not resources.opened[0].closed.is_set()

    assert forked(close) == 0
    asyncio.run(worker.close())


@pytest.mark.parametrize("message", ["can't create new thread at interpreter shutdown", "can't start new thread"])
def test_a_call_at_interpreter_shutdown_runs_in_the_calling_thread(
    worker: Worker[Resource], resources: Resources, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError(message)

    # Python 3.12 and later raise this as soon as the main thread has ended.
    monkeypatch.setattr(threading.Thread, "start", refuse)
    if "shutdown" in message:
        assert asyncio.run(worker.run(identity, 1)) == (1,)
        with pytest.raises(KeyError):
            asyncio.run(worker.run(fail, KeyError()))
        assert [resource.closed.is_set() for resource in resources.opened] == [True, True]
    else:
        with pytest.raises(RuntimeError, match="start new thread"):
            asyncio.run(worker.run(identity, 1))
