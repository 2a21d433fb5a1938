"""Data exchanged with py-key-value-aio 0.5.0 in one set of the fake."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from key_value.aio.stores.aerospike import AerospikeStore
    from predecessor import Predecessor

    from .conftest import Raw

VALUES: dict[str, dict[str, Any]] = {
    "empty": {},
    "leaves": {"null": None, "true": True, "text": "höme é 🌍", "integer": 2**70, "float": 0.1 + 0.2},
    "nested": {"items": [1, {"b": 2}, "three", [4.0], None]},
    "höme/é 🌍": {"name": "a key"},
    "https://example.com/client?id=1#x": {"name": "another"},
    "a::b": {"n": 1},
    "n" * 1000: {"n": 2},
}
COLLECTIONS = ("users", "höme")


@pytest.fixture(scope="module")
def predecessor(predecessor_of: Callable[[str], Predecessor]) -> Predecessor:
    return predecessor_of("aerospike")


def predecessor_store(raw: Raw) -> str:
    """Return the expression that constructs the predecessor's store."""
    client = f"__import__('aerospike').client({raw.config!r})"
    return f"AerospikeStore(client={client}, namespace={raw.namespace!r}, set_name={raw.set_name!r})"


async def test_this_store_reads_lists_and_replaces_entries_of_the_predecessor(
    store: AerospikeStore, raw: Raw, predecessor: Predecessor
) -> None:
    calls: list[tuple[str, dict[str, Any]]] = []
    for collection in COLLECTIONS:
        for key, value in VALUES.items():
            calls.append(("put", {"key": key, "value": value, "collection": collection}))
        calls.append(
            ("put_many", {"keys": ["timed"], "values": [{"n": 3}], "collection": f"{collection} timed", "ttl": 1000})
        )
    predecessor.call(predecessor_store(raw), *calls)
    # The predecessor stores no keys with the records.
    assert set(raw.names()) == {None}
    for collection in COLLECTIONS:
        assert await store.get_many(list(VALUES), collection=collection) == list(VALUES.values())
        assert sorted(await store.keys(collection)) == sorted(VALUES)
        value, ttl = await store.ttl("timed", collection=f"{collection} timed")
        assert value == {"n": 3}
        assert ttl == pytest.approx(1000, abs=100)
        version = (await store.get_versioned("leaves", collection=collection)).version
        assert version is not None
        assert await store.put_if_version("leaves", {"n": 4}, version, collection=collection)
        assert not await store.put_if_absent("nested", {"n": 5}, collection=collection)
    assert sorted(await store.collections()) == sorted([*COLLECTIONS, *(f"{name} timed" for name in COLLECTIONS)])
    found = predecessor.call(
        predecessor_store(raw), *(("get", {"key": "leaves", "collection": collection}) for collection in COLLECTIONS)
    )
    assert found == [{"n": 4}] * len(COLLECTIONS)
    assert await store.destroy_collection("users") is True
    assert await store.keys("users") == []
    assert sorted(await store.keys("höme")) == sorted(VALUES)


async def test_the_predecessor_reads_and_deletes_entries_of_this_store(
    store: AerospikeStore, raw: Raw, predecessor: Predecessor
) -> None:
    for key, value in VALUES.items():
        await store.put(key, value, collection="users")
    await store.put_many(list(VALUES), list(VALUES.values()), collection="timed", ttl=1000)
    *found, many, timed, deleted = predecessor.call(
        predecessor_store(raw),
        *(("get", {"key": key, "collection": "users"}) for key in VALUES),
        ("get_many", {"keys": list(VALUES), "collection": "timed"}),
        ("ttl", {"key": "leaves", "collection": "timed"}),
        ("delete", {"key": "leaves", "collection": "users"}),
    )
    assert found == many == list(VALUES.values())
    assert timed[0] == VALUES["leaves"]
    assert timed[1] == pytest.approx(1000, abs=100)
    assert deleted is True
    assert await store.get("leaves", collection="users") is None


async def test_both_stores_write_the_same_records(store: AerospikeStore, raw: Raw, predecessor: Predecessor) -> None:
    value = {"n": 1, "text": "é", "items": [1.5, None]}
    await store.put("ours", value, collection="users", ttl=1000)
    arguments = {"key": "theirs", "value": value, "collection": "users", "ttl": 1000}
    predecessor.call(predecessor_store(raw), ("put", arguments))
    ours, theirs = (raw.bins(f"users::{key}") or {} for key in ("ours", "theirs"))
    assert ours.keys() == theirs.keys() == {"value"}
    first, second = json.loads(ours["value"]), json.loads(theirs["value"])
    assert first.keys() == second.keys()
    assert {**first, "key": "", "created_at": "", "expires_at": ""} == {
        **second,
        "key": "",
        "created_at": "",
        "expires_at": "",
    }
