"""Requests to one table: with a time limit, retried where that is safe, and concurrent for batches."""

import sys
from asyncio import TimeoutError as AsyncioTimeoutError
from asyncio import get_running_loop
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, TypeVar

from key_value.aio.core.batches import in_batches
from key_value.aio.core.clients import GivenClient, LoopClient
from key_value.aio.core.numbers import scaled_timeout
from key_value.aio.core.requests import InFlightCalls, Sender, map_concurrently
from key_value.aio.stores.azure_tables.entities import Entity, stored_names, transaction_size
from key_value.aio.stores.azure_tables.errors import (
    ErrorResponseError,
    NoResponseError,
    is_absent,
    is_changed,
    is_conflict,
    is_unavailable,
    translate_error,
    was_not_executed,
)

if sys.version_info >= (3, 11):
    from asyncio import timeout
else:
    from async_timeout import timeout

__all__ = ["Page", "Requests", "Table", "etag_of"]

T = TypeVar("T")
R = TypeVar("R")

# https://learn.microsoft.com/rest/api/storageservices/performing-entity-group-transactions
_TRANSACTION_ENTITIES = 100
# A transaction is limited to 4 MiB in total.
_MAX_TRANSACTION_BYTES = 4 * 1024**2 - 64 * 1024

_MAX_PAGE_ENTITIES = 1000
# For requests in flight when the store closes.
_CLOSE_TIMEOUT_SECONDS = 10.0
_NOT_FOUND = 404
# Disables the client's retries: Sender retries where that is safe.
_NO_RETRIES: dict[str, Any] = {"retry_total": 0}


class Page(NamedTuple):
    entities: list[Entity]
    continuation: dict[str, str | None] | None
    """The continuation of the next page; None after the last page."""


def etag_of(entity: Any) -> str:
    return entity.metadata["etag"]


class Table:
    """A table in the event loop of its client, with a limited number of concurrent requests."""

    def __init__(self, opened: LoopClient | GivenClient, *, requests: int, seconds: float | None) -> None:
        self._opened = opened
        self._in_flight = InFlightCalls()
        self.is_closed: bool = False
        self.requests = requests
        self._seconds = seconds
        self.sender: Sender = Sender(
            requests,
            service_error=ErrorResponseError,
            lost_connection=NoResponseError,
            was_not_executed=was_not_executed,
            is_unavailable=is_unavailable,
        )

    @asynccontextmanager
    async def limit(self, entries: int = 1) -> "AsyncGenerator[Requests, None]":
        """Yield the requests of one operation under one time limit, scaled by the number of entries."""
        self._in_flight.begin()
        try:
            # Creating the client, which the first operation waits for, does not count towards the time limit.
            client = await self._opened.get()
            seconds = scaled_timeout(self._seconds, entries)
            if seconds is None:
                yield Requests(self, client, None)
            else:
                async with timeout(seconds):
                    yield Requests(self, client, get_running_loop().time() + seconds)
        finally:
            self._in_flight.end()

    async def close(self) -> None:
        """Close the client after the requests in flight, or after 10 s."""
        await self._in_flight.wait(_CLOSE_TIMEOUT_SECONDS)
        self.is_closed = True
        await self._opened.close()


