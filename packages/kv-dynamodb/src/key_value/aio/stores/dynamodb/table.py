"""Requests to one table, with a time limit and with batches repeated until they are complete."""

import sys
from asyncio import TimeoutError as AsyncioTimeoutError
from asyncio import get_running_loop
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from key_value.aio.core.aws.errors import aws_errors, code_of, service_error
from key_value.aio.core.aws.requests import aws_sender
from key_value.aio.core.batches import in_batches
from key_value.aio.core.clients import ClientGetter
from key_value.aio.core.driver_errors import DriverErrors
from key_value.aio.core.numbers import scaled_timeout
from key_value.aio.core.requests import waited
from key_value.aio.errors import StoreConnectionError, StoreSetupError, StoreTimeoutError
from key_value.aio.stores.dynamodb.expressions import Condition, filtered, only_if, projected
from key_value.aio.stores.dynamodb.items import COLLECTION, KEY, VALUE, Item

if sys.version_info >= (3, 11):
    from asyncio import timeout
else:
    from async_timeout import timeout

__all__ = ["DRIVER_ERRORS", "Page", "ServiceError", "Table", "condition_failure"]

ServiceError: type[Exception] = service_error()

_KEYS_PER_GET = 100
_ITEMS_PER_WRITE = 25
# A request has at most 16 MB. JSON encodes a character in up to six bytes, one outside the BMP, such as an emoji, in
# twelve.
_MAX_BATCH_CHARACTERS = 1_300_000


class InvalidResponseError(Exception):
    """The response is not from DynamoDB."""


class UnprocessedError(Exception):
    """A part of a batch stayed unprocessed after repeated attempts."""


DRIVER_ERRORS: DriverErrors = {
    **aws_errors(
        {
            "ResourceNotFoundException": (StoreSetupError, "there is no such table in this region and account"),
            "ResourceInUseException": (StoreConnectionError, "the table is being created, changed or deleted"),
        }
    ),
    AsyncioTimeoutError: (StoreTimeoutError, "the limit `timeout` was reached"),
    TimeoutError: (StoreTimeoutError, "the limit `timeout` was reached"),
    InvalidResponseError: (StoreSetupError, "the server at the endpoint is not DynamoDB"),
    UnprocessedError: (StoreConnectionError, "the service limits the rate of requests (a part of a batch is left)"),
}


class Page(NamedTuple):
    items: list[Item]
    last: Item | None
    """The primary key after which the next page begins, None on the last page."""


async def condition_failure(write: Awaitable[Any]) -> Exception | None:
    """Run a conditional write. If its condition fails, return the error, which may contain the stored item."""
    try:
        await write
    except ServiceError as error:
        if code_of(error) != "ConditionalCheckFailedException":
            raise
        return error
    return None


