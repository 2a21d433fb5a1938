"""A session through a client that the caller created, with its pool, retries and settings."""

import sys
from asyncio import Semaphore
from asyncio import TimeoutError as AsyncioTimeoutError
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from key_value.aio.core.resp.commands import Command, cursor_of, scan_command
from key_value.aio.core.resp.positions import ClusterPosition
from key_value.aio.stores.redis.connection import ConnectionLostError, DeadlineError
from key_value.aio.stores.redis.driver import Client, is_cluster
from key_value.aio.stores.redis.session import Session

if sys.version_info >= (3, 11):
    from asyncio import timeout
else:
    from async_timeout import timeout

__all__ = ["ClientSession"]

T = TypeVar("T")


class ClientSession(Session):
    """As many commands are in flight as the client has connections. The caller closes the client."""

    def __init__(self, client: Client, seconds: float | None, connections: int) -> None:
        self._client: Any = client  # redis-py types the results of commands as a union of sync and async
        self._semaphore = Semaphore(connections)
        super().__init__(seconds)
        self.is_cluster: bool = is_cluster(client)

    async def execute(self, *command: str | bytes | int, entries: int = 1) -> Any:
        return await self._in_time(partial(self._execute, command), entries)

    async def execute_each(self, commands: Sequence[Command]) -> list[Any]:
        pipeline = self._client.pipeline()
        for command in commands:
            pipeline.execute_command(*command, NEVER_DECODE=True)
        return await self._in_time(pipeline.execute, len(commands))

    async def scan(self, pattern: str, position: str | None, count: int) -> tuple[list[bytes], str | None]:
        if not self.is_cluster:
            cursor = 0 if position is None else cursor_of(position)
            next_cursor, names = await self.execute(*scan_command(cursor, pattern, count))
            return names, str(int(next_cursor)) if int(next_cursor) else None
        await self._in_time(self._client.initialize, 1)
        slots = self._client.nodes_manager.slots_cache
        cluster_position = ClusterPosition({slot: nodes[0].name for slot, nodes in slots.items() if nodes}, position)
        node = slots[cluster_position.slot][0]
        command = scan_command(cluster_position.cursor, pattern, count)
        next_cursor, names = await self._in_time(partial(node.execute_command, *command, NEVER_DECODE=True), 1)
        return names, cluster_position.following(int(next_cursor))

    async def close(self) -> None:
        pass

    async def _execute(self, command: Command) -> Any:
        if self.is_cluster:
            # Without it, the client sends its first commands to any node, before it knows the slots.
            await self._client.initialize()
        return await self._client.execute_command(*command, NEVER_DECODE=True)

    async def _in_time(self, call: Callable[[], Awaitable[T]], entries: int) -> T:
        seconds = self._limit(entries)
        try:
            async with timeout(seconds), self._semaphore:
                return await call()
        except AsyncioTimeoutError as exc:
            message = "no answer in time" if seconds is None else f"no answer within {seconds:g} s"
            raise DeadlineError(message) from exc
        except (AttributeError, TypeError) as exc:
            # A connection that another task is closing, or that was reset while idle, has None where redis-py and, in
            # Python 3.12 and 3.13, asyncio itself expect a stream.
            message = "redis-py lost the connection"
            raise ConnectionLostError(message) from exc
