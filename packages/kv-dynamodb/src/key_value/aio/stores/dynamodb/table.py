"""One table: requests with a time limit, and batches until all of them is done."""

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

__all__ = ["DRIVER_ERRORS", "Page", "ServiceError", "Table", "refusal"]

ServiceError: type[Exception] = service_error()

_GET_AT_ONCE = 100
_WRITE_AT_ONCE = 25
# A request is 16 MB at the most. On its way a character takes up to six bytes, and an emoji, which is one here, twelve.
_HEAVIEST_BATCH = 1_300_000


class StrangeAnswerError(Exception):
    """It is no answer of DynamoDB."""


class UnprocessedError(Exception):
    """A part of a batch was not done, however often it was asked for."""


DRIVER_ERRORS: DriverErrors = {
    **aws_errors(
        {
            "ResourceNotFoundException": (StoreSetupError, "there is no such table in this region and account"),
            "ResourceInUseException": (StoreConnectionError, "the table is being created, changed or deleted"),
        }
    ),
    AsyncioTimeoutError: (StoreTimeoutError, "the limit `timeout` was reached"),
    TimeoutError: (StoreTimeoutError, "the limit `timeout` was reached"),
    StrangeAnswerError: (StoreSetupError, "what answers at the endpoint is not DynamoDB"),
    UnprocessedError: (StoreConnectionError, "the service limits the rate of requests (it left a part of a batch)"),
}


class Page(NamedTuple):
    items: list[Item]
    last: Item | None
    """The primary key to go on after; None when there is nothing after it."""


async def refusal(write: Awaitable[Any]) -> Exception | None:
    """The error of a write whose condition failed, which may hold the item that is stored; None when it was done."""
    try:
        await write
    except ServiceError as error:
        if code_of(error) != "ConditionalCheckFailedException":
            raise
        return error
    return None


class Table:
    """A table in the event loop that its client belongs to, with so many requests under way at once."""

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
        """With a condition, see `refusal`."""
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
        """The item that is gone. With a condition, see `refusal`."""
        async with self._limit() as deadline:
            # Not repeatable: the answer to a second one would be that there was nothing.
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
        """The items that there are, in any order, with some of their attributes or with all."""
        options: dict[str, Any] = {"ConsistentRead": self._consistent, **projected(attributes)}

        async def get_some(some: Sequence[Item]) -> list[Any]:
            asked = {self.name: {"Keys": some, **options}}
            return await self._until_processed("batch_get_item", asked, "UnprocessedKeys", deadline)

        async with self._limit(len(keys)) as deadline:
            batches = await in_batches(keys, _GET_AT_ONCE, get_some)
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
            await in_batches(requests, _WRITE_AT_ONCE, write_some, weigh, _HEAVIEST_BATCH)

    async def _until_processed(
        self, operation: str, requests: dict[str, Any], left: str, deadline: float | None
    ) -> list[Any]:
        """The answers to a batch, and to what each of them has left undone."""
        answers: list[Any] = []
        fewest, vain = _count(requests), 0
        while requests:
            if answers and not await waited(vain + 1, deadline):
                raise UnprocessedError
            answers.append(await self.send(operation, deadline, RequestItems=requests))
            requests = answers[-1].get(left) or {}
            # As long as some of it is done each time, only the deadline ends it.
            count = _count(requests)
            vain = 0 if count < fewest else vain + 1
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
        """Some items of the stored collection, in the order of their keys, after looking at `limit` or a megabyte."""
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
        """The items of the stored collection, page by page."""
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
        """The items of the whole table, page by page, in an order of DynamoDB's own."""
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
        """The answer to an operation on the table itself."""
        async with self._limit() as deadline:
            return await self.send(operation, deadline, TableName=self.name, **parameters)

    async def send(self, operation: str, deadline: float | None, *, repeatable: bool = True, **parameters: Any) -> Any:
        """The answer of the service. What is `repeatable` may be sent again when nobody knows whether it was done."""

        async def ask() -> Any:
            return _checked(await getattr(await self._get_client(), operation)(**parameters))

        return await self._sender.send(ask, deadline, repeatable=repeatable)

    @asynccontextmanager
    async def _limit(self, entries: int = 1) -> AsyncGenerator[float | None, None]:
        """Bound what runs in it; gives the moment in the time of the event loop when it is over."""
        # Making the client is not a part of an operation: the first one waits for it, as long as it takes.
        await self._get_client()
        seconds = scaled_timeout(self._seconds, entries)
        if seconds is None:
            yield None
            return
        async with timeout(seconds):
            yield get_running_loop().time() + seconds


def _checked(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer; botocore takes a page of HTML for one that says nothing."""
    if "json" not in answer["ResponseMetadata"]["HTTPHeaders"].get("content-type", ""):
        raise StrangeAnswerError
    return answer


def _count(requests: Mapping[str, Any]) -> int:
    """How many reads or writes they are."""
    return sum(len(each["Keys"] if "Keys" in each else each) for each in requests.values())  # noqa: SIM401 — or a list
