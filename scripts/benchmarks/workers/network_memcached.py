"""Time MemcachedStore and aiomcache. Argument: the URL of a server that nothing else uses."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aiomcache import Client
from key_value.aio.stores.memcached import MemcachedStore
from network import compare

if TYPE_CHECKING:
    from collections.abc import Sequence

    Value = dict[str, Any]

# One per concurrent call: by default the client has two connections and waits for a free one.
_CONNECTIONS = 16


class ByHand:
    def __init__(self, client: Client) -> None:
        self._client = client

    async def get(self, key: str) -> Value | None:
        text = await self._client.get(key.encode())
        return None if text is None else json.loads(text)

    async def put(self, key: str, value: Value) -> None:
        await self._client.set(key.encode(), json.dumps(value).encode())

    def ways_to_get_many(self) -> Any:
        return [self._get_many]

    def ways_to_put_many(self) -> Any:
        return [self._put_at_once]

    async def _get_many(self, keys: Sequence[str]) -> list[Value | None]:
        texts = await self._client.multi_get(*(key.encode() for key in keys))
        return [None if text is None else json.loads(text) for text in texts]

    async def _put_at_once(self, keys: Sequence[str], values: Sequence[Value]) -> None:
        await asyncio.gather(*(self.put(key, value) for key, value in zip(keys, values, strict=True)))


async def main() -> None:
    place = urlsplit(sys.argv[1])
    host, port = place.hostname or "", place.port or 11211
    client = Client(host, port, pool_size=_CONNECTIONS)
    async with MemcachedStore(host=host, port=port) as store:
        await compare(store, ByHand(client))
    await client.close()


if __name__ == "__main__":
    asyncio.run(main())
