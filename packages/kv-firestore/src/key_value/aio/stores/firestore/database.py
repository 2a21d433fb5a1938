"""Requests to one database: with a time limit, retried where that is safe, and in batches."""

import sys
from asyncio import CancelledError, current_task, ensure_future, gather, get_running_loop
from asyncio import TimeoutError as AsyncioTimeoutError
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from errno import ECONNABORTED
from typing import TYPE_CHECKING, Any, TypeVar

from google.api_core import exceptions as google_exceptions
from google.cloud.firestore_v1.types import ListCollectionIdsRequest, RunQueryRequest
from key_value.aio.core.batches import in_batches
from key_value.aio.core.numbers import scaled_timeout
from key_value.aio.core.requests import waited
from key_value.aio.stores.firestore.channel import Channel
from key_value.aio.stores.firestore.documents import Found, Path, Write
from key_value.aio.stores.firestore.errors import REJECTED, is_lost, is_throttled, is_unmet
from key_value.aio.stores.firestore.messages import (
    batch_write_request,
    commit_request,
    documents_in,
    get_request,
    statuses_in,
)
from key_value.aio.stores.firestore.queries import Query

if sys.version_info >= (3, 11):
    from asyncio import timeout
else:
    from async_timeout import timeout

if TYPE_CHECKING:
    from asyncio import Future

    from typing_extensions import Self

__all__ = ["FirestoreDatabase"]

T = TypeVar("T")

_exceptions: Any = google_exceptions  # its type annotations are incomplete

# https://firebase.google.com/docs/firestore/quotas: a request is limited to 10 MiB. The emulator accepts 4 MiB.
_BATCH_SIZE = 500
_MAX_BATCH_BYTES = 3_500_000
_COLLECTIONS_PER_PAGE = 300

_OK = 0
# NOT_FOUND, FAILED_PRECONDITION, ABORTED: another writer has changed or removed the document.
_CHANGED_CODES = frozenset({5, 9, 10})


