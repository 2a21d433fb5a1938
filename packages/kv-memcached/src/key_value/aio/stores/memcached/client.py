"""What the store asks of a server, with a limit of time for each question.

aiomcache's own client is not asked: it has one command under way on a connection, where a batch of a hundred puts
would be as many round trips; a call that is cancelled leaves its answer to the next call; and when the connection
breaks, it waits in a loop that never lets another task run.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar
from urllib.parse import unquote_to_bytes

from aiomcache import FlagClient
from aiomcache.exceptions import ClientException
from key_value.aio.core.clients import check_client
from key_value.aio.core.driver_errors import DriverErrors
from key_value.aio.core.numbers import scaled_timeout
from key_value.aio.errors import KeyValueStoreError, StoreConnectionError
from key_value.aio.stores.memcached.connection import Answers, Connection, Lines, TooManyConnectionsError, Values
from key_value.aio.stores.memcached.lane import Lane, Server

__all__ = ["DRIVER_ERRORS", "Item", "Session", "Stored", "server_of"]

AnswersT = TypeVar("AnswersT", bound=Answers)
Future = asyncio.Future[None]

# Names in one command: 25 KB when they are all as long as can be.
_NAMES_PER_GET = 100
# What is sent at once, before the system is given time to take it.
_ENTRIES_AT_ONCE = 1000
_BYTES_AT_ONCE = 1024 * 1024
_BUSY_SECONDS = 0.05
_LISTING_BYTES = 256 * 1024
_SEPARATOR = b"%3A%3A"

# A date long past: a number of over 30 days is one of seconds since 1970.
_EXPIRED = 30 * 24 * 60 * 60 + 1

_REASONS = {
    "out of memory": "the server is out of memory",
    "too large": "the server takes no item of this size: see its option -I and max_item_bytes of the store",
    "metadump": "the server does not list what it holds, for which it needs memcached 1.6 and its lru_crawler",
}


def _reason(error: ClientException) -> str:
    # The text holds what the server answered, which out of step could be a part of a value.
    return next((reason for words, reason in _REASONS.items() if words in str(error)), "the server refuses the command")


DRIVER_ERRORS: DriverErrors = {
    TooManyConnectionsError: (StoreConnectionError, "the server has as many connections as it takes"),
    ConnectionResetError: (StoreConnectionError, "the connection was closed or reset"),
    ConnectionAbortedError: (StoreConnectionError, "the store was closed meanwhile"),
    ClientException: (KeyValueStoreError, _reason),
}


def server_of(client: FlagClient[Any]) -> Server:
    """The server that a client of aiomcache was made for. Raises TypeError for something else."""
    check_client(client, FlagClient)
    pool: Any = client._pool  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] — it has no other way to tell
    options = {name: option for name, option in pool.conn_args.items() if name not in ("limit", "loop")}
    return Server(pool._host, pool._port, options)  # noqa: SLF001 — as above


class Item(NamedTuple):
    """What is to be stored; `exptime` as Memcached takes it."""

    name: bytes
    text: bytes
    exptime: int


class Stored(NamedTuple):
    """What is stored, the number that the server gave it, and the connection on which it did.

    A server that was restarted gives the same numbers again, and never on the same connection.
    """

    text: bytes
    number: int
    connection: Connection


class Session:
    """The connections of one event loop: one for single entries, and one for batches, behind which they never wait."""

    def __init__(self, server: Server, seconds: float | None) -> None:
        self._server = server
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._singles = Lane(server, seconds)
        self._batches = Lane(server, seconds)

    async def close(self) -> None:
        await asyncio.gather(self._singles.close(), self._batches.close())

    async def get(self, name: bytes) -> bytes | None:
        values = Values(self._loop.create_future())
        await self._ask(b"get %b\r\n" % name, values)
        return values.found.get(name)

    async def get_versioned(self, name: bytes) -> Stored | None:
        values = Values(self._loop.create_future())
        connection = await self._ask(b"gets %b\r\n" % name, values)
        text = values.found.get(name)
        return None if text is None else Stored(text, values.numbers[name], connection)

    async def set(self, item: Item) -> None:
        await self._command(_storing(b"set", item), b"STORED")

    async def add(self, item: Item) -> bool:
        """Store it where nothing is; whether it was stored."""
        return await self._command(_storing(b"add", item), b"STORED", b"NOT_STORED")

    async def replace(self, item: Item, stored: Stored) -> bool:
        """Store it in place of what is known to be stored; whether that still was."""
        command = b"cas %b 0 %d %d %d\r\n%b\r\n" % (
            item.name,
            item.exptime,
            len(item.text),
            stored.number,
            item.text,
        )
        return await self._command(command, b"STORED", b"EXISTS", b"NOT_FOUND", connection=stored.connection)

    async def remove(self, name: bytes, stored: Stored) -> bool:
        """Remove what is known to be stored; whether it still was. Memcached's `delete` cannot ask that."""
        return await self.replace(Item(name, b"", _EXPIRED), stored)

    async def delete(self, name: bytes) -> bool:
        return await self._command(b"delete %b\r\n" % name, b"DELETED", b"NOT_FOUND")

    async def get_each(self, names: Sequence[bytes]) -> list[bytes | None]:
        """What is stored under each of the names, None where nothing is."""
        asked = (self._get_part(part) for part in _parts(names, _ENTRIES_AT_ONCE))
        answers = await self._ask_each(asked, len(names))
        found = answers[0].found
        for further in answers[1:]:
            found.update(further.found)
        return [found.get(name) for name in names]

    async def set_each(self, items: Sequence[Item]) -> None:
        asked = (
            (b"".join(commands), Lines(self._loop.create_future(), len(commands))) for commands in _set_parts(items)
        )
        for lines in await self._ask_each(asked, len(items)):
            _count(lines, b"STORED")

    async def delete_each(self, names: Sequence[bytes]) -> int:
        """Remove what is under the names; how many there were."""
        asked = (
            (b"".join(b"delete %b\r\n" % name for name in part), Lines(self._loop.create_future(), len(part)))
            for part in _parts(names, _ENTRIES_AT_ONCE)
        )
        return sum(_count(lines, b"DELETED", b"NOT_FOUND") for lines in await self._ask_each(asked, len(names)))

    async def listing(self) -> list[bytes]:
        """The names of all that could be entries, each that is there the whole time once at least.

        The server goes along its hash table, on a connection of its own. It holds locks that other commands wait for
        until what it has written is read: so all is read before anything else is done.
        """
        host, port, options = self._server
        opening = asyncio.open_connection(host, port, limit=_LISTING_BYTES, **options)
        reader, writer = await asyncio.wait_for(opening, self._seconds)
        try:
            text = await asyncio.wait_for(_begin_listing(reader, writer), self._seconds)
            names: list[bytes] = []
            while not text.endswith(b"END\r\n"):
                *lines, rest = text.split(b"\n")
                names += _listed(lines)
                more = await asyncio.wait_for(reader.read(_LISTING_BYTES), self._seconds)
                if not more:
                    message = "the server closed the connection"
                    raise ConnectionResetError(message)
                text = rest + more
            return names + _listed(text.split(b"\n")[:-2])
        finally:
            writer.close()

    # How it is asked

    def _get_part(self, names: Sequence[bytes]) -> tuple[bytes, Values]:
        commands = [b"get %b\r\n" % b" ".join(part) for part in _parts(names, _NAMES_PER_GET)]
        return b"".join(commands), Values(self._loop.create_future(), len(commands))

    async def _command(
        self, command: bytes, done: bytes, *otherwise: bytes, connection: Connection | None = None
    ) -> bool:
        lines = Lines(self._loop.create_future())
        await self._ask(command, lines, connection)
        return bool(_count(lines, done, *otherwise))

    async def _ask(self, command: bytes, answers: Answers, connection: Connection | None = None) -> Connection:
        seconds = self._seconds
        if connection is None:
            connection = self._singles.ready
            if connection is None:
                connection, seconds = await self._connected(self._singles, seconds)
        connection.ask(command, answers)
        timer = None if seconds is None else self._loop.call_later(seconds, _give_up, connection, (answers.future,))
        try:
            await answers.future
        finally:
            if timer is not None:
                timer.cancel()
        return connection

    async def _ask_each(self, asked: Iterable[tuple[bytes, AnswersT]], entries: int) -> list[AnswersT]:
        """The answers to what is sent one after the other, without waiting for an answer in between."""
        seconds = scaled_timeout(self._seconds, entries)
        connection = self._batches.ready
        if connection is None:
            connection, seconds = await self._connected(self._batches, seconds)
        futures: list[Future] = []
        timer = None if seconds is None else self._loop.call_later(seconds, _give_up, connection, futures)
        sent: list[AnswersT] = []
        try:
            try:
                for commands, answers in asked:
                    await connection.room()
                    connection.ask(commands, answers)
                    sent.append(answers)
                    futures.append(answers.future)
            except ConnectionResetError:
                # An answer that failed says why.
                await asyncio.gather(*futures)
                raise
            await (futures[0] if len(futures) == 1 else asyncio.gather(*futures))
            return sent
        finally:
            if timer is not None:
                timer.cancel()
            for future in futures:
                if not future.cancel() and not future.cancelled():
                    future.exception()

    async def _connected(self, lane: Lane, seconds: float | None) -> tuple[Connection, float | None]:
        """A connection, and what is left of the time."""
        start = self._loop.time()
        connection = await lane.connection()
        return connection, None if seconds is None else max(0.0, seconds - (self._loop.time() - start))