class Requests:
    """Requests to the table, with a common deadline in event loop time."""

    def __init__(self, table: Table, client: Any, deadline: float | None) -> None:
        self._table = table
        self._client = client
        self._deadline = deadline

    async def get(self, names: tuple[str, str]) -> Entity | None:
        async def ask(client: Any) -> Entity:
            entity = await client.get_entity(*names, **_NO_RETRIES)
            if stored_names(entity) != names:
                message = "the response contains another entity than the requested one"
                raise LookupError(message)
            return entity

        try:
            return await self.send(ask)
        except ErrorResponseError as error:
            if not is_absent(error):
                raise
            return None

    async def put(self, entity: Entity) -> None:
        await self.send(lambda client: client.upsert_entity(entity, mode="replace", **_NO_RETRIES))

    async def create(self, entity: Entity) -> bool:
        """Create the entity; return False if it exists already."""
        return await self._send_if(is_conflict, lambda client: client.create_entity(entity, **_NO_RETRIES))

    async def replace(self, entity: Entity, etag: str) -> bool:
        """Replace the entity if it has this ETag; return whether it was replaced."""
        options = {"mode": "replace", **_if_match(etag), **_NO_RETRIES}
        return await self._send_if(is_changed, lambda client: client.update_entity(entity, **options))

    async def delete(self, names: tuple[str, str], etag: str) -> bool:
        """Delete the entity if it has this ETag; return whether it was deleted."""
        statuses: list[int] = []

        def record_status(response: Any) -> None:
            statuses.append(response.http_response.status_code)

        # The client reports a missing entity as deleted, so the status of the response is checked.
        options = {**_if_match(etag), "raw_response_hook": record_status, **_NO_RETRIES}
        was_deleted = await self._send_if(is_changed, lambda client: client.delete_entity(*names, **options))
        return was_deleted and statuses[-1] != _NOT_FOUND

    async def put_each(self, entities: Sequence[Entity]) -> None:
        """Put entities of one partition, in transactions of up to a hundred."""

        async def put_some(some: Sequence[Entity]) -> None:
            operations = [("upsert", entity, {"mode": "replace"}) for entity in some]
            await self.send(lambda client: _submit(client, operations))

        await in_batches(entities, _TRANSACTION_ENTITIES, put_some, transaction_size, _MAX_TRANSACTION_BYTES)

    async def delete_each(self, entities: Sequence[Entity]) -> list[Entity]:
        """Delete the entities that are unchanged since they were read; return the deleted ones."""
        partitions: dict[str, list[Entity]] = {}
        for entity in entities:
            partitions.setdefault(stored_names(entity)[0], []).append(entity)

        async def delete(partition: Sequence[Entity]) -> list[Sequence[Entity]]:
            return await in_batches(partition, _TRANSACTION_ENTITIES, self._delete_some)

        deleted = await self.each(delete, partitions.values())
        return [entity for batches in deleted for batch in batches for entity in batch]

    async def _delete_some(self, some: Sequence[Entity]) -> Sequence[Entity]:
        operations = [("delete", each, _if_match(etag_of(each))) for each in some]
        if len(some) > 1 and await self._send_if(is_changed, lambda client: _submit(client, operations)):
            return some
        # A single changed entity fails the whole transaction: delete one by one.
        outcomes = await self.each(lambda entity: self.delete(stored_names(entity), etag_of(entity)), some)
        return [entity for entity, was_deleted in zip(some, outcomes, strict=True) if was_deleted]

    async def query(
        self, condition: str, select: Sequence[str] | None = None, *, limit: int = _MAX_PAGE_ENTITIES, start: Any = None
    ) -> Page:
        async def ask(client: Any) -> Page:
            found = client.query_entities(
                condition, select=select, results_per_page=min(limit, _MAX_PAGE_ENTITIES), **_NO_RETRIES
            )
            pages = found.by_page(continuation_token=start)
            async for page in pages:
                return Page([entity async for entity in page], pages.continuation_token)
            return Page([], None)

        return await self.send(ask)

    async def each(self, handle: Callable[[T], Awaitable[R]], things: Iterable[T]) -> "list[R]":
        return await map_concurrently(handle, things, self._table.requests)

    async def create_table(self) -> None:
        """Create the table if it does not exist."""
        try:
            await self.send(lambda client: client.create_table(**_NO_RETRIES))
        except ErrorResponseError as error:
            if not is_conflict(error):
                raise

    async def _send_if(
        self, is_unmet: Callable[[ErrorResponseError], bool], ask: Callable[[Any], Awaitable[object]]
    ) -> bool:
        try:
            await self.send(ask, repeatable=False)
        except ErrorResponseError as error:
            if is_unmet(error):
                return False
            raise
        return True

    async def send(self, ask: Callable[[Any], Awaitable[R]], *, repeatable: bool = True) -> R:
        async def translated() -> R:
            try:
                return await ask(self._client)
            except (NoResponseError, OSError, AsyncioTimeoutError):
                raise
            except Exception as error:
                raise translate_error(error, is_closed=self._table.is_closed) from error

        return await self._table.sender.send(translated, self._deadline, repeatable=repeatable)


async def _submit(client: Any, operations: Sequence[Any]) -> None:
    """Submit a transaction. If the response was truncated, the client returns fewer results, or none."""
    if len(await client.submit_transaction(operations, **_NO_RETRIES)) != len(operations):
        message = "the response to a transaction was cut off"
        raise NoResponseError(message)


def _if_match(etag: str) -> dict[str, Any]:
    from azure.core import MatchConditions

    return {"etag": etag, "match_condition": MatchConditions.IfNotModified}
