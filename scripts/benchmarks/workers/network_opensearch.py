"""Time OpenSearchStore and opensearch-py. Argument: the URL of a server that nothing else uses."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

from key_value.aio.stores.opensearch import OpenSearchStore
from network import compare
from opensearchpy import AsyncOpenSearch
from search import INDEX, PREFIX, SearchByHand

if TYPE_CHECKING:
    from collections.abc import Sequence

    Value = dict[str, Any]


class ByHand(SearchByHand):
    async def read(self, id_: str) -> Any:
        return await self._client.get(index=INDEX, id=id_, params={"ignore": 404})

    async def write(self, id_: str, document: Value) -> None:
        await self._client.index(index=INDEX, id=id_, body=document)

    async def read_many(self, ids: Sequence[str]) -> Any:
        return await self._client.mget(index=INDEX, body={"ids": ids})

    async def write_many(self, lines: list[Value]) -> Any:
        return await self._client.bulk(index=INDEX, body=lines)


async def main() -> None:
    async with (
        OpenSearchStore(url=sys.argv[1], index_prefix=PREFIX) as store,
        AsyncOpenSearch(hosts=[sys.argv[1]], maxsize=50) as client,
    ):
        await compare(store, ByHand(client, "flat"))


if __name__ == "__main__":
    asyncio.run(main())
