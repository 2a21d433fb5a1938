"""Sessions that send commands through a valkey-glide client."""

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
from key_value.aio.stores.valkey.batching import Batcher
from key_value.aio.stores.valkey.calls import CallDeadlines
from key_value.aio.stores.valkey.diagnosis import diagnose
from key_value.aio.stores.valkey.driver import (
    UNRESPONSIVE,
    AnswerTimeoutError,
    Client,
    ClosingError,
    Configuration,
    DeadlineError,
    MovedError,
    RequestError,
    UnusableError,
    close_client,
    is_cluster,
    is_moved,
    is_unknown_script,
    is_unreachable,
    loop_of,
    open_client,
    run_batch,
    run_each,
    scan_node,
)
from key_value.aio.stores.valkey.pipe import ensure_reader

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

__all__ = ["ClientSession", "OwnSession"]

T = TypeVar("T")

# From this size, a batch gets more than the time limit of one operation.
_ENTRIES_PER_TIME_LIMIT = 1000
# The driver's default for inflight_requests_limit.
_DEFAULT_MAX_CALLS_IN_FLIGHT = 1000


class ClientSession(RespSession):
    """A session with a client that belongs to the running event loop and that the caller closes."""

    def __init__(self, config: Configuration, seconds: float | None, client: Client | None = None) -> None:
        """`seconds` is the time limit of a command, granted again for each full thousand of its entries.

        Raises UnusableError for a client of another event loop, which would receive its answers.
        """
        if client is not None and loop_of(client) is not get_running_loop():
            message = "its client belongs to another event loop; pass a config to get a client in each"
            raise UnusableError(message)
        self.is_cluster: bool = is_cluster(config)
        self._client = client
        self._config = config
        self._seconds = seconds
        self.loop: AbstractEventLoop = get_running_loop()
        self._semaphore = Semaphore(config.inflight_requests_limit or _DEFAULT_MAX_CALLS_IN_FLIGHT)
        # The event loop that reads the answers may stop while other loops wait for them.
        self._calls = CallDeadlines(self.loop, partial(ensure_reader, self.loop))
        self._batcher = Batcher(self.loop, run_each)
        self._answered_at = 0.0
        self._diagnosis: Task[Exception | None] | None = None

    async def execute(self, *command: str | bytes | int, entries: int = 1) -> Any:
        arguments = _arguments(command)
        if entries >= _ENTRIES_PER_TIME_LIMIT and not self.is_cluster:
            # Only a batch can override the client's time limit.
            [answer] = await self._batch([arguments], entries)
            return answer
        if entries == 1 and self._calls:
            return await self._in_time(lambda client: self._batcher.execute(client, arguments), 1)
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
            # The driver needs longer to process a batch than the server needs to execute it.
            await self.run_script(SET_EACH, names, milliseconds, *texts)

    async def scan(self, pattern: str, position: str | None, count: int) -> tuple[list[bytes], str | None]:
        if not self.is_cluster:
            cursor = 0 if position is None else cursor_of(position)
            next_cursor, names = await self.execute(*scan_command(cursor, pattern, count))
            return names, str(int(next_cursor)) if int(next_cursor) else None
        nodes = await self._nodes()
        cluster_position = ClusterPosition({slot: f"{host}:{port}" for slot, (host, port) in nodes.items()}, position)
        arguments = _arguments(scan_command(cluster_position.cursor, pattern, count))
        slot = cluster_position.slot
        next_cursor, names = await self._in_time(lambda client: scan_node(client, arguments, slot, nodes[slot]), 1)
        return names, cluster_position.following(int(next_cursor))

    def is_unknown_script(self, error: Exception) -> bool:
        return is_unknown_script(error)

    async def close(self) -> None:
        """Do nothing: the caller closes the client."""

    def release(self) -> None:
        """Do nothing: the caller closes the client."""

    @property
    def idle(self) -> bool:
        return not self._calls

    async def _nodes(self) -> dict[int, tuple[str, int]]:
        """Return the address of each slot's primary, as reported by any node."""
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
        own_call = self._calls.begin(seconds)
        client: Client | None = None
        try:
            async with self._semaphore:
                client = self._client or await self._open()
                ensure_reader(self.loop)
                answer = await call(client)
        except (CancelledError, AnswerTimeoutError) as exc:
            if isinstance(exc, CancelledError) and own_call.is_cancelled_by_others():
                raise
            if self._answered_at < own_call.started_at:
                self._on_unresponsive(client)
            message = "no answer in time" if seconds is None else f"no answer within {seconds:g} s"
            raise DeadlineError(message) from exc
        except ClosingError:
            self._on_closed(client)
            raise
        except RequestError as exc:
            # The diagnosis has its own time limit.
            self._calls.end(own_call)
            reason = await self._diagnose(exc)
            if reason is None:
                raise
            raise reason from exc
        else:
            self._answered_at = self.loop.time()
            return answer
        finally:
            self._calls.end(own_call)

    async def _diagnose(self, error: RequestError) -> Exception | None:
        """Return the cause that the driver does not report, if it can be determined."""
        if is_unreachable(error):
            if self._diagnosis is None or self._diagnosis.done():
                self._diagnosis = create_task(diagnose(self._config))
            return await shield(self._diagnosis)
        return MovedError() if self.is_cluster and is_moved(error) else None

    async def _open(self) -> Client:
        raise NotImplementedError

    def _on_closed(self, client: Client | None) -> None:
        """Do nothing: the caller must replace a closed client."""

    def _on_unresponsive(self, client: Client | None) -> None:
        """Do nothing: the caller must replace an unresponsive client."""

    def _limit(self, entries: int) -> float | None:
        return scaled_timeout(self._seconds, entries)


class OwnSession(ClientSession):
    """A session with its own client, created when first needed and again after it has closed itself."""

    async def close(self) -> None:
        """Wait for the calls in flight, then close the connections."""
        try:
            await self._calls.wait_until_idle()
        finally:
            self.release()

    def release(self) -> None:
        self._drop(self._client, "")

    def _drop(self, client: Client | None, reason: str) -> None:
        if client is None or client is not self._client:
            return  # already replaced
        _open_sessions.discard(self)
        self._client = None
        close_client(client, reason)

    def _on_unresponsive(self, client: Client | None) -> None:
        # The driver would keep a dead connection until the operating system's timeout.
        self._drop(client, UNRESPONSIVE)

    def _on_closed(self, client: Client | None) -> None:
        self._drop(client, "")

    async def _open(self) -> Client:
        client = await open_client(self._config)
        if self._client is not None:
            # A concurrent call created one first.
            close_client(client)
            return self._client
        for session in list(_open_sessions):
            if session.loop.is_closed():
                session.release()
        _open_sessions.add(self)
        self._client = client
        return client


# The event loop closes a store that is garbage collected. Without this reference, its client would be collected first
# and warn that it was not closed.
_open_sessions: set[OwnSession] = set()


def _arguments(command: Command) -> list[str | bytes]:
    return [str(part) if type(part) is int else cast("str | bytes", part) for part in command]
