"""One table: requests with a time limit, repeated where that is safe, several at once where there are many."""

import sys
from asyncio import TimeoutError as AsyncioTimeoutError
from asyncio import get_running_loop
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, TypeVar

from key_value.aio.core.batches import in_batches
from key_value.aio.core.clients import GivenClient, LoopClient
from key_value.aio.core.numbers import scaled_timeout
from key_value.aio.core.requests import Sender, UnderWay, map_together
from key_value.aio.stores.azure_tables.entities import Entity, stored_names, weight_of
from key_value.aio.stores.azure_tables.errors import (
    RefusedError,
    UnansweredError,
    is_absent,
    is_changed,
    is_conflict,
    is_unavailable,
    meant_by,
    was_not_done,
)

if sys.version_info >= (3, 11):
    from asyncio import timeout
else:
    from async_timeout import timeout

__all__ = ["Page", "Requests", "Table", "etag_of"]

T = TypeVar("T")
R = TypeVar("R")

# https://learn.microsoft.com/rest/api/storageservices/performing-entity-group-transactions
_AT_ONCE = 100
# It may have 4 MiB in all.
_HEAVIEST_TRANSACTION = 4 * 1024**2 - 64 * 1024

_PAGE = 1000
# For calls that are under way when the store closes.
_CLOSING_SECONDS = 10.0
_NOT_FOUND = 404
# A request is repeated by whoever knows whether it may be, also where the client would do it by itself.
_ONCE: dict[str, Any] = {"retry_total": 0}


class Page(NamedTuple):
    entities: list[Entity]
    following: dict[str, str | None] | None
    """Where to go on; None when there is no more."""


def etag_of(entity: Any) -> str:
    return entity.metadata["etag"]


class Table:
    """A table in the event loop that its client belongs to, with so many requests under way at once."""

    def __init__(self, opened: LoopClient | GivenClient, *, requests: int, seconds: float | None) -> None:
        self._opened = opened
        self._under_way = UnderWay()
        self.is_closed: bool = False
        self.requests = requests
        self._seconds = seconds
        self.sender: Sender = Sender(
            requests,
            service_error=RefusedError,
            lost_connection=UnansweredError,
            was_not_done=was_not_done,
            is_unavailable=is_unavailable,
        )

    @asynccontextmanager
    async def limit(self, entries: int = 1) -> "AsyncGenerator[Requests, None]":
        """The requests of one operation, which together have the time for so many entries."""
        self._under_way.begin()
        try:
            # Making the client is not a part of an operation: the first one waits for it, as long as it takes.
            client = await self._opened.get()
            seconds = scaled_timeout(self._seconds, entries)
            if seconds is None:
                yield Requests(self, client, None)
            else:
                async with timeout(seconds):
                    yield Requests(self, client, get_running_loop().time() + seconds)
        finally:
            self._under_way.end()

    async def close(self) -> None:
        """End the connections, when the calls under way have their answers or have had their time."""
        await self._under_way.wait(_CLOSING_SECONDS)
        self.is_closed = True
        await self._opened.close()


