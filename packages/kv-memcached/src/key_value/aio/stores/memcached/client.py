"""A pipelining Memcached client with a time limit for each operation.

aiomcache's own client is not used for commands. It has one command in flight per connection, so a batch of a hundred
puts would take a hundred round trips. After a cancelled call, the next call reads its answer. When the connection
breaks, it loops without yielding to other tasks.
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
from key_value.aio.stores.memcached.connector import Connector, Server

__all__ = ["DRIVER_ERRORS", "Item", "Session", "Stored", "server_of"]

AnswersT = TypeVar("AnswersT", bound=Answers)
Future = asyncio.Future[None]

# With names of the maximum length, a command has 25 KB.
_NAMES_PER_GET = 100
# The size of a write, after which the client waits until the socket buffer has room.
_ENTRIES_PER_WRITE = 1000
_BYTES_PER_WRITE = 1024 * 1024
_BUSY_PAUSE_SECONDS = 0.05
_LISTING_READ_BYTES = 256 * 1024
_QUOTED_SEPARATOR = b"%3A%3A"

# A time in the past: a number above 30 days means seconds since 1970.
_PAST_EXPTIME = 30 * 24 * 60 * 60 + 1

_REASONS = {
    "out of memory": "the server is out of memory",
    "too large": "the server rejects an item of this size: see its option -I and max_item_bytes of the store",
    "metadump": "the server does not list its items, which requires memcached 1.6 with lru_crawler enabled",
}


def _reason(error: ClientException) -> str:
    # The message contains the server's answer, which could be part of a value if the connection is out of step.
    return next((reason for words, reason in _REASONS.items() if words in str(error)), "the server refuses the command")


DRIVER_ERRORS: DriverErrors = {
    TooManyConnectionsError: (StoreConnectionError, "the server has reached its connection limit"),
    ConnectionResetError: (StoreConnectionError, "the connection was closed or reset"),
    ConnectionAbortedError: (StoreConnectionError, "the store was closed meanwhile"),
    ClientException: (KeyValueStoreError, _reason),
}


def server_of(client: FlagClient[Any]) -> Server:
    """Return the server of an aiomcache client. Raises TypeError for another type."""
    check_client(client, FlagClient)
    pool: Any = client._pool  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] — no public access
    options = {name: option for name, option in pool.conn_args.items() if name not in ("limit", "loop")}
    return Server(pool._host, pool._port, options)  # noqa: SLF001 — see above


class Item(NamedTuple):
    """An item to store. `exptime` has the meaning of the Memcached protocol."""

    name: bytes
    text: bytes
    exptime: int


class Stored(NamedTuple):
    """A stored item, with its CAS number and the connection on which it was read.

    A restarted server assigns the same numbers again, but never on the same connection.
    """

    text: bytes
    cas_number: int
    connection: Connection


class Session:
    """The connections of one event loop: one for single entries, which never wait for batches, and one for batches."""

    def __init__(self, server: Server, seconds: float | None) -> None:
        self._server = server
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._singles = Connector(server, seconds)
        self._batches = Connector(server, seconds)

    async def close(self) -> None:
        await asyncio.gather(self._singles.close(), self._batches.close())

    async def get(self, name: bytes) -> bytes | None:
        values = Values(self._loop.create_future())
        await self._send(b"get %b\r\n" % name, values)
        return values.found.get(name)

    async def get_versioned(self, name: bytes) -> Stored | None:
        values = Values(self._loop.create_future())
        connection = await self._send(b"gets %b\r\n" % name, values)
        text = values.found.get(name)
        return None if text is None else Stored(text, values.cas_numbers[name], connection)

    async def set(self, item: Item) -> None:
        await self._command(_storage_command(b"set", item), b"STORED")

    async def add(self, item: Item) -> bool:
        """Store the item unless one exists. Return whether it was stored."""
        return await self._command(_storage_command(b"add", item), b"STORED", b"NOT_STORED")

    async def replace(self, item: Item, stored: Stored) -> bool:
        """Replace a stored item if it is unchanged. Return whether it was."""
        command = b"cas %b 0 %d %d %d\r\n%b\r\n" % (
            item.name,
            item.exptime,
            len(item.text),
            stored.cas_number,
            item.text,
        )
        return await self._command(command, b"STORED", b"EXISTS", b"NOT_FOUND", connection=stored.connection)

    async def remove(self, name: bytes, stored: Stored) -> bool:
        """Remove a stored item if it is unchanged, which Memcached's `delete` cannot check. Return whether it was."""
        return await self.replace(Item(name, b"", _PAST_EXPTIME), stored)

    async def delete(self, name: bytes) -> bool:
        return await self._command(b"delete %b\r\n" % name, b"DELETED", b"NOT_FOUND")

    async def get_each(self, names: Sequence[bytes]) -> list[bytes | None]:
        """Return the text of each item, None for a missing one."""
        requests = (self._get_chunk(chunk) for chunk in _chunks(names, _ENTRIES_PER_WRITE))
        answers = await self._send_each(requests, len(names))
        found = answers[0].found
        for further in answers[1:]:
            found.update(further.found)
        return [found.get(name) for name in names]

    async def set_each(self, items: Sequence[Item]) -> None:
        requests = (
            (b"".join(commands), Lines(self._loop.create_future(), len(commands))) for commands in _set_chunks(items)
        )
        for lines in await self._send_each(requests, len(items)):
            _count(lines, b"STORED")

    async def delete_each(self, names: Sequence[bytes]) -> int:
        """Remove the items. Return how many existed."""
        requests = (
            (b"".join(b"delete %b\r\n" % name for name in chunk), Lines(self._loop.create_future(), len(chunk)))
            for chunk in _chunks(names, _ENTRIES_PER_WRITE)
        )
        return sum(_count(lines, b"DELETED", b"NOT_FOUND") for lines in await self._send_each(requests, len(names)))

    async def list_names(self) -> list[bytes]:
        """Return the names of all possible entries. Those stored during the whole listing occur at least once.

        The server walks its hash table, on a separate connection. Until its output has been read, it holds locks that
        other commands wait for, so everything is read before the names are used.
        """
        host, port, options = self._server
        opening = asyncio.open_connection(host, port, limit=_LISTING_READ_BYTES, **options)
        reader, writer = await asyncio.wait_for(opening, self._seconds)
        try:
            text = await asyncio.wait_for(_begin_listing(reader, writer), self._seconds)
            names: list[bytes] = []
            while not text.endswith(b"END\r\n"):
                *lines, rest = text.split(b"\n")
                names += _listed(lines)
                more = await asyncio.wait_for(reader.read(_LISTING_READ_BYTES), self._seconds)
                if not more:
                    message = "the server closed the connection"
                    raise ConnectionResetError(message)
                text = rest + more
            return names + _listed(text.split(b"\n")[:-2])
        finally:
            writer.close()

    # Sending

    def _get_chunk(self, names: Sequence[bytes]) -> tuple[bytes, Values]:
        commands = [b"get %b\r\n" % b" ".join(chunk) for chunk in _chunks(names, _NAMES_PER_GET)]
        return b"".join(commands), Values(self._loop.create_future(), len(commands))

    async def _command(
        self, command: bytes, done: bytes, *otherwise: bytes, connection: Connection | None = None
    ) -> bool:
        lines = Lines(self._loop.create_future())
        await self._send(command, lines, connection)
        return bool(_count(lines, done, *otherwise))

    async def _send(self, command: bytes, answers: Answers, connection: Connection | None = None) -> Connection:
        seconds = self._seconds
        if connection is None:
            connection = self._singles.ready
            if connection is None:
                connection, seconds = await self._connect_within(self._singles, seconds)
        connection.send(command, answers)
        timer = None if seconds is None else self._loop.call_later(seconds, _time_out, connection, (answers.future,))
        try:
            await answers.future
        finally:
            if timer is not None:
                timer.cancel()
        return connection

    async def _send_each(self, requests: Iterable[tuple[bytes, AnswersT]], entries: int) -> list[AnswersT]:
        """Send the commands without waiting for answers in between, then return the answers."""
        seconds = scaled_timeout(self._seconds, entries)
        connection = self._batches.ready
        if connection is None:
            connection, seconds = await self._connect_within(self._batches, seconds)
        futures: list[Future] = []
        timer = None if seconds is None else self._loop.call_later(seconds, _time_out, connection, futures)
        sent: list[AnswersT] = []
        try:
            try:
                for commands, answers in requests:
                    await connection.wait_until_writable()
                    connection.send(commands, answers)
                    sent.append(answers)
                    futures.append(answers.future)
            except ConnectionResetError:
                # A failed answer has the reason.
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

    async def _connect_within(self, connector: Connector, seconds: float | None) -> tuple[Connection, float | None]:
        """Return a connection and the rest of the time limit."""
        start = self._loop.time()
        connection = await connector.connection()
        return connection, None if seconds is None else max(0.0, seconds - (self._loop.time() - start))


