"""Exchange of entries between py-key-value-aio 0.5.0 and a store of this library, on the same data.

The store is closed while the predecessor runs, because some databases can be open in one process only.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Call = tuple[str, dict[str, Any]]
    Predecessor = Callable[..., list[Any]]
    """A function that makes calls on the predecessor's store and returns the results."""

COLLECTIONS = {"single": None, "mcp:oauth": 1000, "batch": None, "timed batch": 1000}
"""Collection → ttl of its entries in seconds."""

VALUES: dict[str, dict[str, Any]] = {
    "empty": {},
    "leaves": {"null": None, "true": True, "text": "höme é 🌍", "integer": 2**63 - 1, "float": 0.1 + 0.2},
    "nested": {"items": [1, {"b": 2}, "three", [4.0], None], "3e5": "1E9"},
}
# The predecessor reads these, but stores 1e22 as an integer and -0.0 as 0.0.
FLOATS = {"floats": {"large": 1e22, "largest": 1.7976931348623157e308, "small": 5e-324, "negative zero": -0.0}}

# For databases in files.
OF_FILES: dict[str, dict[str, Any]] = {
    "plain": {"name": "Alice", "n": 1.5, "whole": 1.0, "ok": True, "none": None, "roles": ["a", "b"]},
    "unicode": {"höme": "é 🌍 \u2028 \x00"},
    "quotes": {"quotes": "'\"\\ \n\t"},
    "big integers": {"positive": 2**70, "negative": -(2**70), "unsigned": 2**64 - 1},
    "50 KB": {"text": "x" * 50_000},
}


def named(*names: str) -> dict[str, dict[str, Any]]:
    return {name: {"name": name} for name in names}


def puts(values: dict[str, dict[str, Any]]) -> list[Call]:
    calls: list[Call] = []
    for collection, ttl in COLLECTIONS.items():
        more = {"collection": collection, **({"ttl": ttl} if ttl else {})}
        if "batch" in collection:
            calls.append(("put_many", {"keys": list(values), "values": list(values.values()), **more}))
        else:
            calls += [("put", {"key": key, "value": value, **more}) for key, value in values.items()]
    return calls


def writes(values: dict[str, dict[str, Any]]) -> list[Call]:
    """Return the calls of `puts`, and calls for two entries that are absent afterwards: expired and deleted."""
    absent: list[Call] = [
        ("put", {"key": "passed", "value": {"n": 1}, "collection": "mcp:oauth", "ttl": 0.001}),
        ("put", {"key": "gone", "value": {"n": 1}, "collection": "mcp:oauth"}),
        ("delete", {"key": "gone", "collection": "mcp:oauth"}),
    ]
    return [*puts(values), *absent]


def reads(values: dict[str, dict[str, Any]]) -> list[Call]:
    calls: list[Call] = [("get", {"key": key, "collection": "mcp:oauth"}) for key in ("passed", "gone")]
    for collection in COLLECTIONS:
        calls += [("ttl", {"key": key, "collection": collection}) for key in values]
        calls.append(("get_many", {"keys": list(values), "collection": collection}))
    return calls


def check_reads(values: dict[str, dict[str, Any]], answers: list[Any]) -> None:
    """Check that the results of `reads` are the exact values and plausible remaining ttls."""
    assert answers[:2] == [None, None]
    rest = answers[2:]
    for ttl in COLLECTIONS.values():
        singles, many, rest = rest[: len(values)], rest[len(values)], rest[len(values) + 1 :]
        assert exact(many) == exact(list(values.values())) == exact([value for value, _ in singles])
        left = [seconds for _, seconds in singles]
        assert all(500 < seconds <= ttl for seconds in left) if ttl else left == [None] * len(left)


def exact(value: object) -> str:
    return json.dumps(value, sort_keys=True)


async def made(store: Any, calls: list[Call]) -> list[Any]:
    """Make the calls on a store of this library, and return the results."""
    return [await getattr(store, method)(**arguments) for method, arguments in calls]


async def check_ours_reads(store: Any, predecessor: Predecessor, values: dict[str, dict[str, Any]]) -> None:
    """Check that the store reads, replaces and deletes all entries of the predecessor under the same names."""
    await store.close()
    predecessor(*writes(values))
    check_reads(values, await made(store, reads(values)))
    for collection in COLLECTIONS:
        assert sorted(await store.keys(collection)) == sorted(values)
    assert sorted(await store.collections()) == sorted(COLLECTIONS)
    await made(store, puts(values))
    for collection in COLLECTIONS:
        assert sorted(await store.keys(collection)) == sorted(values)
    replaced, *_, deleted = values
    await store.put(replaced, {"n": 2}, collection="batch")
    assert await store.delete(deleted, collection="batch") is True
    await store.close()
    gets: list[Call] = [("get", {"key": key, "collection": "batch"}) for key in (replaced, deleted)]
    assert predecessor(*gets) == [{"n": 2}, None]


async def check_predecessor_reads(store: Any, predecessor: Predecessor, values: dict[str, dict[str, Any]]) -> None:
    """Check that the predecessor reads all entries of the store."""
    await made(store, writes(values))
    await store.close()
    check_reads(values, predecessor(*reads(values)))


async def check_versions(store: Any, predecessor: Predecessor) -> None:
    """Check that a write by the predecessor changes the version, even if the value is equal."""
    await store.put("key", {"n": 1}, collection="single")
    version = (await store.get_versioned("key", collection="single")).version
    assert version is not None
    predecessor(("put", {"key": "key", "value": {"n": 1}, "collection": "single"}))
    assert await store.put_if_version("key", {"n": 2}, version, collection="single") is False
    assert await store.put_if_absent("key", {"n": 2}, collection="single") is False
    version = (await store.get_versioned("key", collection="single")).version
    assert version is not None
    assert await store.put_if_version("key", {"n": 2}, version, collection="single") is True
