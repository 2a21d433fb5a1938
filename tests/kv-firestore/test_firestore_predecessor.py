"""Exchange of data with py-key-value-aio 0.5.0, in one database."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.stores.firestore import (
    FirestoreStore,
    FirestoreV1CollectionSanitizationStrategy,
    FirestoreV1KeySanitizationStrategy,
)

from .conftest import EMULATOR

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from predecessor import Predecessor
    from workspace import Environment

    from .conftest import Raw

VALUES: dict[str, dict[str, Any]] = {
    "empty": {},
    "leaves": {"null": None, "true": True, "text": "höme é 🌍 \0", "integer": 2**70, "float": 0.1 + 0.2},
    "floats": {"large": 1e22, "small": 5e-324, "negative zero": -0.0},
    "nested": {"items": [1, {"b": 2}, "three", [4.0], None], "3e5": "1E9"},
}
NAMES = ["höme é 🌍", "a::b", "x%2Fy", "100%25", "A", "_", "n" * 1500]
ILLEGAL = ["https://example.com/client?id=1#x", "a/b", "a/b/c", ".", "..", "__x__", "n" * 1501, "é/" * 700]

PROGRAM = """
import asyncio, json, sys, warnings
warnings.simplefilter("ignore")
from google.auth.credentials import AnonymousCredentials
from key_value.aio.stores.firestore import (
    FirestoreStore, FirestoreV1CollectionSanitizationStrategy, FirestoreV1KeySanitizationStrategy
)

async def main(what, project, strategies, values):
    options = {}
    if strategies == "v1":
        options["key_sanitization_strategy"] = FirestoreV1KeySanitizationStrategy()
        options["collection_sanitization_strategy"] = FirestoreV1CollectionSanitizationStrategy()
    async with FirestoreStore(project=project, credentials=AnonymousCredentials(), **options) as store:
        if what == "write":
            for key, value in values.items():
                await store.put(key, value, collection="single")
                await store.put(key, value, collection="timed", ttl=1000)
            await store.put_many(list(values), list(values.values()), collection="batch", ttl=1000)
            await store.put("passed", {"n": 1}, collection="timed", ttl=0.001)
        found = {}
        for collection in ("single", "timed", "batch"):
            each = [await store.ttl(key, collection=collection) for key in values]
            assert [value for value, _ in each] == await store.get_many(list(values), collection=collection)
            found[collection] = [[value, ttl is not None and 900 < ttl <= 1000] for value, ttl in each]
        assert await store.get("passed", collection="timed") is None
        print(json.dumps(found, sort_keys=True))

asyncio.run(main(*sys.argv[1:4], json.loads(sys.argv[4])))
"""


@pytest.fixture(scope="module")
def predecessor(predecessor_of: Callable[[str], Predecessor]) -> Environment:
    return predecessor_of("firestore").environment


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raw: Raw) -> Path:
    monkeypatch.setenv(EMULATOR, raw.address)
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return path


def exact(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def values_for(strategies: str) -> str:
    names = [*NAMES, *ILLEGAL] if strategies == "v1" else NAMES
    return exact({**VALUES, **{name: {"name": name} for name in names}})


def expected(values: str) -> dict[str, Any]:
    return {
        collection: [[value, collection != "single"] for value in json.loads(values).values()]
        for collection in ("single", "timed", "batch")
    }


async def use(raw: Raw, what: str, strategies: str, values: str) -> dict[str, Any]:
    """Do the same as the program, with this store."""
    options: dict[str, Any] = {}
    if strategies == "v1":
        options["key_sanitization_strategy"] = FirestoreV1KeySanitizationStrategy()
        options["collection_sanitization_strategy"] = FirestoreV1CollectionSanitizationStrategy()
    each: dict[str, Any] = json.loads(values)
    found: dict[str, Any] = {}
    async with FirestoreStore(project=raw.project, emulator_host=raw.address, **options) as store:
        if what == "write":
            for key, value in each.items():
                await store.put(key, value, collection="single")
                await store.put(key, value, collection="timed", ttl=1000)
            await store.put_many(list(each), list(each.values()), collection="batch", ttl=1000)
            await store.put("passed", {"n": 1}, collection="timed", ttl=0.001)
        for collection in ("single", "timed", "batch"):
            answers = await store.ttl_many(list(each), collection=collection)
            found[collection] = [[value, ttl is not None and 900 < ttl <= 1000] for value, ttl in answers]
        assert await store.get("passed", collection="timed") is None
        assert sorted(await store.collections()) == ["batch", "single", "timed"]
        if strategies != "v1":
            assert sorted(await store.keys("timed")) == sorted(each)
    return found


@pytest.mark.parametrize("strategies", ["none", "v1"])
async def test_this_store_reads_what_the_predecessor_wrote(
    raw: Raw, predecessor: Environment, program: Path, strategies: str
) -> None:
    values = values_for(strategies)
    predecessor.run(program, "write", raw.project, strategies, values)
    assert exact(await use(raw, "read", strategies, values)) == exact(expected(values))


@pytest.mark.parametrize("strategies", ["none", "v1"])
async def test_the_predecessor_reads_what_this_store_wrote(
    raw: Raw, predecessor: Environment, program: Path, strategies: str
) -> None:
    values = values_for(strategies)
    assert exact(await use(raw, "write", strategies, values)) == exact(expected(values))
    read = json.loads(predecessor.run(program, "read", raw.project, strategies, values))
    assert exact(read) == exact(expected(values))


async def test_both_write_the_same_documents_except_the_timestamp_for_ttl_policies(
    raw: Raw, predecessor: Environment, program: Path
) -> None:
    values = exact({"a": {"n": 1}, "b": {"items": []}})

    def documents() -> dict[tuple[str, str], Any]:
        found = {name: raw.get(*name) or {} for name in raw.ids()}
        times = {"created_at", "expires_at", "ttl"}
        return {
            name: ({field: value for field, value in each.items() if field not in times}, sorted(each.keys() - {"ttl"}))
            for name, each in found.items()
        }

    predecessor.run(program, "write", raw.project, "none", values)
    theirs = documents()
    for collection, key in theirs:
        raw.client.document(collection, key).delete()
    await use(raw, "write", "none", values)

    def spaceless(each: dict[tuple[str, str], Any]) -> Any:
        return {name: exact([json.loads(fields.pop("value")), fields, names]) for name, (fields, names) in each.items()}

    assert spaceless(documents()) == spaceless(theirs)
    assert len(theirs) == 7


async def test_a_version_changes_when_the_predecessor_writes(raw: Raw, predecessor: Environment, program: Path) -> None:
    async with FirestoreStore(project=raw.project, emulator_host=raw.address) as store:
        await store.put("a", {"n": 1}, collection="single")
        version = (await store.get_versioned("a", collection="single")).version
        predecessor.run(program, "write", raw.project, "none", exact({"a": {"n": 1}}))
        assert await store.put_if_version("a", {"n": 2}, version, collection="single") is False
