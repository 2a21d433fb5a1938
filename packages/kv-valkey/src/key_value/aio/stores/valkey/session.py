"""Commands through a client of valkey-glide."""

from asyncio import CancelledError, Semaphore, Task, create_task, get_running_loop, shield
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeVar, cast

from key_value.aio.core.numbers import scaled_timeout
from key_value.aio.core.resp.commands import Command, cursor_of, scan_command
from key_value.aio.core.resp.positions import ClusterPosition
from key_value.aio.core.resp.scripts import SET_EACH
from key_value.aio.core.resp.session import RespSession
from key_value.aio.stores.valkey.calls import Calls
from key_value.aio.stores.valkey.diagnosis import find_reason
from key_value.aio.stores.valkey.driver import (
    GIVEN_UP,
    AnswerTimeoutError,
    Client,
    ClosingError,
    Configuration,
    DeadlineError,
    MovedError,
    RequestError,
    UnusableError,
    belongs_to,
    close_client,
    is_cluster,
    is_moved,
    is_unknown_script,
    is_unreachable,
    open_client,
    run_batch,
    run_each,
    scan_node,
)
from key_value.aio.stores.valkey.pipe import have_answers_read
from key_value.aio.stores.valkey.turns import Turns

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

__all__ = ["ClientSession", "OwnSession"]

T = TypeVar("T")

_ENTRIES_PER_LIMIT = 1000
_CALLS_OF_DRIVER = 1000


