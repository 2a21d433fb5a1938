"""One database: requests with a time limit, asked again where that is safe, and batches."""

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
from key_value.aio.stores.firestore.errors import REFUSED, is_lost, is_throttled, is_unmet
from key_value.aio.stores.firestore.messages import (
    answered_documents,
    answered_statuses,
    commit_request,
    get_request,
    write_request,
)
from key_value.aio.stores.firestore.queries import Query

if sys.version_info >= (3, 11):
    from asyncio import timeout
else:
    from async_timeout import timeout

if TYPE_CHECKING:
    from asyncio import Future

    from typing_extensions import Self

__all__ = ["Database"]

T = TypeVar("T")

_exceptions: Any = google_exceptions  # which leaves the types of its functions out

# https://firebase.google.com/docs/firestore/quotas: a request has 10 MiB at the most. The emulator takes 4 MiB.
_AT_ONCE = 500
_HEAVIEST_BATCH = 3_500_000
_COLLECTIONS_PER_PAGE = 300

_OK = 0
# The document is gone, a condition was not met, or another writer was faster.
_OVERTAKEN = frozenset({5, 9, 10})


class Database:
    """A database in the event loop in which it is entered."""

    def __init__(self, channel: Channel, seconds: float | None) -> None:
        self._channel = channel
        self._seconds = seconds
        self._is_closed = False
        self._leaving: set[Future[None]] = set()

    def open(self) -> None:
        """Raises StoreSetupError in a child of a process that has used gRPC."""
        self._channel.open()
        self._root = f"{self._channel.database}/documents"

    async def __aenter__(self) -> "Self":
        self.open()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Wait for the requests under way, but not for long. No other begins."""
        self._is_closed = True
        await gather(self._channel.close(), *self._leaving)

    # Reading

    async def get(self, path: Path, fields: Sequence[str] = ()) -> Found | None:
        """The document with some of its fields, or with all where none is named."""
        return (await self.get_each([path], fields)).get(path)

    async def get_each(self, paths: Sequence[Path], fields: Sequence[str] = ()) -> dict[Path, Found]:
        """The documents that there are."""

        async def get_some(some: Sequence[Path]) -> list[Found]:
            request = get_request(self._channel.database, map(self._name, some), fields)

            async def ask() -> list[Found]:
                return await answered_documents(await self._call("batch_get_documents", request))

            return await self._send(ask, deadline, repeatable=True)

        async with self._limit(len(paths)) as deadline:
            batches = await in_batches(paths, _AT_ONCE, get_some)
        return {found.path: found for batch in batches for found in batch}

    async def query(self, query: Query) -> list[Found]:
        request = RunQueryRequest(parent=self._root, structured_query=query.under(self._root))

        async def ask() -> list[Found]:
            return await answered_documents(await self._call("run_query", request))

        async with self._limit() as deadline:
            return await self._send(ask, deadline, repeatable=True)

    async def collection_ids(self) -> list[str]:
        """The ids of all collections of the database itself, not of those under documents."""
        found: list[str] = []
        token = ""
        while True:
            request = ListCollectionIdsRequest(parent=self._root, page_size=_COLLECTIONS_PER_PAGE, page_token=token)

            async def ask(request: Any = request) -> Any:
                pager = await self._call("list_collection_ids", request)
                return await anext(aiter(pager.pages))

            async with self._limit() as deadline:
                page = await self._send(ask, deadline, repeatable=True)
            found += page.collection_ids
            token = page.next_page_token
            if not token:
                return found

    # Writing

    async def write_each(self, writes: Sequence[Write]) -> None:
        """Make writes without conditions: up to 500, of 3.5 MB, are one transaction."""

        async def write_some(some: Sequence[Write]) -> None:
            await self._commit(some, deadline, repeatable=True)

        async with self._limit(len(writes)) as deadline:
            await in_batches(writes, _AT_ONCE, write_some, lambda write: write.size, _HEAVIEST_BATCH)

    async def write_if(self, write: Write) -> bool:
        """Make a write that has a condition; whether it was met."""
        async with self._limit() as deadline:
            try:
                await self._commit([write], deadline, repeatable=False)
            except REFUSED as error:
                if not is_unmet(error):
                    raise
                return False
        return True

    async def delete_each(self, documents: Sequence[Found]) -> list[Found]:
        """Remove those that nobody has written since; they, in any order."""

        async def delete_some(some: Sequence[Found]) -> list[Found]:
            writes = [Write(found.path, condition=found.written_at) for found in some]
            request = write_request(self._channel.database, writes, self._name)

            async def ask() -> list[tuple[int, str]]:
                return answered_statuses(await self._call("batch_write", request))

            # Asked again, it would say that what it has removed before is gone.
            statuses = await self._send(ask, deadline, repeatable=False)
            for code, message in statuses:
                if code not in (_OK, *_OVERTAKEN):
                    raise _exceptions.from_grpc_status(code, message)
            return [found for found, (code, _) in zip(some, statuses, strict=True) if code == _OK]

        async with self._limit(len(documents)) as deadline:
            batches = await in_batches(documents, _AT_ONCE, delete_some)
        return [found for batch in batches for found in batch]

    async def _commit(self, writes: Sequence[Write], deadline: float | None, *, repeatable: bool) -> None:
        request = commit_request(self._channel.database, writes, self._name)
        await self._send(lambda: self._call("commit", request), deadline, repeatable=repeatable)

    # Requests

    def _name(self, path: Path) -> str:
        return f"{self._root}/{path.collection}/{path.key}"

    async def _call(self, method: str, request: Any) -> Any:
        """The answer. Neither Google's client nor gRPC asks again: that is for whoever knows whether it may."""
        call = getattr(self._channel.service, method)
        return await call(request, retry=None, timeout=None, metadata=self._channel.metadata)

    async def _send(self, ask: Callable[[], Awaitable[T]], deadline: float | None, *, repeatable: bool) -> T:
        """The answer. What the service has surely not done is asked for again, until the deadline in the loop's time.

        What is `repeatable` is also asked for once more when nobody knows whether it was done.
        """
        attempt = losses = 0
        while True:
            try:
                return await self._counted(ask)
            except Exception as error:  # noqa: PERF203 — a request takes milliseconds
                losses += is_lost(error)
                again = is_throttled(error) or (repeatable and is_lost(error) and losses == 1)
                attempt += 1
                if not (again and await waited(attempt, deadline)):
                    raise

    async def _counted(self, ask: Callable[[], Awaitable[T]]) -> T:
        if self._is_closed:
            raise ConnectionAbortedError(ECONNABORTED, "the client was closed")
        channel = self._channel
        try:
            with channel.in_use():
                return await ask()
        except CancelledError:
            # This is what gRPC raises when a channel is closed, in a task that nobody has cancelled.
            if channel.has_ended and not _is_cancelled():
                raise ConnectionAbortedError(ECONNABORTED, "the client was closed") from None
            raise

    @asynccontextmanager
    async def _limit(self, entries: int = 1) -> AsyncGenerator[float | None, None]:
        """Bound what runs in it; gives the moment in the time of the event loop when it is over."""
        seconds = scaled_timeout(self._seconds, entries)
        if seconds is None:
            yield None
            return
        began = get_running_loop().time()
        try:
            async with timeout(seconds):
                yield began + seconds
        except AsyncioTimeoutError:
            if self._channel.answered_at <= began:
                self._renew()
            raise

    def _renew(self) -> None:
        """Let the next request make a connection: on this one, all that time, nothing was answered.

        A connection that a firewall has forgotten is like this. gRPC would find it out after a minute.
        """
        successor = self._channel.successor()
        if successor is None or self._is_closed:
            return
        successor.open()
        leaving = ensure_future(self._channel.close())
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)
        self._channel = successor


def _is_cancelled() -> bool:
    """Whether somebody has cancelled this task; before Python 3.11, nobody knows."""
    task = current_task()
    return sys.version_info >= (3, 11) and task is not None and task.cancelling() > 0
