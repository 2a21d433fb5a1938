"""Data shared both ways with the predecessor's ValkeyStore, which runs on the same server in a separate environment."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from key_value.aio.stores.valkey import ValkeyStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from predecessor import Predecessor

VALUES: list[dict[str, Any]] = [{"n": 1}, {"text": "höme 🌍\u0000", "list": [1, 2.5, None, True]}, {}]
KEYS = ["ada", "https://example.com/a?b=1#c", "höme 🌍"]
COLLECTION = "users"


@pytest.fixture
def place(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    return {"host": parts.hostname, "port": parts.port, "db": int(parts.path[1:])}


@pytest.fixture
async def store(place: dict[str, Any], raw: Any) -> AsyncIterator[ValkeyStore]:
    assert raw.dbsize() == 0
    async with ValkeyStore(**place) as store:
        yield store


@pytest.fixture
def predecessor(predecessor_of: Callable[[str], Predecessor], place: dict[str, Any]) -> Callable[..., list[Any]]:
    """Call the predecessor's ValkeyStore on the same database, in a separate process."""
    return partial(predecessor_of("valkey").call, f"ValkeyStore(**{place!r})")


def write_by(predecessor: Callable[..., list[Any]]) -> None:
    predecessor(
        ("put", {"key": KEYS[0], "value": VALUES[0], "collection": COLLECTION}),
        ("put", {"key": KEYS[1], "value": VALUES[1], "collection": COLLECTION, "ttl": 1000}),
        ("put_many", {"keys": KEYS[2:], "values": VALUES[2:], "collection": COLLECTION}),
        ("put_many", {"keys": ["batch"], "values": [VALUES[1]], "collection": COLLECTION, "ttl": 1000}),
    )


async def test_entries_of_the_predecessor_are_read(predecessor: Callable[..., list[Any]], store: ValkeyStore) -> None:
    write_by(predecessor)
    assert [await store.get(key, collection=COLLECTION) for key in KEYS] == VALUES
    assert await store.get_many([*KEYS, "absent"], collection=COLLECTION) == [*VALUES, None]
    ttls = [ttl for _, ttl in await store.ttl_many([*KEYS, "batch"], collection=COLLECTION)]
    assert [ttl is not None and 900 < ttl <= 1000 for ttl in ttls] == [False, True, False, True]
    assert sorted(await store.keys(COLLECTION)) == sorted([*KEYS, "batch"])
    version = (await store.get_versioned(KEYS[0], collection=COLLECTION)).version
    write_by(predecessor)
    assert version is not None
    assert await store.put_if_version(KEYS[0], {"n": 2}, version, collection=COLLECTION) is False
    assert await store.destroy() is True
    assert await store.keys(COLLECTION) == []


async def test_the_predecessor_reads_entries_of_this_store(
    predecessor: Callable[..., list[Any]], store: ValkeyStore
) -> None:
    await store.put(KEYS[0], VALUES[0], collection=COLLECTION)
    assert await store.put_if_absent(KEYS[1], VALUES[1], collection=COLLECTION, ttl=1000) is True
    await store.put_many(KEYS[2:], VALUES[2:], collection=COLLECTION)
    await store.put_many(["batch"], [VALUES[1]], collection=COLLECTION, ttl=1000)
    *single, many, with_ttls = predecessor(
        *(("get", {"key": key, "collection": COLLECTION}) for key in KEYS),
        ("get_many", {"keys": [*KEYS, "absent"], "collection": COLLECTION}),
        ("ttl_many", {"keys": [*KEYS, "batch"], "collection": COLLECTION}),
    )
    assert single == VALUES
    assert many == [*VALUES, None]
    assert [ttl is not None and 900 < ttl <= 1000 for _, ttl in with_ttls] == [False, True, False, True]
