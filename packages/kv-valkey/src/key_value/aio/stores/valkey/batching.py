"""Calls that begin in the same turn of the event loop leave together.

The driver takes longer for a call than the server does: 640 µs for a batch of sixteen, 1 390 µs for sixteen calls.
"""

from asyncio import AbstractEventLoop, CancelledError, Future, Task, sleep
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

__all__ = ["Arguments", "Turns"]

Arguments = list[str | bytes]
Send = Callable[[Any, Sequence[Arguments]], Awaitable[list[Any]]]

# Each waits for the answers to all.
_MOST_CALLS = 128
_MOST_BYTES = 256 * 1024


class _Turn:
    __slots__ = ("_bytes", "calls", "client")

    def __init__(self, client: Any) -> None:
        self.client = client
        self.calls: list[tuple[Arguments, Future[Any]]] = []
        self._bytes = 0

    def takes(self, client: Any, size: int) -> bool:
        return client is self.client and len(self.calls) < _MOST_CALLS and self._bytes + size <= _MOST_BYTES

    def add(self, arguments: Arguments, size: int, answer: "Future[Any]") -> None:
        self.calls.append((arguments, answer))
        self._bytes += size


class Turns:
    """Those of one event loop."""

    def __init__(self, loop: AbstractEventLoop, send: Send) -> None:
        """`send` gives the answer to each of several commands, or its error."""
        self._loop = loop
        self._send = send
        self._turn: _Turn | None = None
        self._sending: set[Task[None]] = set()

    async def answer_to(self, client: Any, arguments: Arguments) -> Any:
        """The answer to a command, which leaves in the next turn of the event loop, with the others of this one."""
        size = sum(map(len, arguments))
        answer = self._loop.create_future()
        turn = self._turn
        if turn is not None and turn.takes(client, size):
            turn.add(arguments, size, answer)
            return await answer
        turn = self._turn = _Turn(client)
        turn.add(arguments, size, answer)
        try:
            await sleep(0)
        except CancelledError:
            answer.cancel()
            self._end(turn)
            raise
        if len(turn.calls) == 1:
            self._forget(turn)
            return await client.custom_command(arguments)
        self._end(turn)
        return await answer

    def _forget(self, turn: _Turn) -> None:
        if self._turn is turn:
            self._turn = None

    def _end(self, turn: _Turn) -> None:
        self._forget(turn)
        # What was called off is not done behind the caller's back.
        calls = [call for call in turn.calls if not call[1].done()]
        if calls:
            # A task of its own: whoever is cancelled takes nothing with them.
            task = self._loop.create_task(self._send_together(turn.client, calls))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    async def _send_together(self, client: Any, calls: list[tuple[Arguments, "Future[Any]"]]) -> None:
        answers: list[Any]
        try:
            answers = await self._send(client, [arguments for arguments, _ in calls])
        except CancelledError:
            for _, future in calls:
                future.cancel()
            raise
        except Exception as exc:  # noqa: BLE001 — raised by each who waits
            answers = [exc] * len(calls)
        for (_, future), answer in zip(calls, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
