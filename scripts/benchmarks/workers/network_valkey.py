"""Time ValkeyStore and valkey-glide. Argument: the URL of a server that nothing else uses."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from glide import Batch, GlideClient, GlideClientConfiguration, NodeAddress
from key_value.aio.stores.valkey import ValkeyStore
from network import compare

if TYPE_CHECKING:
    from collections.abc import Sequence

    Value = dict[str, Any]


class ByHand:
    def __init__(self, client: Any) -> None:
        self._client = client

    async def get(self, key: str) -> Value | None:
        return _loaded(await self._client.get(key))

    async def put(self, key: str, value: Value) -> None:
        await self._client.set(key, json.dumps(value))

    def ways_to_get_many(self) -> Any:
        return [self._mget, self._get_in_batch]

    def ways_to_put_many(self) -> Any:
        return [self._mset, self._set_in_batch]

    async def _mget(self, keys: Sequence[str]) -> list[Value | None]:
        return [_loaded(text) for text in await self._client.mget(keys)]

    async def _get_in_batch(self, keys: Sequence[str]) -> list[Value | None]:
        batch = Batch(is_atomic=False)
        for key in keys:
            batch.get(key)
        return [_loaded(text) for text in await self._client.exec(batch, raise_on_error=True)]

    async def _mset(self, keys: Sequence[str], values: Sequence[Value]) -> None:
        await self._client.mset({key: json.dumps(value) for key, value in zip(keys, values, strict=True)})

    async def _set_in_batch(self, keys: Sequence[str], values: Sequence[Value]) -> None:
        batch = Batch(is_atomic=False)
        for key, value in zip(keys, values, strict=True):
            batch.set(key, json.dumps(value))
        await self._client.exec(batch, raise_on_error=True)


def _loaded(text: bytes | None) -> Value | None:
    return None if text is None else json.loads(text)


async def main() -> None:
    place = urlsplit(sys.argv[1])
    host, port = str(place.hostname), int(place.port or 6379)
    client = await GlideClient.create(GlideClientConfiguration([NodeAddress(host, port)], request_timeout=5000))
    async with ValkeyStore(host=host, port=port) as store:
        await compare(store, ByHand(client))
    await client.close()


if __name__ == "__main__":
    asyncio.run(main())