class FirestoreDatabase:
    """A database in the event loop in which it was entered."""

    def __init__(self, channel: Channel, seconds: float | None) -> None:
        self._channel = channel
        self._seconds = seconds
        self._is_closed = False
        self._closing_channels: set[Future[None]] = set()

    def open(self) -> None:
        """Open the channel. Raises StoreSetupError in a child of a process that has used gRPC."""
        self._channel.open()
        self._root = f"{self._channel.database}/documents"

    async def __aenter__(self) -> "Self":
        self.open()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Reject new requests, and close the channel after those in flight, or after 5 s."""
        self._is_closed = True
        await gather(self._channel.close(), *self._closing_channels)

    # Reading

    async def get(self, path: Path, fields: Sequence[str] = ()) -> Found | None:
        """Return the document with the named fields, by default all; None if it does not exist."""
        return (await self.get_each([path], fields)).get(path)

    async def get_each(self, paths: Sequence[Path], fields: Sequence[str] = ()) -> dict[Path, Found]:
        """Return the documents that exist."""

        async def get_some(some: Sequence[Path]) -> list[Found]:
            request = get_request(self._channel.database, map(self._name, some), fields)

            async def ask() -> list[Found]:
                return await documents_in(await self._call("batch_get_documents", request))

            return await self._send(ask, deadline, repeatable=True)

        async with self._time_limit(len(paths)) as deadline:
            batches = await in_batches(paths, _BATCH_SIZE, get_some)
        return {found.path: found for batch in batches for found in batch}

    async def query(self, query: Query) -> list[Found]:
        request = RunQueryRequest(parent=self._root, structured_query=query.under(self._root))

        async def ask() -> list[Found]:
            return await documents_in(await self._call("run_query", request))

        async with self._time_limit() as deadline:
            return await self._send(ask, deadline, repeatable=True)

    async def collection_ids(self) -> list[str]:
        """Return the ids of all top-level collections."""
        found: list[str] = []
        token = ""
        while True:
            request = ListCollectionIdsRequest(parent=self._root, page_size=_COLLECTIONS_PER_PAGE, page_token=token)

            async def ask(request: Any = request) -> Any:
                pager = await self._call("list_collection_ids", request)
                return await anext(aiter(pager.pages))

            async with self._time_limit() as deadline:
                page = await self._send(ask, deadline, repeatable=True)
            found += page.collection_ids
            token = page.next_page_token
            if not token:
                return found

    # Writing

    async def write_each(self, writes: Sequence[Write]) -> None:
        """Make unconditional writes, in transactions of up to 500 writes and 3.5 MB."""

        async def write_some(some: Sequence[Write]) -> None:
            await self._commit(some, deadline, repeatable=True)

        async with self._time_limit(len(writes)) as deadline:
            await in_batches(writes, _BATCH_SIZE, write_some, lambda write: write.size, _MAX_BATCH_BYTES)

    async def write_if(self, write: Write) -> bool:
        """Make a conditional write; return whether its condition was met."""
        async with self._time_limit() as deadline:
            try:
                await self._commit([write], deadline, repeatable=False)
            except REJECTED as error:
                if not is_unmet(error):
                    raise
                return False
        return True

    async def delete_each(self, documents: Sequence[Found]) -> list[Found]:
        """Delete the documents that are unchanged since they were read; return the deleted ones, in any order."""

        async def delete_some(some: Sequence[Found]) -> list[Found]:
            writes = [Write(found.path, condition=found.updated_at) for found in some]
            request = batch_write_request(self._channel.database, writes, self._name)

            async def ask() -> list[tuple[int, str]]:
                return statuses_in(await self._call("batch_write", request))

            # Not repeatable: a second attempt would report documents deleted by the first as missing.
            statuses = await self._send(ask, deadline, repeatable=False)
            for code, message in statuses:
                if code not in (_OK, *_CHANGED_CODES):
                    raise _exceptions.from_grpc_status(code, message)
            return [found for found, (code, _) in zip(some, statuses, strict=True) if code == _OK]

        async with self._time_limit(len(documents)) as deadline:
            batches = await in_batches(documents, _BATCH_SIZE, delete_some)
        return [found for batch in batches for found in batch]

    async def _commit(self, writes: Sequence[Write], deadline: float | None, *, repeatable: bool) -> None:
        request = commit_request(self._channel.database, writes, self._name)
        await self._send(lambda: self._call("commit", request), deadline, repeatable=repeatable)

    # Requests

    def _name(self, path: Path) -> str:
        return f"{self._root}/{path.collection}/{path.key}"

    async def _call(self, method: str, request: Any) -> Any:
        """Send a request without the retries of Google's client and gRPC: `_send` retries where that is safe."""
        call = getattr(self._channel.service, method)
        return await call(request, retry=None, timeout=None, metadata=self._channel.metadata)

    async def _send(self, ask: Callable[[], Awaitable[T]], deadline: float | None, *, repeatable: bool) -> T:
        """Send a request, and retry it until the deadline, in event loop time, if it was certainly not executed.

        If that is unknown, a `repeatable` request is retried once.
        """
        attempt = losses = 0
        while True:
            try:
                return await self._run(ask)
            except Exception as error:  # noqa: PERF203 — a request takes milliseconds
                losses += is_lost(error)
                again = is_throttled(error) or (repeatable and is_lost(error) and losses == 1)
                attempt += 1
                if not (again and await waited(attempt, deadline)):
                    raise

    async def _run(self, ask: Callable[[], Awaitable[T]]) -> T:
        if self._is_closed:
            raise ConnectionAbortedError(ECONNABORTED, "the client was closed")
        channel = self._channel
        try:
            with channel.in_use():
                return await ask()
        except CancelledError:
            # gRPC raises CancelledError when the channel is closed, although the task was not cancelled.
            if channel.is_closed and not _is_cancelled():
                raise ConnectionAbortedError(ECONNABORTED, "the client was closed") from None
            raise

    @asynccontextmanager
    async def _time_limit(self, entries: int = 1) -> AsyncGenerator[float | None, None]:
        """Limit the time of the block; yields the deadline in event loop time."""
        seconds = scaled_timeout(self._seconds, entries)
        if seconds is None:
            yield None
            return
        began = get_running_loop().time()
        try:
            async with timeout(seconds):
                yield began + seconds
        except AsyncioTimeoutError:
            if self._channel.last_response_at <= began:
                self._replace_channel()
            raise

    def _replace_channel(self) -> None:
        """Replace the channel, because nothing was received on it for the whole time limit.

        A firewall may have dropped the connection silently. gRPC would detect that only after a minute.
        """
        successor = self._channel.successor()
        if successor is None or self._is_closed:
            return
        successor.open()
        closing = ensure_future(self._channel.close())
        self._closing_channels.add(closing)
        closing.add_done_callback(self._closing_channels.discard)
        self._channel = successor


def _is_cancelled() -> bool:
    """Whether the current task is being cancelled. Always False before Python 3.11, which cannot tell."""
    task = current_task()
    return sys.version_info >= (3, 11) and task is not None and task.cancelling() > 0