class Table:
    """A table, used in the event loop of its client with at most `requests` requests in flight."""

    def __init__(
        self, name: str, get_client: ClientGetter, *, consistent: bool, requests: int, seconds: float | None
    ) -> None:
        self.name = name
        self._get_client = get_client
        self._consistent = consistent
        self._sender = aws_sender(requests)
        self._seconds = seconds

    async def get(self, key: Item, *, consistent: bool | None = None) -> Item | None:
        async with self._limit() as deadline:
            answer = await self.send(
                "get_item",
                deadline,
                TableName=self.name,
                Key=key,
                ConsistentRead=self._consistent if consistent is None else consistent,
            )
        return answer.get("Item")

    async def put(self, item: Item, condition: Condition | None = None) -> None:
        """Store the item. For a condition, see `condition_failure`."""
        async with self._limit() as deadline:
            await self.send(
                "put_item",
                deadline,
                repeatable=condition is None,
                TableName=self.name,
                Item=item,
                **only_if(condition),
            )

    async def delete(self, key: Item, condition: Condition | None = None) -> Item | None:
        """Remove the item and return it. For a condition, see `condition_failure`."""
        async with self._limit() as deadline:
            # Not repeatable: a second request would report that there was no item.
            answer = await self.send(
                "delete_item",
                deadline,
                repeatable=False,
                TableName=self.name,
                Key=key,
                ReturnValues="ALL_OLD",
                **only_if(condition),
            )
        return answer.get("Attributes")

    async def get_each(self, keys: Sequence[Item], attributes: Sequence[str] = ()) -> list[Item]:
        """Return the existing items, in any order, with the given attributes or with all."""
        options: dict[str, Any] = {"ConsistentRead": self._consistent, **projected(attributes)}

        async def get_some(some: Sequence[Item]) -> list[Any]:
            requests = {self.name: {"Keys": some, **options}}
            return await self._until_processed("batch_get_item", requests, "UnprocessedKeys", deadline)

        async with self._limit(len(keys)) as deadline:
            batches = await in_batches(keys, _KEYS_PER_GET, get_some)
        return [item for answers in batches for each in answers for item in each["Responses"].get(self.name, ())]

    async def put_each(self, items: Sequence[Item]) -> None:
        await self._write_each(
            [{"PutRequest": {"Item": item}} for item in items],
            lambda request: len(request["PutRequest"]["Item"][VALUE]["S"]),
        )

    async def delete_each(self, keys: Sequence[Item]) -> None:
        await self._write_each([{"DeleteRequest": {"Key": key}} for key in keys])

    async def _write_each(self, requests: Sequence[Any], weigh: Callable[[Any], int] = lambda _: 0) -> None:
        async def write_some(some: Sequence[Any]) -> list[Any]:
            return await self._until_processed("batch_write_item", {self.name: some}, "UnprocessedItems", deadline)

        async with self._limit(len(requests)) as deadline:
            await in_batches(requests, _ITEMS_PER_WRITE, write_some, weigh, _MAX_BATCH_CHARACTERS)

    async def _until_processed(
        self, operation: str, requests: dict[str, Any], unprocessed_field: str, deadline: float | None
    ) -> list[Any]:
        """Send a batch, then repeatedly the unprocessed rest, and return all answers."""
        answers: list[Any] = []
        fewest, attempts_without_progress = _count(requests), 0
        while requests:
            if answers and not await waited(attempts_without_progress + 1, deadline):
                raise UnprocessedError
            answers.append(await self.send(operation, deadline, RequestItems=requests))
            requests = answers[-1].get(unprocessed_field) or {}
            # As long as each attempt makes progress, only the deadline ends the repetition.
            count = _count(requests)
            attempts_without_progress = 0 if count < fewest else attempts_without_progress + 1
            fewest = min(count, fewest)
        return answers

    async def query(
        self,
        collection: str,
        attributes: Sequence[str],
        *,
        prefix: str = "",
        after: str | None = None,
        where: Condition | None = None,
        limit: int | None = None,
        consistent: bool | None = None,
    ) -> Page:
        """Return a page of the stored collection, sorted by key, after reading `limit` items or 1 MB."""
        expression = f"#{COLLECTION} = :{COLLECTION}"
        values = {f":{COLLECTION}": {"S": collection}}
        if prefix:
            expression += f" AND begins_with(#{KEY}, :prefix)"
            values[":prefix"] = {"S": prefix}
        options = filtered(attributes, where, expression, values)
        if limit is not None:
            options["Limit"] = limit
        start = None if after is None else {COLLECTION: {"S": collection}, KEY: {"S": after}}
        return await self._page(
            "query", start=start, consistent=consistent, KeyConditionExpression=expression, **options
        )

    async def query_all(
        self, collection: str, attributes: Sequence[str], *, consistent: bool | None = None
    ) -> AsyncGenerator[list[Item], None]:
        """Yield the items of the stored collection in pages."""
        after = None
        while True:
            page = await self.query(collection, attributes, after=after, consistent=consistent)
            yield page.items
            if page.last is None:
                return
            after = page.last[KEY]["S"]

    async def scan_all(
        self, attributes: Sequence[str], where: Condition | None = None, *, consistent: bool | None = None
    ) -> AsyncGenerator[list[Item], None]:
        """Yield the items of the whole table in pages, in an arbitrary order."""
        options = filtered(attributes, where, "", {})
        last = None
        while True:
            page = await self._page("scan", start=last, consistent=consistent, **options)
            yield page.items
            last = page.last
            if last is None:
                return

    async def _page(self, operation: str, *, start: Item | None, consistent: bool | None, **options: Any) -> Page:
        if start is not None:
            options["ExclusiveStartKey"] = start
        async with self._limit() as deadline:
            answer = await self.send(
                operation,
                deadline,
                TableName=self.name,
                ConsistentRead=self._consistent if consistent is None else consistent,
                **options,
            )
        return Page(answer["Items"], answer.get("LastEvaluatedKey"))

    async def control(self, operation: str, **parameters: Any) -> Any:
        """Run an operation on the table itself and return the answer."""
        async with self._limit() as deadline:
            return await self.send(operation, deadline, TableName=self.name, **parameters)

    async def send(self, operation: str, deadline: float | None, *, repeatable: bool = True, **parameters: Any) -> Any:
        """Send a request and return the answer. A `repeatable` one may be sent again if its outcome is unknown."""

        async def request() -> Any:
            return _checked(await getattr(await self._get_client(), operation)(**parameters))

        return await self._sender.send(request, deadline, repeatable=repeatable)

    @asynccontextmanager
    async def _limit(self, entries: int = 1) -> AsyncGenerator[float | None, None]:
        """Enter the time limit of one operation; yield its deadline on the clock of the event loop."""
        # Creating the client does not count against the time limit of the first operation.
        await self._get_client()
        seconds = scaled_timeout(self._seconds, entries)
        if seconds is None:
            yield None
            return
        async with timeout(seconds):
            yield get_running_loop().time() + seconds


def _checked(answer: dict[str, Any]) -> dict[str, Any]:
    """Return the answer if it is JSON; botocore parses an HTML page as an empty answer."""
    if "json" not in answer["ResponseMetadata"]["HTTPHeaders"].get("content-type", ""):
        raise InvalidResponseError
    return answer


def _count(requests: Mapping[str, Any]) -> int:
    """Return the number of reads or writes in a batch."""
    return sum(len(each["Keys"] if "Keys" in each else each) for each in requests.values())  # noqa: SIM401 — or a list
