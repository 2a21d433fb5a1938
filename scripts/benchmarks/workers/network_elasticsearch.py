"""Time ElasticsearchStore and elasticsearch-py. Argument: the URL of a server that nothing else uses."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

from elasticsearch import AsyncElasticsearch
from key_value.aio.stores.elasticsearch import ElasticsearchStore
from network import compare
from search import INDEX, PREFIX, SearchByHand

if TYPE_CHECKING:
    from collections.abc import Sequence

    Value = dict[str, Any]


class ByHand(SearchByHand):
    def __init__(self, client: AsyncElasticsearch) -> None:
        super().__init__(client, "flattened")
        # `options` creates a new client, so create it once.
        self._without_error = client.options(ignore_status=404)

    async def read(self, id_: str) -> Any:
        return await self._without_error.get(index=INDEX, id=id_)

    async def write(self, id_: str, document: Value) -> None:
        await self._client.index(index=INDEX, id=id_, document=document)

    async def read_many(self, ids: Sequence[str]) -> Any:
        return await self._client.mget(index=INDEX, ids=ids)

    async def write_many(self, lines: list[Value]) -> Any:
        return await self._client.bulk(index=INDEX, operations=lines)


async def main() -> None:
    async with (
        ElasticsearchStore(url=sys.argv[1], index_prefix=PREFIX) as store,
        AsyncElasticsearch(hosts=[sys.argv[1]], connections_per_node=50) as client,
    ):
        await compare(store, ByHand(client))


if __name__ == "__main__":
    asyncio.run(main())