class ClientSession(RespSession):
    """With a client that is its owner's to close, and belongs to the running event loop.

    A command has `seconds`, once more for each full thousand of its entries.
    """

    def __init__(self, config: Configuration, seconds: float | None, client: Client | None = None) -> None:
        """Raises UnusableError for a client of another event loop, to which its answers would go."""
        if client is not None and belongs_to(client) is not get_running_loop():
            message = "its client belongs to another event loop; pass a config, for a client in each"
            raise UnusableError(message)
        self.is_cluster: bool = is_cluster(config)
        self._client = client
        self._config = config
        self._seconds = seconds
        self.loop: AbstractEventLoop = get_running_loop()
        self._free = Semaphore(config.inflight_requests_limit or _CALLS_OF_DRIVER)
        # The loop which reads the answers may end while others wait for them.
        self._calls = Calls(self.loop, partial(have_answers_read, self.loop))
        self._turns = Turns(self.loop, run_each)
        self._answered_at = 0.0
        self._finding: Task[Exception | None] | None = None

    async def execute(self, *command: str | bytes | int, entries: int = 1) -> Any:
        arguments = _arguments(command)
        if entries >= _ENTRIES_PER_LIMIT and not self.is_cluster:
            # Only a batch can have a limit of its own.
            [answer] = await self._batch([arguments], entries)
            return answer
        if entries == 1 and self._calls:
            return await self._in_time(lambda client: self._turns.answer_to(client, arguments), 1)
        return await self._in_time(lambda client: client.custom_command(arguments), entries)

    async def execute_each(self, commands: Sequence[Command]) -> list[Any]:
        return await self._batch([_arguments(command) for command in commands], len(commands))

    async def get_each(self, names: Sequence[str]) -> list[bytes | None]:
        return await self.execute("MGET", *names, entries=len(names))

    async def unlink_each(self, names: Sequence[str]) -> int:
        return await self.execute("UNLINK", *names, entries=len(names))

    async def set_each(self, names: Sequence[str], texts: Sequence[bytes], milliseconds: int | None) -> None:
        entries = len(names)
        if milliseconds is None:
            await self.execute("MSET", *chain.from_iterable(zip(names, texts, strict=True)), entries=entries)
        elif self.is_cluster:
            await super().set_each(names, texts, milliseconds)
        else:
            # The driver takes longer to take a batch apart than the server to run it.
            await self.run_script(SET_EACH, names, milliseconds, *texts)

    async def scan(self, pattern: str, position: str | None, count: int) -> tuple[list[bytes], str | None]:
        if not self.is_cluster:
            cursor = 0 if position is None else cursor_of(position)
            following, names = await self.execute(*scan_command(cursor, pattern, count))
            return names, None if int(following) == 0 else str(int(following))
        nodes = await self._nodes()
        at = ClusterPosition({slot: f"{host}:{port}" for slot, (host, port) in nodes.items()}, position)
        arguments = _arguments(scan_command(at.cursor, pattern, count))
        following, names = await self._in_time(lambda client: scan_node(client, arguments, at.slot, nodes[at.slot]), 1)
        return names, at.following(int(following))

    def is_unknown_script(self, error: Exception) -> bool:
        return is_unknown_script(error)

    async def close(self) -> None:
        """Nothing: the client is its owner's."""

    def release(self) -> None:
        """Nothing: the client is its owner's."""

    @property
    def idle(self) -> bool:
        return not self._calls

    async def _nodes(self) -> dict[int, tuple[str, int]]:
        """The primary of each slot, as any node knows it."""
        answer = await self.execute("CLUSTER", "SLOTS")
        return {
            slot: ((host or b"").decode(), int(port))
            for first, last, (host, port, *_), *_ in answer
            for slot in range(int(first), int(last) + 1)
        }

    async def _batch(self, commands: list[list[str | bytes]], entries: int) -> list[Any]:
        seconds = self._limit(entries)
        milliseconds = None if seconds is None else int(seconds * 1000)
        return await self._in_time(lambda client: run_batch(client, commands, milliseconds), entries)

    async def _in_time(self, call: Callable[[Any], Awaitable[T]], entries: int) -> T:
        seconds = self._seconds if entries == 1 else self._limit(entries)
        mine = self._calls.begin(seconds)
        client: Client | None = None
        try:
            async with self._free:
                client = self._client or await self._open()
                have_answers_read(self.loop)
                answer = await call(client)
        except (CancelledError, AnswerTimeoutError) as exc:
            if isinstance(exc, CancelledError) and mine.is_cancelled_by_others():
                raise
            if self._answered_at < mine.began_at:
                self._give_up(client)
            message = "no answer in time" if seconds is None else f"no answer within {seconds:g} s"
            raise DeadlineError(message) from exc
        except ClosingError:
            self._forget_closed(client)
            raise
        except RequestError as exc:
            # Finding out why has a limit of its own.
            self._calls.end(mine)
            reason = await self._reason(exc)
            if reason is None:
                raise
            raise reason from exc
        else:
            self._answered_at = self.loop.time()
            return answer
        finally:
            self._calls.end(mine)

    async def _reason(self, error: RequestError) -> Exception | None:
        """What the driver does not tell, where that can be found."""
        if is_unreachable(error):
            if self._finding is None or self._finding.done():
                self._finding = create_task(find_reason(self._config))
            return await shield(self._finding)
        return MovedError() if self.is_cluster and is_moved(error) else None

    async def _open(self) -> Client:
        raise NotImplementedError

    def _forget_closed(self, client: Client | None) -> None:
        """A client that was closed is its owner's to replace."""

    def _give_up(self, client: Client | None) -> None:
        """A client that answers nothing at all is its owner's to replace."""

    def _limit(self, entries: int) -> float | None:
        return scaled_timeout(self._seconds, entries)


class OwnSession(ClientSession):
    """With a client of its own, made when it is first needed, and again when it has closed itself."""

    async def close(self) -> None:
        """Have every call that is under way answered, then end the connections."""
        try:
            await self._calls.all_ended()
        finally:
            self.release()

    def release(self) -> None:
        self._drop(self._client, "")

    def _drop(self, client: Client | None, reason: str) -> None:
        if client is None or client is not self._client:
            return  # it was replaced already
        _open_sessions.discard(self)
        self._client = None
        close_client(client, reason)

    def _give_up(self, client: Client | None) -> None:
        # The driver would wait for a connection that the network has lost as long as the operating system does.
        self._drop(client, GIVEN_UP)

    def _forget_closed(self, client: Client | None) -> None:
        self._drop(client, "")

    async def _open(self) -> Client:
        client = await open_client(self._config)
        if self._client is not None:
            # Another call was as fast.
            close_client(client)
            return self._client
        for session in list(_open_sessions):
            if session.loop.is_closed():
                session.release()
        _open_sessions.add(self)
        self._client = client
        return client


# A store that is dropped is closed by its event loop. Without a reference from here its client would go before, which
# warns that nobody has closed it.
_open_sessions: set[OwnSession] = set()


def _arguments(command: Command) -> list[str | bytes]:
    return [str(part) if type(part) is int else cast("str | bytes", part) for part in command]