def _storing(verb: bytes, item: Item) -> bytes:
    return b"%b %b 0 %d %d\r\n%b\r\n" % (verb, item.name, item.exptime, len(item.text), item.text)


def _parts(names: Sequence[bytes], size: int) -> Iterator[Sequence[bytes]]:
    return (names[start : start + size] for start in range(0, len(names), size))


def _set_parts(items: Sequence[Item]) -> Iterator[list[bytes]]:
    commands: list[bytes] = []
    size = 0
    for item in items:
        if commands and (len(commands) == _ENTRIES_AT_ONCE or size + len(item.text) > _BYTES_AT_ONCE):
            yield commands
            commands, size = [], 0
        commands.append(_storing(b"set", item))
        size += len(item.text)
    yield commands


def _count(lines: Lines, done: bytes, *otherwise: bytes) -> int:
    """How many of the lines say that it was done. Raises ClientException for one that says neither."""
    for line in lines.lines:
        if line != done and line not in otherwise:
            message = "Memcached refused a command"
            raise ClientException(message, line)
    return lines.lines.count(done)


async def _begin_listing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """The first part of the answer. The server makes one listing at a time."""
    while True:
        writer.write(b"lru_crawler metadump hash\r\n")
        text = await reader.read(_LISTING_BYTES)
        if not text.startswith(b"BUSY"):
            return text
        await asyncio.sleep(_BUSY_SECONDS)


def _listed(lines: Iterable[bytes]) -> list[bytes]:
    """The names in lines such as `key=users%3A%3Aada exp=-1 la=…`, but for those that no entry has."""
    names: list[bytes] = []
    for line in lines:
        if not line.startswith(b"key="):
            message = "Memcached refused metadump"
            raise ClientException(message, line)
        field = line[4 : line.index(b" ")]
        # Joined, or hashed by the strategy of earlier versions.
        if _SEPARATOR in field or field.startswith(b"H_"):
            names.append(unquote_to_bytes(field))
    return names


def _give_up(connection: Connection, futures: Sequence[Future]) -> None:
    """Have the connection be replaced: what is late on it would make the next answer late as well."""
    for future in futures:
        if not future.done():
            future.set_exception(TimeoutError("no answer in time"))
    connection.retire()
