"""A session with a cluster, which sends each command to the node of its slot over pipelined connections."""

from asyncio import gather, get_running_loop, sleep, wait
from collections.abc import Awaitable, Callable, Iterable, Sequence
from math import inf
from typing import Any, cast

from key_value.aio.core.resp.commands import Command, scan_command
from key_value.aio.core.resp.positions import ClusterPosition
from key_value.aio.stores.redis.channel import OpenConnection
from key_value.aio.stores.redis.commands import pack
from key_value.aio.stores.redis.connection import ConnectionLostError, DeadlineError
from key_value.aio.stores.redis.driver import (
    AskError,
    ClusterDownError,
    MovedError,
    TryAgainError,
    is_unsent,
    slot_of,
)
from key_value.aio.stores.redis.session import Session
from key_value.aio.stores.redis.topology import Address, Topology

__all__ = ["ClusterSession"]

_ASKING = pack(("ASKING",))
# Their key follows the script and the number of keys.
_SCRIPTS = frozenset({"EVAL", "EVALSHA"})
# Enough retries for a slot that moves again before all nodes know it; the pause doubles after each.
_MAX_RETRIES = 5
_FIRST_RETRY_PAUSE_SECONDS = 0.05


class ClusterSession(Session):
    """Retries a command, on another node or later, only if it was certainly not executed.

    That is the case when the node said so, or when no connection could be opened.
    """

    is_cluster = True

    def __init__(
        self,
        open_at: Callable[[Address], OpenConnection],
        nodes: Iterable[Address],
        seconds: float | None,
        connections: int,
    ) -> None:
        super().__init__(seconds)
        self._topology = Topology(open_at, nodes, seconds, connections)
        self._now = get_running_loop().time
        self._in_flight = 0
        self._all_answered = get_running_loop().create_future()

    async def execute(self, *command: str | bytes | int, entries: int = 1) -> Any:
        name = command[3] if command[0] in _SCRIPTS else command[1]
        [answer] = await self._execute_all([command], [name], entries)
        return answer

    async def execute_each(self, commands: Sequence[Command]) -> list[Any]:
        return await self._execute_all(commands, [command[1] for command in commands], len(commands))

    async def scan(self, pattern: str, position: str | None, count: int) -> tuple[list[bytes], str | None]:
        error = None if self._topology.owners else await self._topology.refresh(self._seconds)
        if error is not None:
            raise error.with_traceback(None)
        owners = self._topology.owners
        cluster_position = ClusterPosition({slot: f"{host}:{port}" for slot, (host, port) in owners.items()}, position)
        packed = pack(scan_command(cluster_position.cursor, pattern, count))
        answer = await self._topology.server(owners[cluster_position.slot]).send(packed, 1, self._seconds)
        if isinstance(answer, Exception):
            self._topology.refresh_in_background()
            raise answer.with_traceback(None)
        next_cursor, names = answer
        return names, cluster_position.following(int(next_cursor))

    async def close(self) -> None:
        while self._in_flight:
            self._all_answered = get_running_loop().create_future()
            await wait([self._all_answered])
        await self._topology.close()

    @property
    def idle(self) -> bool:
        return not self._in_flight and not self._topology.load()

    def release(self) -> None:
        self._topology.release()

    async def _execute_all(self, commands: Sequence[Command], names: Sequence[Any], entries: int) -> list[Any]:
        limit = _TimeLimit(self._limit(entries))
        self._in_flight += 1
        try:
            answers = await self._send_all(list(map(pack, commands)), list(map(_slot, names)), limit)
        finally:
            self._in_flight -= 1
            if not self._in_flight and not self._all_answered.done():
                self._all_answered.set_result(None)
        for answer in answers:
            if isinstance(answer, Exception):
                # Other callers may raise the same exception object.
                raise answer.with_traceback(None)
        return answers

    async def _send_all(self, packed: Sequence[bytes], slots: Sequence[int], limit: "_TimeLimit") -> list[Any]:
        error = None if self._topology.owners else await self._topology.refresh(limit.seconds)
        if error is not None:
            return [error]
        by_node: dict[Address | None, list[int]] = {}
        for number, slot in enumerate(slots):
            by_node.setdefault(self._topology.owners.get(slot), []).append(number)
        sent = [
            (numbers, self._send(node, [packed[number] for number in numbers], limit))
            for node, numbers in by_node.items()
        ]
        answers: list[Any] = [None] * len(packed)
        for numbers, replies in sent:
            for number, reply in zip(numbers, await replies, strict=True):
                answers[number] = reply
        failed = [number for number, answer in enumerate(answers) if isinstance(answer, Exception)]
        if failed:
            again = (self._retry(slots[number], packed[number], answers[number], limit) for number in failed)
            for number, answer in zip(failed, await gather(*again), strict=True):
                answers[number] = answer
        return answers

    def _send(self, node: Address | None, packed: Sequence[bytes], limit: "_TimeLimit") -> Awaitable[list[Any]]:
        """Send immediately, before the result is awaited. An error is the reply to each command."""
        if node is None:
            answer = get_running_loop().create_future()
            answer.set_result(ClusterDownError("no node serves the slot"))
        else:
            server = self._topology.server(node)
            answer = server.send(b"".join(packed), len(packed), limit.seconds, limit.deadline)
        return _replies(answer, len(packed))

    async def _retry(self, slot: int, packed: bytes, answer: Exception, limit: "_TimeLimit") -> Any:
        for attempt in range(_MAX_RETRIES):
            node = await self._retry_node(slot, answer, _FIRST_RETRY_PAUSE_SECONDS * 2**attempt, limit)
            if node is None:
                return answer
            asking = type(answer) is AskError
            replies = await self._send(node, [_ASKING, packed] if asking else [packed], limit)
            if not isinstance(replies[-1], Exception):
                return replies[-1]
            answer = replies[-1]
        return answer

    async def _retry_node(self, slot: int, error: Exception, pause: float, limit: "_TimeLimit") -> Address | None:
        """Return the node for a retry after this error; None if a retry is unsafe or pointless."""
        topology = self._topology
        owner = topology.owners.get(slot)
        if isinstance(error, AskError):
            # A node that does not know its own address has the address at which it was asked.
            host: str = cast("Any", error).host
            node = (host or (owner or ("", 0))[0], error.port)
            if isinstance(error, MovedError):
                topology.move(slot, node)
            return node
        if isinstance(error, (ConnectionLostError, DeadlineError)):
            topology.refresh_in_background()
            return None
        moving = isinstance(error, (TryAgainError, ClusterDownError))
        if moving:
            await sleep(min(pause, limit.remaining))
        elif not is_unsent(error):
            return None
        if await topology.refresh(limit.remaining) is not None:
            return None
        found = topology.owners.get(slot)
        return found if moving or found != owner else None


class _TimeLimit:
    """The time limit of a call, including its retries."""

    def __init__(self, seconds: float | None) -> None:
        self._now = get_running_loop().time
        self.seconds = seconds
        self.deadline = inf if seconds is None else self._now() + seconds

    @property
    def remaining(self) -> float:
        return max(0.0, self.deadline - self._now())


async def _replies(answer: Any, count: int) -> list[Any]:
    found = await answer
    if isinstance(found, Exception):
        return [found] * count
    return [found] if count == 1 else found


def _slot(name: str | bytes | int) -> int:
    return slot_of(name.encode() if isinstance(name, str) else bytes(name))
