"""Documents as MongoDB stores them, seen through the raw client."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from bson import Code, Decimal128, Int64, ObjectId, Regex, encode
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument
from key_value.aio.errors import DeserializationError, ValueTooLargeError
from key_value.aio.stores.mongodb import MongoDBStore, MongoDBV1CollectionSanitizationStrategy, entries
from key_value.aio.stores.mongodb.documents import decode_document, load_document
from key_value.aio.testing.clock import FakeClock
from key_value.aio.testing.contract import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

EXACT_IN_BSON: dict[str, dict[str, Any]] = {
    "nothing": {},
    "leaves": {"null": None, "true": True, "text": "höme é 🌍", "NUL": "a\0b", "float": 0.1 + 0.2, "zero": -0.0},
    "integers": {"small": 1, "of 32 bits": 2**31 - 1, "of 64 bits": 2**63 - 1, "least": -(2**63)},
    "names": {"": 1, "a$b": 2, "_id": 3, "object": {"object": 4}},
    "nested": {"items": [1, {"b": [2, [3]]}, [], {}]},
}


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth - 1):
        value = {"a": value}
    return value


NOT_EXACT_IN_BSON: dict[str, dict[str, Any]] = {
    "an integer over 64 bits": {"n": 2**63},
    "a negative integer over 64 bits": {"n": [-(2**63) - 1]},
    "a name that begins with a dollar sign": {"a": [{"$set": 1}]},
    "a name with a dot": {"a.b": 1},
    "a name with NUL": {"a\0b": 1},
    "deeper than MongoDB nests": nested(200),
    "larger in BSON than in JSON": {"items": [1] * 1_600_000},
}


@pytest.fixture
async def store(url: str, raw: Any) -> AsyncIterator[MongoDBStore]:
    store = MongoDBStore(url=url, db_name=raw.name, timeout=60)
    yield store
    await store.close()


@pytest.fixture
def clock() -> Iterator[FakeClock]:
    with FakeClock() as clock:
        yield clock


def as_json(value: object) -> str:
    # JSON distinguishes 1 from 1.0, and 0.0 from -0.0.
    return json.dumps(value, sort_keys=True)


async def test_an_entry_is_a_document_with_a_queryable_object(store: MongoDBStore, raw: Any) -> None:
    before = datetime.now(timezone.utc).replace(tzinfo=None) - timedelta(milliseconds=1)
    await store.put("ada", {"born": 1815, "tags": ["a"]}, collection="users", ttl=3600)
    document = raw["users"].find_one({"value.object.born": {"$gt": 1800}})
    created_at, expires_at = document.pop("created_at"), document.pop("expires_at")
    assert isinstance(document["value"].pop("revision"), int)
    assert document == {
        "_id": "ada",
        "key": "ada",
        "collection": "users",
        "version": 1,
        "value": {"object": {"born": 1815, "tags": ["a"]}},
    }
    assert before <= created_at <= before + timedelta(seconds=60)
    # In milliseconds, rounded up.
    assert timedelta(0) <= expires_at - created_at - timedelta(seconds=3600) <= timedelta(milliseconds=2)


async def test_a_put_without_ttl_removes_an_earlier_expiry(store: MongoDBStore, raw: Any) -> None:
    for put in (store.put("a", {"n": 1}), store.put_many(["a"], [{"n": 2}])):
        await store.put("a", {"n": 0}, ttl=60)
        await put
        assert "expires_at" not in raw["default_collection"].find_one({"key": "a"})


@pytest.mark.parametrize("name", EXACT_IN_BSON)
async def test_a_value_that_bson_represents_exactly_is_stored_as_bson(store: MongoDBStore, raw: Any, name: str) -> None:
    value = EXACT_IN_BSON[name]
    await store.put("a", value)
    assert as_json(raw["default_collection"].find_one({"key": "a"})["value"]["object"]) == as_json(value)
    found = await store.get("a")
    assert as_json(found) == as_json(value)
    if name == "integers":
        assert {type(number) for number in (found or {}).values()} == {int}


@pytest.mark.parametrize("name", NOT_EXACT_IN_BSON)
async def test_a_value_that_bson_would_change_is_stored_as_json(store: MongoDBStore, raw: Any, name: str) -> None:
    value = NOT_EXACT_IN_BSON[name]
    for put in (store.put("a", value), store.put_many(["a", "b"], [value, {"n": 1}])):
        await put
        assert json.loads(raw["default_collection"].find_one({"key": "a"})["value"]["object"]) == value
    assert await store.get("a") == value
    assert await store.get_many(["b", "a"]) == [{"n": 1}, value]
    version = (await store.get_versioned("a")).version
    assert version is not None
    assert await store.put_if_version("a", {"n": 1}, version) is True


async def test_a_document_of_16_mib_is_stored_and_a_larger_one_is_refused(store: MongoDBStore, raw: Any) -> None:
    limit = 16 * 1024 * 1024
    key = "k" * 10_000
    value = {"text": "x" * (limit - 31_000)}
    await store.put(key, value, ttl=1000)
    assert await store.get(key) == value
    version = (await store.get_versioned(key)).version
    assert version is not None
    with pytest.raises(ValueTooLargeError):
        await store.put_many(["b", key], [{"n": 1}, {"text": "x" * (limit - 30_000)}])
    assert raw["default_collection"].count_documents({}) == 1
    # Together, the old and the new value exceed a document.
    assert await store.put_if_version(key, {"text": "y" * (limit - 31_000)}, version) is True
    assert await store.delete_if_version(key, version) is False


# Documents of other writers


@pytest.mark.parametrize("value", ['{"n": [1]}', {"object": '{"n": [1]}'}, {"object": {"n": [Int64(1)]}}], ids=repr)
async def test_a_value_is_read_as_text_too(store: MongoDBStore, raw: Any, value: Any) -> None:
    raw["default_collection"].insert_one({"key": "a", "value": value})
    assert as_json(await store.get("a")) == '{"n": [1]}'
    assert await store.get_many(["a"]) == [{"n": [1]}]


async def test_integers_of_other_writers_may_have_64_bits(store: MongoDBStore, raw: Any) -> None:
    object_ = {"n": Int64(1), "deep": [{"n": Int64(2)}], "ok": True, "ratio": 0.5, "none": None}
    raw["default_collection"].insert_one({"key": "a", "version": Int64(1), "value": {"object": object_}})
    for read in (await store.get("a"), (await store.get_versioned("a")).value, *await store.get_many(["a"])):
        found: Any = read
        assert found == {"n": 1, "deep": [{"n": 2}], "ok": True, "ratio": 0.5, "none": None}
        assert {type(found["n"]), type(found["deep"][0]["n"])} == {int}


CORRUPT: dict[str, dict[str, Any]] = {
    "no value": {"value": None},
    "no object": {"value": {"n": 1}},
    "an array": {"value": {"object": [1]}},
    "a number": {"value": {"object": 7}},
    "no JSON": {"value": {"object": "hunter2"}},
    "an unknown version": {"version": 2},
    "a version that is not a number": {"version": "one"},
    "an expiry that is not a date": {"expires_at": "tomorrow"},
    "another kind of collection": {"collection": 7},
    **{
        f"a value that is a {type(value).__name__}": {"value": {"object": {"n": [value]}}}
        for value in (datetime(2020, 1, 1, tzinfo=timezone.utc), b"hunter2", ObjectId(), Regex("a"), Code("a"))
    },
    "a value that is a decimal": {"value": {"object": {"n": Decimal128("1.5")}}},
}


@pytest.mark.parametrize("fields", CORRUPT.values(), ids=CORRUPT)
async def test_a_document_that_is_not_an_entry_is_corrupt(
    store: MongoDBStore, raw: Any, fields: dict[str, Any]
) -> None:
    await store.put_many(["a", "b"], [{"n": 1}] * 2)
    raw["default_collection"].update_one({"key": "a"}, {"$set": fields})
    for read in (store.get("a"), store.get_many(["b", "a"]), store.get_versioned("a")):
        with pytest.raises(DeserializationError) as corruption:
            await read
        assert "hunter2" not in str(corruption.value)
    assert await store.get("b") == {"n": 1}
    assert await store.delete("a") is True


def test_an_expiry_beyond_the_years_of_python_is_corrupt() -> None:
    # Without a server: SecantusDB cannot store such a date.
    octets = encode({"key": "a", "value": {"object": {}}, "expires_at": DatetimeMS(2**60)})
    with pytest.raises(DeserializationError, match="years 1 to 9999"):
        load_document(decode_document(RawBSONDocument(octets)))


async def test_a_document_that_states_another_collection_is_absent(store: MongoDBStore, raw: Any) -> None:
    await store.put("a", {"n": 1})
    raw["default_collection"].update_one({"key": "a"}, {"$set": {"collection": "other"}})
    assert await store.get("a") is None
    assert await store.keys() == []


# Names

COLLECTIONS = {
    "users": "users",
    "mcp:oauth": "mcp:oauth",
    "a::b": "a::b",
    "x.y": "x.y",
    "100%": "100%",
    "é 🌍": "é 🌍",
    "$x": "%24x",
    "a\0b": "a%00b",
    ".a": "%2Ea",
    "a.": "a%2E",
    "a..b": "a%2E.b",
    "system.users": "%73ystem.users",
    "a.system.b": "a.%73ystem.b",
    "%24x": "%2524x",
}


async def test_a_collection_keeps_its_name_where_mongodb_accepts_it(store: MongoDBStore, raw: Any) -> None:
    long = "n" * 300
    for collection in (*COLLECTIONS, long):
        await store.put("a", {"name": collection}, collection=collection)
    stored = set(raw.list_collection_names())
    (shortened,) = stored - set(COLLECTIONS.values())
    assert stored - {shortened} == set(COLLECTIONS.values())
    assert len(f"{raw.name}.{shortened}") == 255
    assert sorted(await store.collections()) == sorted([*COLLECTIONS, long])
    assert len(await store.collections(limit=3)) == 3
    for collection in (*COLLECTIONS, long):
        assert await store.get("a", collection=collection) == {"name": collection}
    await store.destroy()
    assert await store.collections() == []


async def test_the_strategy_of_earlier_versions_returns_the_same_names(url: str, raw: Any) -> None:
    strategy = MongoDBV1CollectionSanitizationStrategy()
    stored = {"users": "users", "mcp:oauth": "S_mcp_oauth-27e032eb", "A b": "S_A_b-a760b0e1", "é": "S_-4a99557e"}
    store = MongoDBStore(url=url, db_name=raw.name, collection_sanitization_strategy=strategy, timeout=30)
    for collection in stored:
        await store.put("a", {"n": 1}, collection=collection)
    assert set(raw.list_collection_names()) == set(stored.values())
    assert set(await store.collections()) == set(stored)
    assert await store.destroy_collection("A b") is True
    assert set(await store.collections()) == set(stored) - {"A b"}
    await store.close()


async def test_a_cursor_that_is_not_valid_text_is_refused(store: MongoDBStore) -> None:
    await store.put_many(["a", "b"], [{"n": 1}] * 2)
    cursor = (await store.scan(limit=1)).cursor
    assert cursor is not None
    with pytest.raises(ValueError, match="cursor"):
        await store.scan(cursor=f"{cursor}\ud800")


async def test_a_scan_finds_25000_keys(store: MongoDBStore, raw: Any) -> None:
    keys = {f"key {number}" for number in range(25_000)}
    value = {"object": {"n": 1}}
    raw["shelf"].insert_many([{"key": key, "collection": "shelf", "version": 1, "value": value} for key in keys])
    await store.setup_collection(collection="shelf")
    found: list[str] = []
    cursor = None
    while cursor is not None or not found:
        page = await store.scan("shelf", cursor=cursor, limit=10_000)
        found += page.keys
        cursor = page.cursor
    assert len(found) == 25_000
    assert set(found) == keys


# Expiry and indexes


async def test_the_first_write_creates_the_indexes_and_a_read_creates_nothing(store: MongoDBStore, raw: Any) -> None:
    assert await store.get("a", collection="users") is None
    assert await store.keys("users") == []
    assert raw.list_collection_names() == []
    await store.put("a", {"n": 1}, collection="users")
    indexes = raw["users"].index_information()
    assert indexes["key_unique"]["key"] == [("key", 1)]
    assert indexes["key_unique"]["unique"] is True
    assert indexes["expires_at_1"]["expireAfterSeconds"] == 0


async def test_the_server_removes_expired_entries(store: MongoDBStore, raw: Any) -> None:
    await store.put_many(["a", "b"], [{"n": 1}] * 2, ttl=0.5)
    await store.put("c", {"n": 1}, ttl=1000)

    async def is_one_left() -> bool:
        return raw["default_collection"].count_documents({}) == 1

    # MongoDB itself removes expired documents once a minute.
    assert await eventually(is_one_left, within=150)


async def test_culling_removes_expired_entries_and_nothing_else(
    store: MongoDBStore, raw: Any, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entries, "_DELETE_PAGE_DOCUMENTS", 20)
    await store.put_many([f"{number}" for number in range(50)], [{"n": 1}] * 50, ttl=1000)
    await store.put("later", {"n": 1}, ttl=3000)
    await store.put("never", {"n": 1})
    date = datetime(2020, 1, 1, tzinfo=timezone.utc)
    raw["orders"].insert_one({"_id": 1, "key": "k", "expires_at": date})
    clock.advance(2000)
    await store.cull()
    assert sorted(each["key"] for each in raw["default_collection"].find()) == ["later", "never"]
    assert raw["orders"].count_documents({}) == 1


async def test_a_collection_dropped_by_another_client_is_recreated(store: MongoDBStore, raw: Any) -> None:
    await store.put("a", {"n": 1}, collection="users")
    raw["users"].drop()
    assert await store.get("a", collection="users") is None
    assert await store.put_if_absent("a", {"n": 2}, collection="users") is True
    assert await store.put_if_absent("a", {"n": 3}, collection="users") is False
    await store.put_many(["a", "b"], [{"n": 4}] * 2, collection="users")
    assert await store.keys("users") == ["a", "b"]
    await store.setup()
    await store.put("a", {"n": 5}, collection="users")
    assert {"key_unique", "expires_at_1"} <= raw["users"].index_information().keys()
