"""A session with one server, over pipelined connections."""

from collections.abc import Sequence
from typing import Any

from key_value.aio.core.resp.commands import Command, cursor_of, scan_command
from key_value.aio.stores.redis.channel import OpenConnection
from key_value.aio.stores.redis.commands import pack
from key_value.aio.stores.redis.driver import ReadOnlyError
from key_value.aio.stores.redis.server import Server
from key_value.aio.stores.redis.session import Session

__all__ = ["ServerSession"]

_MULTI = pack(("MULTI",))
_EXEC = pack(("EXEC",))


class ServerSession(Session):
    def __init__(self, open_: OpenConnection, seconds: float | None, connections: int) -> None:
        super().__init__(seconds)
        self._server = Server(open_, seconds, connections)

    async def execute(self, *command: str | bytes | int, entries: int = 1) -> Any:
        answer = await self._server.send(pack(command), 1, self._seconds if entries == 1 else self._limit(entries))
        if isinstance(answer, Exception):
            raise self._prepare(answer)
        return answer

    async def execute_each(self, commands: Sequence[Command]) -> list[Any]:
        packed = b"".join([_MULTI, *map(pack, commands), _EXEC])
        answer = await self._server.send(packed, len(commands) + 2, self._limit(len(commands)))
        if isinstance(answer, Exception):
            raise self._prepare(answer)
        *queued, replies = answer
        # A command that was not queued has the reason; EXEC then only reports that nothing was executed.
        failed = [each for each in (*queued, replies) if isinstance(each, Exception)]
        failed = failed or [each for each in replies if isinstance(each, Exception)]
        if failed:
            raise self._prepare(failed[0])
        return replies

    def _prepare(self, error: Exception) -> Exception:
        if isinstance(error, ReadOnlyError):
            # After a failover, DNS or Sentinel resolves to another server.
            self._server.renew()
        # Other callers may raise the same exception object.
        return error.with_traceback(None)

    async def scan(self, pattern: str, position: str | None, count: int) -> tuple[list[bytes], str | None]:
        cursor = 0 if position is None else cursor_of(position)
        next_cursor, names = await self.execute(*scan_command(cursor, pattern, count))
        return names, str(int(next_cursor)) if int(next_cursor) else None

    async def close(self) -> None:
        await self._server.close()

    @property
    def idle(self) -> bool:
        return not self._server.load()

    def release(self) -> None:
        self._server.release()
