"""Exchange of data with py-key-value-aio 0.5.0, on one server."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import exchange
import pytest
from key_value.aio.stores.mongodb import MongoDBStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from predecessor import Predecessor

VALUES = {**exchange.VALUES, **exchange.named("höme/é 🌍", "a::b", "k" * 1000)}
# The predecessor stores these values as BSON, this store as JSON text. Both read both.
NAMES_WITH_SIGNS: dict[str, dict[str, Any]] = {"signs": {"$set": {"a.b": [1]}}}
# Values that the predecessor cannot store.
LARGE: dict[str, dict[str, Any]] = {"large": {"n": 2**70, "a\0b": 1}}


@pytest.fixture
def predecessor(predecessor_of: Callable[[str], Predecessor], url: str, raw: Any) -> Callable[..., list[Any]]:
    return partial(predecessor_of("mongodb").call, f"MongoDBStore(url={url!r}, db_name={raw.name!r})")


@pytest.fixture
async def store(url: str, raw: Any) -> AsyncIterator[MongoDBStore]:
    async with MongoDBStore(url=url, db_name=raw.name, timeout=30) as store:
        yield store


async def test_this_store_reads_and_replaces_what_the_predecessor_wrote(
    store: MongoDBStore, raw: Any, predecessor: Callable[..., list[Any]]
) -> None:
    values = VALUES | NAMES_WITH_SIGNS
    await exchange.check_ours_reads(store, predecessor, values)
    assert raw["single"].count_documents({}) == len(values)


async def test_the_predecessor_reads_and_replaces_what_this_store_wrote(
    store: MongoDBStore, raw: Any, predecessor: Callable[..., list[Any]]
) -> None:
    values = VALUES | NAMES_WITH_SIGNS | LARGE
    await exchange.check_predecessor_reads(store, predecessor, values)
    predecessor(*exchange.writes(VALUES))
    exchange.check_reads(VALUES, await exchange.made(store, exchange.reads(VALUES)))
    assert raw["single"].count_documents({}) == len(values)


async def test_a_write_of_the_predecessor_changes_the_version(
    store: MongoDBStore, predecessor: Callable[..., list[Any]]
) -> None:
    await exchange.check_versions(store, predecessor)
