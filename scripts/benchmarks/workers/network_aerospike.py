"""Time AerospikeStore and the C client in threads. Argument: the URL of a fake that nothing else uses."""

from __future__ import annotations

import asyncio
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aerospike
from aerospike_helpers.batch import records  # pyright: ignore[reportMissingTypeStubs] — it has none
from aerospike_helpers.operations import operations  # pyright: ignore[reportMissingTypeStubs] — it has none
from key_value.aio.stores.aerospike import AerospikeStore
from network import compare

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Value = dict[str, Any]

# Their annotations are partial.
Driver: Any = aerospike
Operations: Any = operations

_THREADS = 16
_SEND_KEY = {"key": aerospike.POLICY_KEY_SEND}


class ByHand:
    def __init__(self, client: Any, namespace: str) -> None:
        self._client = client
        self._namespace = namespace
        self._pool = ThreadPoolExecutor(_THREADS)

    async def get(self, key: str) -> Value | None:
        return await self._in_thread(self._get, key)

    async def put(self, key: str, value: Value) -> None:
        await self._in_thread(self._put, key, value)

    def ways_to_get_many(self) -> Any:
        return [self._get_many]

    def ways_to_put_many(self) -> Any:
        return [self._put_many]

    async def _in_thread(self, call: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, call, *arguments)

    def _key(self, key: str) -> tuple[str, str, str]:
        return self._namespace, "by-hand", key

    def _get(self, key: str) -> Value | None:
        _, _, bins = self._client.get(self._key(key))
        return json.loads(bins["value"])

    def _put(self, key: str, value: Value) -> None:
        self._client.put(self._key(key), {"value": json.dumps(value)}, None, _SEND_KEY)

    async def _get_many(self, keys: Sequence[str]) -> list[Value | None]:
        batch = await self._in_thread(self._client.batch_read, list(map(self._key, keys)), ["value"])
        return [json.loads(each.record[2]["value"]) for each in batch.batch_records]

    async def _put_many(self, keys: Sequence[str], values: Sequence[Value]) -> None:
        written: list[Any] = [
            records.Write(self._key(key), [Operations.write("value", json.dumps(value))], policy=_SEND_KEY)
            for key, value in zip(keys, values, strict=True)
        ]
        await self._in_thread(self._client.batch_write, records.BatchRecords(written))


async def main() -> None:
    place = urlsplit(sys.argv[1])
    hosts, namespace = [(place.hostname or "", place.port or 3000)], place.path.removeprefix("/")
    client = Driver.client({"hosts": hosts})
    async with AerospikeStore(hosts=hosts, namespace=namespace) as store:
        await compare(store, ByHand(client, namespace))
    client.close()


if __name__ == "__main__":
    asyncio.run(main())
