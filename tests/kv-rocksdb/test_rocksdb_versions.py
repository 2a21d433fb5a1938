"""Conditional writes against other stores on the same database, and against its owner."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from embedded import check_equal_values_have_versions, check_expired_is_absent, check_versions_across_openings
from key_value.aio.stores.rocksdb import RocksDBStore
from rivals import RACES, count_up, winners
from rocksdict import Rdict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "default_collection::a"
WRITERS = 4
INCREMENTS = 100


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Rdict]:
    with Rdict(str(tmp_path)) as client:
        yield client


@pytest.mark.parametrize(
    "written",
    [b'{"version": 1, "value": {"n": 2}}', '{"version": 1, "value": {"n": 1}}', b"no entry", 5, None],
    ids=["another value", "the same value as str", "no entry", "a number", "nothing"],
)
async def test_a_write_of_the_owner_in_between_is_noticed(client: Rdict, written: Any) -> None:
    store = RocksDBStore(db=client)
    await store.put("a", {"n": 1})
    version = (await store.get_versioned("a")).version
    assert version is not None
    if written is None:
        del client[NAME]
    else:
        client[NAME] = written
    assert await store.put_if_version("a", {"n": 3}, version) is False
    assert await store.delete_if_version("a", version) is False
    assert client.get(NAME) == written


async def test_storing_an_equal_value_again_changes_the_version(client: Rdict) -> None:
    await check_equal_values_have_versions(RocksDBStore(db=client), 100)


async def test_a_version_is_valid_until_the_next_opening(tmp_path: Path) -> None:
    async def change() -> None:
        with Rdict(str(tmp_path)) as owner:
            owner[NAME] = b'{"version": 1, "value": {"n": 2}}'

    await check_versions_across_openings(partial(RocksDBStore, path=tmp_path), change)


async def test_an_expired_entry_is_absent(client: Rdict) -> None:
    client[NAME] = b'{"version": 1, "value": {"n": 1}, "expires_at": "2020-01-01T00:00:00+00:00"}'
    await check_expired_is_absent(RocksDBStore(db=client))


def test_concurrent_increments_of_many_stores_are_exact(client: Rdict) -> None:
    count_up(partial(RocksDBStore, db=client), WRITERS, INCREMENTS)
    assert asyncio.run(RocksDBStore(db=client).get("a")) == {"n": WRITERS * INCREMENTS}


@pytest.mark.parametrize("what", RACES)
def test_exactly_one_of_fifty_racing_calls_wins(client: Rdict, what: str) -> None:
    assert winners(partial(RocksDBStore, db=client), 50, what) == 1
    assert (NAME in client) is what.startswith("put")
