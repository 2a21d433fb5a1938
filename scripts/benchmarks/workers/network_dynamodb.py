"""Time DynamoDBStore and aiobotocore. Argument: the URL of a server that nothing else uses."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any

from aiobotocore.session import AioSession  # pyright: ignore[reportMissingTypeStubs] — it has none
from key_value.aio.stores.dynamodb import DynamoDBStore
from network import compare

if TYPE_CHECKING:
    from collections.abc import Sequence

    Value = dict[str, Any]

Session: Any = AioSession  # untyped

_TABLE = "benchmark"
_MAX_BATCH_READS, _MAX_BATCH_WRITES = 100, 25


class ByHand:
    """Writes similar items to the table of the store."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def get(self, key: str) -> Value | None:
        answer = await self._client.get_item(TableName=_TABLE, Key=_key(key), ConsistentRead=True)
        return json.loads(answer["Item"]["value"]["S"]) if "Item" in answer else None

    async def put(self, key: str, value: Value) -> None:
        await self._client.put_item(TableName=_TABLE, Item=_item(key, value))

    def ways_to_get_many(self) -> Any:
        return [self._get_many, self._get_each]

    def ways_to_put_many(self) -> Any:
        return [self._put_many_at_once, self._put_many_in_turn, self._put_each]

    async def _get_many(self, keys: Sequence[str]) -> list[Value | None]:
        found: dict[str, Value] = {}
        for start in range(0, len(keys), _MAX_BATCH_READS):
            request = {"Keys": [_key(key) for key in keys[start : start + _MAX_BATCH_READS]], "ConsistentRead": True}
            answer = await self._client.batch_get_item(RequestItems={_TABLE: request})
            found |= {item["key"]["S"]: json.loads(item["value"]["S"]) for item in answer["Responses"][_TABLE]}
        return [found.get(key) for key in keys]

    async def _get_each(self, keys: Sequence[str]) -> list[Value | None]:
        return await asyncio.gather(*(self.get(key) for key in keys))

    async def _put_many_at_once(self, keys: Sequence[str], values: Sequence[Value]) -> None:
        await asyncio.gather(*(self._write(batch) for batch in _batches(keys, values)))

    async def _put_many_in_turn(self, keys: Sequence[str], values: Sequence[Value]) -> None:
        for batch in _batches(keys, values):
            await self._write(batch)

    async def _put_each(self, keys: Sequence[str], values: Sequence[Value]) -> None:
        await asyncio.gather(*(self.put(key, value) for key, value in zip(keys, values, strict=True)))

    async def _write(self, items: list[Any]) -> None:
        requests = [{"PutRequest": {"Item": item}} for item in items]
        await self._client.batch_write_item(RequestItems={_TABLE: requests})


def _key(key: str) -> Any:
    return {"collection": {"S": "by hand"}, "key": {"S": key}}


def _item(key: str, value: Value) -> Any:
    return {**_key(key), "value": {"S": json.dumps(value)}}


def _batches(keys: Sequence[str], values: Sequence[Value]) -> list[list[Any]]:
    items = [_item(key, value) for key, value in zip(keys, values, strict=True)]
    return [items[start : start + _MAX_BATCH_WRITES] for start in range(0, len(items), _MAX_BATCH_WRITES)]


async def main() -> None:
    place: dict[str, Any] = {
        "endpoint_url": sys.argv[1],
        "region_name": "eu-central-1",
        "aws_access_key_id": "any",
        "aws_secret_access_key": "any",
    }
    async with (
        DynamoDBStore(table_name=_TABLE, **place) as store,
        Session().create_client("dynamodb", **place) as client,
    ):
        await compare(store, ByHand(client))


if __name__ == "__main__":
    asyncio.run(main())