def _storage_command(verb: bytes, item: Item) -> bytes:
    return b"%b %b 0 %d %d\r\n%b\r\n" % (verb, item.name, item.exptime, len(item.text), item.text)


def _chunks(names: Sequence[bytes], size: int) -> Iterator[Sequence[bytes]]:
    return (names[start : start + size] for start in range(0, len(names), size))


def _set_chunks(items: Sequence[Item]) -> Iterator[list[bytes]]:
    commands: list[bytes] = []
    size = 0
    for item in items:
        if commands and (len(commands) == _ENTRIES_PER_WRITE or size + len(item.text) > _BYTES_PER_WRITE):
            yield commands
            commands, size = [], 0
        commands.append(_storage_command(b"set", item))
        size += len(item.text)
    yield commands


def _count(lines: Lines, done: bytes, *otherwise: bytes) -> int:
    """Count the lines equal to `done`. Raises ClientException for a line that is not in `otherwise` either."""
    for line in lines.lines:
        if line != done and line not in otherwise:
            message = "Memcached refused a command"
            raise ClientException(message, line)
    return lines.lines.count(done)


async def _begin_listing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """Return the first part of the listing; the server creates only one listing at a time."""
    while True:
        writer.write(b"lru_crawler metadump hash\r\n")
        text = await reader.read(_LISTING_READ_BYTES)
        if not text.startswith(b"BUSY"):
            return text
        await asyncio.sleep(_BUSY_PAUSE_SECONDS)


def _listed(lines: Iterable[bytes]) -> list[bytes]:
    """Return the names in lines such as `key=users%3A%3Aada exp=-1 la=…`, except those that no entry has."""
    names: list[bytes] = []
    for line in lines:
        if not line.startswith(b"key="):
            message = "Memcached refused metadump"
            raise ClientException(message, line)
        field = line[4 : line.index(b" ")]
        # A joined name, or one hashed by the strategy of earlier versions.
        if _QUOTED_SEPARATOR in field or field.startswith(b"H_"):
            names.append(unquote_to_bytes(field))
    return names


def _time_out(connection: Connection, futures: Sequence[Future]) -> None:
    """Fail the futures and retire the connection: a late answer on it would delay the following ones."""
    for future in futures:
        if not future.done():
            future.set_exception(TimeoutError("no answer in time"))
    connection.retire()
