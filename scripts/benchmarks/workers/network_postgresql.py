"""Time PostgreSQLStore and asyncpg. Argument: the URL of a server that nothing else uses."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any

import asyncpg  # pyright: ignore[reportMissingTypeStubs] — it has none
from key_value.aio.stores.postgresql import PostgreSQLStore
from network import compare

if TYPE_CHECKING:
    from collections.abc import Sequence

    Value = dict[str, Any]

Driver: Any = asyncpg  # untyped

# The same columns and indexes as the store's.
_CREATE = "CREATE TABLE IF NOT EXISTS by_hand (LIKE kv_store INCLUDING ALL)"
_GET = "SELECT value FROM by_hand WHERE collection = 'c' AND key = $1 AND (expires_at IS NULL OR expires_at > now())"
_GET_MANY = """
SELECT key, value FROM by_hand WHERE collection = 'c' AND key = ANY($1) AND (expires_at IS NULL OR expires_at > now())
"""
_PUT = """
INSERT INTO by_hand (collection, key, value, created_at, expires_at) VALUES ('c', $1, $2, now(), NULL)
ON CONFLICT (collection, key) DO UPDATE
SET value = EXCLUDED.value, created_at = EXCLUDED.created_at, expires_at = EXCLUDED.expires_at
"""
_PUT_MANY = """
INSERT INTO by_hand (collection, key, value, created_at, expires_at)
SELECT 'c', key, value, now(), NULL FROM unnest($1::text[], $2::jsonb[]) AS given (key, value)
ON CONFLICT (collection, key) DO UPDATE
SET value = EXCLUDED.value, created_at = EXCLUDED.created_at, expires_at = EXCLUDED.expires_at
"""


class ByHand:
    def __init__(self, pool: Any) -> None:
        self._pool = pool

    async def get(self, key: str) -> Value | None:
        text = await self._pool.fetchval(_GET, key)
        return None if text is None else json.loads(text)

    async def put(self, key: str, value: Value) -> None:
        await self._pool.execute(_PUT, key, json.dumps(value))

    def ways_to_get_many(self) -> Any:
        return [self._get_many]

    def ways_to_put_many(self) -> Any:
        return [self._put_many_at_once, self._put_each]

    async def _get_many(self, keys: Sequence[str]) -> list[Value | None]:
        found = {key: json.loads(text) for key, text in await self._pool.fetch(_GET_MANY, keys)}
        return [found.get(key) for key in keys]

    async def _put_many_at_once(self, keys: Sequence[str], values: Sequence[Value]) -> None:
        await self._pool.execute(_PUT_MANY, keys, [json.dumps(value) for value in values])

    async def _put_each(self, keys: Sequence[str], values: Sequence[Value]) -> None:
        await self._pool.executemany(_PUT, [(key, json.dumps(value)) for key, value in zip(keys, values, strict=True)])


async def _skip_reset(_: object) -> None:
    """Replaces the statements with which asyncpg's pool resets a connection after each use."""


async def main() -> None:
    url = sys.argv[1]
    async with Driver.create_pool(url, reset=_skip_reset) as pool, PostgreSQLStore(url=url) as store:
        await pool.execute(_CREATE)
        await compare(store, ByHand(pool))


if __name__ == "__main__":
    asyncio.run(main())
