"""Time VaultStore and hvac in threads.

Argument: vault+http://:token@host:port of a server that nothing else uses.
"""

from __future__ import annotations

import asyncio
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import hvac
from hvac.exceptions import InvalidPath
from key_value.aio.stores.vault import VaultStore
from network import compare

if TYPE_CHECKING:
    from collections.abc import Sequence

    Value = dict[str, Any]

Client: Any = hvac.Client  # its methods are untyped

_THREADS = 50


class ByHand:
    def __init__(self, client: Any, threads: ThreadPoolExecutor) -> None:
        self._engine = client.secrets.kv.v2
        self._threads = threads

    async def get(self, key: str) -> Value | None:
        try:
            read = partial(self._engine.read_secret_version, f"hand::{key}", raise_on_deleted_version=True)
            answer = await asyncio.get_running_loop().run_in_executor(self._threads, read)
        except InvalidPath:
            return None
        return json.loads(answer["data"]["data"]["value"])

    async def put(self, key: str, value: Value) -> None:
        write = partial(self._engine.create_or_update_secret, f"hand::{key}", {"value": json.dumps(value)})
        await asyncio.get_running_loop().run_in_executor(self._threads, write)

    def ways_to_get_many(self) -> Any:
        return [self._get_many]

    def ways_to_put_many(self) -> Any:
        return [self._put_many]

    async def _get_many(self, keys: Sequence[str]) -> list[Value | None]:
        return await asyncio.gather(*map(self.get, keys))

    async def _put_many(self, keys: Sequence[str], values: Sequence[Value]) -> None:
        await asyncio.gather(*map(self.put, keys, values))


async def main() -> None:
    parts = urlsplit(sys.argv[1])
    url, token = f"http://{parts.hostname}:{parts.port}", unquote(parts.password or "")
    store: Any = VaultStore(url=url, token=token)
    with ThreadPoolExecutor(_THREADS) as threads:
        await compare(store, ByHand(Client(url, token=token), threads))
    # The predecessor's store has no `close`.
    if hasattr(store, "close"):
        await store.close()


if __name__ == "__main__":
    asyncio.run(main())
