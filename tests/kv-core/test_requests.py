"""Requests to a service: retries and the limit on requests in flight."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest
from key_value.aio.core import requests
from key_value.aio.core.clients import LoopClient, in_thread
from key_value.aio.core.requests import InFlightCalls, Sender, map_concurrently, run_workers, waited

if TYPE_CHECKING:
    from typing_extensions import Self


class RefusalError(Exception):
    def __init__(self, *, done: bool, fails: bool = False) -> None:
        super().__init__()
        self.done = done
        self.fails = fails


class LostError(Exception):
    pass


class Service:
    """Raises the errors in turn, then answers."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)
        self.asked = 0

    async def ask(self) -> str:
        self.asked += 1
        if self._errors:
            raise self._errors.pop(0)
        return "answer"


@pytest.fixture
def sender(monkeypatch: pytest.MonkeyPatch) -> Sender:
    monkeypatch.setattr(requests, "_MIN_BACKOFF_SECONDS", 0.0001)
    return Sender(
        2,
        service_error=RefusalError,
        lost_connection=LostError,
        was_not_executed=lambda error: not error.done,
        is_unavailable=lambda error: error.fails,
    )


@pytest.mark.parametrize("repeatable", [True, False])
async def test_a_request_known_not_to_have_run_is_retried(sender: Sender, *, repeatable: bool) -> None:
    service = Service(RefusalError(done=False), RefusalError(done=False))
    assert await sender.send(service.ask, None, repeatable=repeatable) == "answer"
    assert service.asked == 3


async def test_a_request_with_an_unknown_outcome_is_retried_only_if_repeatable(sender: Sender) -> None:
    for error in (RefusalError(done=True, fails=True), LostError()):
        service = Service(error)
        assert await sender.send(service.ask, None, repeatable=True) == "answer"
        service = Service(error)
        with pytest.raises(type(error)):
            await sender.send(service.ask, None, repeatable=False)
        assert service.asked == 1


async def test_a_lost_connection_is_replaced_once(sender: Sender) -> None:
    service = Service(LostError(), LostError())
    with pytest.raises(LostError):
        await sender.send(service.ask, None, repeatable=True)
    assert service.asked == 2


async def test_any_other_answer_is_raised_at_once(sender: Sender) -> None:
    service = Service(RefusalError(done=True))
    with pytest.raises(RefusalError):
        await sender.send(service.ask, None, repeatable=True)
    assert service.asked == 1


async def test_the_number_of_attempts_is_limited(sender: Sender) -> None:
    service = Service(*(RefusalError(done=False) for _ in range(100)))
    with pytest.raises(RefusalError):
        await sender.send(service.ask, None, repeatable=True)
    assert service.asked == 10


async def test_there_is_no_wait_beyond_the_deadline() -> None:
    assert await waited(5, asyncio.get_running_loop().time() - 1) is False


async def test_no_more_requests_are_in_flight_than_allowed() -> None:
    in_flight: list[int] = []
    most = 0

    async def handle(number: int) -> int:
        nonlocal most
        in_flight.append(number)
        most = max(most, len(in_flight))
        await asyncio.sleep(0)
        in_flight.remove(number)
        return number * 2

    assert await map_concurrently(handle, range(20), 3) == [number * 2 for number in range(20)]
    assert most == 3


async def test_the_first_error_cancels_the_other_requests() -> None:
    ended: list[bool] = []

    async def handle(number: int) -> None:
        if number == 1:
            raise LostError
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    with pytest.raises(LostError):
        await map_concurrently(handle, range(2), 2)
    assert ended == [True]


async def test_workers_share_the_items() -> None:
    things = iter(range(10))
    done: list[int] = []

    async def work() -> None:
        for thing in things:
            await asyncio.sleep(0)
            done.append(thing)

    await run_workers(work, 3)
    assert sorted(done) == list(range(10))


class Client:
    def __init__(self) -> None:
        self.made_in = threading.get_ident()
        self.entered = self.exited = 0

    async def __aenter__(self) -> Self:
        self.entered += 1
        return self

    async def __aexit__(self, *_: object) -> None:
        self.exited += 1


async def test_a_client_is_created_once_in_a_thread_and_entered_in_the_loop() -> None:
    holder = LoopClient(Client)
    clients = await asyncio.gather(*(holder.get() for _ in range(5)))
    assert len(set(map(id, clients))) == 1
    assert clients[0].made_in != threading.get_ident()
    assert (clients[0].entered, clients[0].exited) == (1, 0)
    await holder.close()
    assert clients[0].exited == 1
    with pytest.raises(ConnectionAbortedError):
        await holder.get()


async def test_creating_a_client_is_tried_again_after_a_failure() -> None:
    made: list[int] = []

    def make() -> Client:
        made.append(1)
        if len(made) == 1:
            raise LostError
        return Client()

    holder = LoopClient(make)
    with pytest.raises(LostError):
        await holder.get()
    assert (await holder.get()).entered == 1
    await holder.close()


async def test_a_function_in_a_thread_returns_its_result_or_raises_its_error() -> None:
    assert await in_thread(threading.get_ident) != threading.get_ident()

    def fail() -> None:
        raise LostError

    with pytest.raises(LostError):
        await in_thread(fail)


async def test_waiting_for_calls_in_flight_ends_with_the_last_call_or_the_timeout() -> None:
    in_flight = InFlightCalls()
    await in_flight.wait(0)
    in_flight.begin()
    in_flight.begin()
    waiting = asyncio.ensure_future(in_flight.wait(60))
    in_flight.end()
    await asyncio.sleep(0.01)
    assert not waiting.done()
    in_flight.end()
    await waiting
    in_flight.begin()
    await in_flight.wait(0.01)
