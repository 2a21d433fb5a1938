"""Time MongoDBStore and pymongo. Argument: the URL of a server that nothing else uses."""

from __future__ import annotations

import asyncio
import sys
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from key_value.aio.stores.mongodb import MongoDBStore
from network import compare
from pymongo import AsyncMongoClient, ReplaceOne

if TYPE_CHECKING:
    from collections.abc import Sequence

    Value = dict[str, Any]


class ByHand:
    def __init__(self, collection: Any) -> None:
        self._collection = collection

    async def get(self, key: str) -> Value | None:
        document = await self._collection.find_one({"key": key})
        return None if document is None else document["value"]

    async def put(self, key: str, value: Value) -> None:
        await self._collection.replace_one({"key": key}, _document(key, value), upsert=True)

    def ways_to_get_many(self) -> Any:
        return [self._get_many]

    def ways_to_put_many(self) -> Any:
        return [self._put_many]

    async def _get_many(self, keys: Sequence[str]) -> list[Value | None]:
        documents = await self._collection.find({"key": {"$in": keys}}, batch_size=len(keys) + 1).to_list()
        found = {document["key"]: document["value"] for document in documents}
        return [found.get(key) for key in keys]

    async def _put_many(self, keys: Sequence[str], values: Sequence[Value]) -> None:
        pairs = zip(keys, values, strict=True)
        operations = [ReplaceOne({"key": key}, _document(key, value), upsert=True) for key, value in pairs]
        await self._collection.bulk_write(operations, ordered=False)


def _document(key: str, value: Value) -> dict[str, Any]:
    return {"key": key, "value": value, "created_at": datetime.now(timezone.utc)}


async def main() -> None:
    url = sys.argv[1]
    async with AsyncMongoClient[Any](url) as client, MongoDBStore(url=url) as store:
        collection = client["by_hand"]["entries"]
        # The same indexes as the store's.
        await collection.create_index("key", unique=True)
        await collection.create_index("expires_at", expireAfterSeconds=0)
        await compare(store, ByHand(collection))


if __name__ == "__main__":
    asyncio.run(main())
