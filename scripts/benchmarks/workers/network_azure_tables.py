"""Time AzureTablesStore and azure-data-tables. Argument: the connection string of an account that nothing else uses."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any

from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables.aio import TableClient
from key_value.aio.stores.azure_tables import AzureTablesStore
from network import compare

if TYPE_CHECKING:
    from collections.abc import Sequence

    Value = dict[str, Any]

Client: Any = TableClient  # parts of its methods are untyped

_TABLE = "benchmark"
_MAX_TRANSACTION = 100


class ByHand:
    """Writes similar entities to the table of the store."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def get(self, key: str) -> Value | None:
        try:
            return json.loads((await self._client.get_entity("by hand", key))["Value"])
        except ResourceNotFoundError:
            return None

    async def put(self, key: str, value: Value) -> None:
        await self._client.upsert_entity(_entity(key, value), mode="replace")

    def ways_to_get_many(self) -> Any:
        return [self._get_many]

    def ways_to_put_many(self) -> Any:
        return [self._put_many, self._put_each]

    async def _get_many(self, keys: Sequence[str]) -> list[Value | None]:
        return await asyncio.gather(*map(self.get, keys))

    async def _put_many(self, keys: Sequence[str], values: Sequence[Value]) -> None:
        entities = [_entity(key, value) for key, value in zip(keys, values, strict=True)]
        for start in range(0, len(entities), _MAX_TRANSACTION):
            operations = [("upsert", each, {"mode": "replace"}) for each in entities[start : start + _MAX_TRANSACTION]]
            await self._client.submit_transaction(operations)

    async def _put_each(self, keys: Sequence[str], values: Sequence[Value]) -> None:
        await asyncio.gather(*(self.put(key, value) for key, value in zip(keys, values, strict=True)))


def _entity(key: str, value: Value) -> Any:
    return {"PartitionKey": "by hand", "RowKey": key, "Value": json.dumps(value)}


async def main() -> None:
    place: dict[str, Any] = {"connection_string": sys.argv[1], "table_name": _TABLE}
    store: Any = AzureTablesStore(**place)
    async with store, Client.from_connection_string(sys.argv[1], _TABLE) as client:
        await compare(store, ByHand(client))


if __name__ == "__main__":
    asyncio.run(main())