class Requests:
    """What can be asked of the table, up to a moment of the event loop's time."""

    def __init__(self, table: Table, client: Any, deadline: float | None) -> None:
        self._table = table
        self._client = client
        self._deadline = deadline

    async def get(self, names: tuple[str, str]) -> Entity | None:
        async def ask(client: Any) -> Entity:
            entity = await client.get_entity(*names, **_ONCE)
            if stored_names(entity) != names:
                message = "the answer has another entity than was asked for"
                raise LookupError(message)
            return entity

        try:
            return await self.send(ask)
        except RefusedError as error:
            if not is_absent(error):
                raise
            return None

    async def put(self, entity: Entity) -> None:
        await self.send(lambda client: client.upsert_entity(entity, mode="replace", **_ONCE))

    async def create(self, entity: Entity) -> bool:
        """Whether there was none."""
        return await self._if(is_conflict, lambda client: client.create_entity(entity, **_ONCE))

    async def replace(self, entity: Entity, etag: str) -> bool:
        """Whether the entity had this ETag."""
        options = {"mode": "replace", **_if_it_has(etag), **_ONCE}
        return await self._if(is_changed, lambda client: client.update_entity(entity, **options))

    async def delete(self, names: tuple[str, str], etag: str) -> bool:
        """Whether the entity was there, and had this ETag."""
        statuses: list[int] = []

        def look(response: Any) -> None:
            statuses.append(response.http_response.status_code)

        # The client takes an entity that is not there for deleted, so that the answer itself is looked at.
        options = {**_if_it_has(etag), "raw_response_hook": look, **_ONCE}
        held = await self._if(is_changed, lambda client: client.delete_entity(*names, **options))
        return held and statuses[-1] != _NOT_FOUND

    async def put_each(self, entities: Sequence[Entity]) -> None:
        """Replace entities of one partition, a hundred at once, each hundred whole or not at all."""

        async def put_some(some: Sequence[Entity]) -> None:
            operations = [("upsert", entity, {"mode": "replace"}) for entity in some]
            await self.send(lambda client: _submit(client, operations))

        await in_batches(entities, _AT_ONCE, put_some, weight_of, _HEAVIEST_TRANSACTION)

    async def delete_each(self, entities: Sequence[Entity]) -> list[Entity]:
        """Delete entities that were read, a hundred of one partition at once; those that had not changed since."""
        partitions: dict[str, list[Entity]] = {}
        for entity in entities:
            partitions.setdefault(stored_names(entity)[0], []).append(entity)

        async def delete(partition: Sequence[Entity]) -> list[Sequence[Entity]]:
            return await in_batches(partition, _AT_ONCE, self._delete_some)

        deleted = await self.each(delete, partitions.values())
        return [entity for batches in deleted for batch in batches for entity in batch]

    async def _delete_some(self, some: Sequence[Entity]) -> Sequence[Entity]:
        operations = [("delete", each, _if_it_has(etag_of(each))) for each in some]
        if len(some) > 1 and await self._if(is_changed, lambda client: _submit(client, operations)):
            return some
        # One that has changed leaves all the others.
        held = await self.each(lambda entity: self.delete(stored_names(entity), etag_of(entity)), some)
        return [entity for entity, was in zip(some, held, strict=True) if was]

    async def query(
        self, condition: str, select: Sequence[str] | None = None, *, limit: int = _PAGE, start: Any = None
    ) -> Page:
        async def ask(client: Any) -> Page:
            found = client.query_entities(condition, select=select, results_per_page=min(limit, _PAGE), **_ONCE)
            pages = found.by_page(continuation_token=start)
            async for page in pages:
                return Page([entity async for entity in page], pages.continuation_token)
            return Page([], None)

        return await self.send(ask)

    async def each(self, handle: Callable[[T], Awaitable[R]], things: Iterable[T]) -> "list[R]":
        return await map_together(handle, things, self._table.requests)

    async def create_table(self) -> None:
        """Have the table there."""
        try:
            await self.send(lambda client: client.create_table(**_ONCE))
        except RefusedError as error:
            if not is_conflict(error):
                raise

    async def _if(self, is_unmet: Callable[[RefusedError], bool], ask: Callable[[Any], Awaitable[object]]) -> bool:
        try:
            await self.send(ask, repeatable=False)
        except RefusedError as error:
            if is_unmet(error):
                return False
            raise
        return True

    async def send(self, ask: Callable[[Any], Awaitable[R]], *, repeatable: bool = True) -> R:
        async def translated() -> R:
            try:
                return await ask(self._client)
            except (UnansweredError, OSError, AsyncioTimeoutError):
                raise
            except Exception as error:
                raise meant_by(error, is_closed=self._table.is_closed) from error

        return await self._table.sender.send(translated, self._deadline, repeatable=repeatable)


async def _submit(client: Any, operations: Sequence[Any]) -> None:
    """A transaction. What the client makes of an answer that was cut off has fewer parts, or none."""
    if len(await client.submit_transaction(operations, **_ONCE)) != len(operations):
        message = "the answer to a transaction was cut off"
        raise UnansweredError(message)


def _if_it_has(etag: str) -> dict[str, Any]:
    from azure.core import MatchConditions

    return {"etag": etag, "match_condition": MatchConditions.IfNotModified}
