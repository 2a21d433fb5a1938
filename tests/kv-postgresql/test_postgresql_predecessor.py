"""Data exchanged with py-key-value-aio 0.5.0 on one server."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import exchange
import pytest
from key_value.aio.stores.postgresql import PostgreSQLStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from conftest import Raw
    from predecessor import Predecessor

NAMES = exchange.named("höme/é 🌍", "a::b", "https://example.com/client?id=1#x", "A", "n" * 1000)
VALUES = {**exchange.VALUES, **NAMES, "large": {"integer": 2**70}}


@pytest.fixture
def place(url: str, raw: Raw) -> dict[str, Any]:
    assert raw.url == url
    return {"url": url, "table_name": "kv_test"}


@pytest.fixture
def predecessor(predecessor_of: Callable[[str], Predecessor], place: dict[str, Any]) -> Callable[..., list[Any]]:
    return partial(predecessor_of("postgresql").call, f"PostgreSQLStore(**{place!r})")


@pytest.fixture
async def store(place: dict[str, Any]) -> AsyncIterator[PostgreSQLStore]:
    async with PostgreSQLStore(**place) as store:
        yield store


async def test_this_store_reads_and_replaces_entries_of_the_predecessor(
    store: PostgreSQLStore, predecessor: Callable[..., list[Any]]
) -> None:
    await exchange.check_ours_reads(store, predecessor, VALUES)


async def test_the_predecessor_reads_entries_of_this_store(
    store: PostgreSQLStore, predecessor: Callable[..., list[Any]]
) -> None:
    await exchange.check_predecessor_reads(store, predecessor, {**VALUES, **exchange.FLOATS})


async def test_a_write_by_the_predecessor_changes_the_version(
    store: PostgreSQLStore, predecessor: Callable[..., list[Any]]
) -> None:
    await exchange.check_versions(store, predecessor)


async def test_both_stores_write_the_same_rows(
    store: PostgreSQLStore, raw: Raw, predecessor: Callable[..., list[Any]]
) -> None:
    calls = exchange.writes({"a": {"n": 1, "text": "é"}, "b": {"items": [1.5, None]}})
    sql = "SELECT collection, key, value, round(ttl), expires_at - created_at > '900 s' FROM kv_test ORDER BY 1, 2"
    await exchange.made(store, calls)
    ours = await raw.fetch(sql)
    await raw.fetch("DROP TABLE kv_test")
    predecessor(*calls)
    assert await raw.fetch(sql) == ours
