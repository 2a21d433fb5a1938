"""Enumerate and destroy entries in a database shared with other applications."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.stores.redis import RedisStore
from redis.asyncio import Redis
from redis_cases import SharedDatabaseCases

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Client: Any = Redis  # with untyped options


class TestRedisStoreInASharedDatabase(SharedDatabaseCases):
    @pytest.fixture
    async def other_database(self, url: str) -> AsyncIterator[RedisStore]:
        async with RedisStore(url=f"{url}?db=3") as store:
            yield store


def repeat_names(client: Any) -> None:
    """Make SCAN return every name twice, as it may while the server's hash table shrinks."""
    execute_command = client.execute_command

    async def execute(*args: Any, **options: Any) -> Any:
        answer = await execute_command(*args, **options)
        return (answer[0], [*answer[1], *answer[1]]) if args[0] == "SCAN" else answer

    client.execute_command = execute


async def test_a_name_that_scan_repeats_is_listed_once(store: RedisStore, url: str) -> None:
    keys = [f"key {number}" for number in range(1000)]
    await store.put_many(keys, [{"n": 1}] * 1000, collection="users")
    async with Client.from_url(url) as client:
        repeat_names(client)
        repeating = RedisStore(client=client)
        assert sorted(await repeating.keys("users")) == sorted(keys)
        assert len(set(await repeating.keys("users", limit=999))) == 999
        assert await repeating.destroy_collection("users") is True


@pytest.mark.parametrize("limit", [0, 1, 499, 500, 501, 1999, 2000, 2001])
async def test_a_limit_is_honoured_exactly(store: RedisStore, limit: int) -> None:
    await store.put_many([f"key {number}" for number in range(2000)], [{"n": 1}] * 2000, collection="users")
    found = await store.keys("users", limit=limit)
    assert len(set(found)) == len(found) == min(limit, 2000)
