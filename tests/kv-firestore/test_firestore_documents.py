"""Documents of entries, foreign documents, and versions against writes by other clients."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.errors import DeserializationError, ValueTooLargeError
from key_value.aio.testing.clock import FakeClock

if TYPE_CHECKING:
    from key_value.aio.stores.firestore import FirestoreStore

    from .conftest import Raw

COLLECTION = "default_collection"


def stored(value: str = '{"n": 1}', **fields: Any) -> dict[str, Any]:
    """Return a document as `py-key-value-aio` stores it."""
    return {"version": 1, "created_at": "2026-11-23T09:03:14.464348+00:00", "value": value, **fields}


# Stored documents


async def test_an_entry_is_a_document_with_its_fields(store: FirestoreStore, raw: Raw) -> None:
    before = datetime.now(timezone.utc)
    async with store:
        await store.put("key", {"text": "é", "n": 2**70})
    document = raw.get(COLLECTION, "key")
    assert document is not None
    created_at = datetime.fromisoformat(document.pop("created_at"))
    assert before <= created_at <= datetime.now(timezone.utc)
    assert document == {"version": 1, "value": '{"text":"é","n":1180591620717411303424}'}


async def test_an_entry_with_a_ttl_has_its_expiry_as_text_and_as_a_timestamp(store: FirestoreStore, raw: Raw) -> None:
    with FakeClock() as clock:
        now = clock.now()
        async with store:
            await store.put("key", {"n": 1}, ttl=1.9)
    document = raw.get(COLLECTION, "key")
    assert document is not None
    assert document["expires_at"] == (now + timedelta(seconds=1.9)).isoformat()
    assert document["ttl"] == now + timedelta(seconds=1.9)


async def test_a_put_without_a_ttl_removes_an_earlier_expiry(store: FirestoreStore, raw: Raw) -> None:
    async with store:
        await store.put("key", {"n": 1}, ttl=100)
        await store.put("key", {"n": 1})
        await store.put_many(["other"], [{"n": 1}], ttl=100)
        version = (await store.get_versioned("other")).version
        assert await store.put_if_version("other", {"n": 2}, version)
    for key in ("key", "other"):
        assert set(raw.get(COLLECTION, key) or ()) == {"version", "created_at", "value"}


async def test_a_value_is_refused_exactly_when_firestore_would(store: FirestoreStore, raw: Raw) -> None:
    def value(size: int) -> dict[str, Any]:
        return {"é": "x" * (size - len('{"é":""}'.encode()))}

    async with store:
        await store.put("key", {"n": 1}, ttl=100)
        with pytest.raises(ValueTooLargeError) as refusal:
            await store.put("key", value(1024**2), ttl=100)
        # The difference is the size of the document without the value.
        largest = 2 * 1024**2 - int((refusal.value.extra_info or {})["size"] or 0)
        with pytest.raises(ValueTooLargeError):
            await store.put("key", value(largest + 1), ttl=100)
        await store.put("key", value(largest), ttl=100)
        assert await store.get("key") == value(largest)
    document = raw.get(COLLECTION, "key")
    assert document is not None
    with pytest.raises(Exception, match="maximum entity size"):
        raw.put(COLLECTION, "key", **{**document, "value": document["value"] + "x"})


async def test_a_batch_with_a_value_that_is_too_large_stores_nothing(store: FirestoreStore, raw: Raw) -> None:
    async with store:
        with pytest.raises(ValueTooLargeError):
            await store.put_many(["a", "b"], [{"n": 1}, {"text": "x" * 1024**2}])
    assert raw.ids() == []


# Documents of other writers


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"version": 1},
        {"version": 1, "value": 7},
        {"version": 1, "value": {"n": 1}},
        {"version": 1, "value": None},
        stored("[1]"),
        stored("text"),
        stored(version=2),
        stored(version="1"),
        stored(version=1.5),
        stored(version=None),
        stored(expires_at=7),
        stored(expires_at="tomorrow"),
        stored(expires_at=datetime(2036, 1, 1, tzinfo=timezone.utc)),
        stored(created_at={"n": 1}),
        stored(key=7),
        stored(collection=[1]),
    ],
    ids=repr,
)
async def test_a_document_that_is_not_an_entry_is_corrupt_and_can_be_replaced(
    store: FirestoreStore, raw: Raw, document: dict[str, Any]
) -> None:
    raw.put(COLLECTION, "key", **document)
    async with store:
        for read in (store.get("key"), store.get_many(["other", "key"]), store.get_versioned("key")):
            with pytest.raises(DeserializationError):
                await read
        assert await store.put_if_absent("key", {"n": 1}) is False
        await store.put("key", {"n": 1})
        assert await store.get("key") == {"n": 1}


@pytest.mark.parametrize(
    ("document", "value"),
    [
        (stored(), '{"n": 1}'),
        ({"value": '{"n": 1}'}, '{"n": 1}'),
        (stored('{"n": NaN}', created_at=None), '{"n": NaN}'),
        (stored(expires_at="2999-01-01T00:00:00Z"), '{"n": 1}'),
        (stored(expires_at="2001-01-01T00:00:00+00:00"), "null"),
        (stored(key="another"), "null"),
        (stored(key="key", collection=COLLECTION, more={"a": [1]}), '{"n": 1}'),
    ],
    ids=["v1", "without version", "NaN", "Z", "expired", "another", "more"],
)
async def test_entries_of_other_writers_are_read(
    store: FirestoreStore, raw: Raw, document: dict[str, Any], value: str
) -> None:
    raw.put(COLLECTION, "key", **document)
    async with store:
        assert json.dumps(await store.get("key")) == value


FOREIGN: dict[str, dict[str, Any]] = {
    "of an application": {"version": 1, "created_at": "2026-11-23T09:03:14+00:00", "name": "Ann"},
    "that expires": {
        "version": 1,
        "created_at": "2026-11-23T09:03:14+00:00",
        "expires_at": "2001-01-01T00:00:00+00:00",
    },
    "with a value": {"value": "text", "version": 3, "created_at": "2026-11-23T09:03:14+00:00"},
    "without a date": {"value": "text", "version": 1, "created_at": "today"},
    "empty": {},
}


async def test_removal_keeps_foreign_documents(store: FirestoreStore, raw: Raw) -> None:
    for collection in (COLLECTION, "application"):
        for key, fields in FOREIGN.items():
            raw.put(collection, key, **fields)
    before = raw.ids()
    async with store:
        await store.put_many(["a", "b"], [{"n": 1}] * 2)
        await store.cull()
        assert await store.destroy_collection(COLLECTION) is True
        assert await store.destroy_collection(COLLECTION) is False
        await store.put("a", {"n": 1}, collection="application")
        assert await store.destroy() is True
    assert raw.ids() == before


async def test_foreign_collections_are_not_listed(store: FirestoreStore, raw: Raw) -> None:
    raw.put("application", "document", name="Ann")
    raw.client.document("application", "document", "below", "entry").set(stored())
    async with store:
        await store.put("a", {"n": 1}, collection="shelf")
        await store.put("a", {"n": 1}, collection="expired", ttl=0.001)
        await asyncio.sleep(0.002)
        assert await store.collections() == ["shelf"]
        assert await store.keys("application") == []


async def test_culling_removes_expired_entries_of_every_writer_in_all_collections(
    store: FirestoreStore, raw: Raw
) -> None:
    with FakeClock() as clock:
        async with store:
            keys = [f"key {number}" for number in range(250)]
            await store.put_many(keys, [{"n": 1}] * 250, collection="shelf", ttl=100)
            await store.put("live", {"n": 1}, collection="shelf", ttl=300)
            raw.put("others", "expired", **stored(expires_at="2001-01-01T00:00:00+00:00"))
            raw.put("others", "live", **stored())
            clock.advance(200)
            await store.cull()
    assert raw.ids() == [("others", "live"), ("shelf", "live")]


# Versions


async def test_a_plain_write_of_another_client_changes_the_version(store: FirestoreStore, raw: Raw) -> None:
    async with store:
        await store.put("key", {"n": 1})
        version = (await store.get_versioned("key")).version
        assert version is not None
        raw.client.document(COLLECTION, "key").update({"value": '{"n": 2}'})
        assert await store.put_if_version("key", {"n": 3}, version) is False
        assert await store.delete_if_version("key", version) is False
        found = await store.get_versioned("key")
        assert found.value == {"n": 2}
        assert await store.put_if_version("key", {"n": 3}, found.version) is True


async def test_replacing_an_entry_by_an_equal_one_changes_the_version(store: FirestoreStore, raw: Raw) -> None:
    async with store:
        await store.put("key", {"n": 1})
        version = (await store.get_versioned("key")).version
        document = raw.get(COLLECTION, "key")
        assert document is not None
        raw.client.document(COLLECTION, "key").delete()
        raw.put(COLLECTION, "key", **document)
        assert await store.put_if_version("key", {"n": 2}, version) is False


@pytest.mark.parametrize(
    "version", ["text", "1.5", "1.000000000|tomorrow", "-1.000000000", "1.000000000|2001", "999999999999.000000000"]
)
async def test_an_impossible_version_is_refused(store: FirestoreStore, version: str) -> None:
    async with store:
        await store.put("key", {"n": 1})
        real = (await store.get_versioned("key")).version
        assert real is not None
        forged = real.partition("-")[0] + "-" + version
        with pytest.raises(ValueError, match="version"):
            await store.put_if_version("key", {"n": 2}, forged)
        with pytest.raises(ValueError, match="version"):
            await store.delete_if_version("key", forged)


async def test_an_expired_entry_is_replaced_by_exactly_one_put_if_absent(store: FirestoreStore) -> None:
    async with store:
        await store.put("key", {"n": 0}, ttl=0.001)
        await asyncio.sleep(0.002)
        won = await asyncio.gather(*(store.put_if_absent("key", {"n": number}) for number in range(1, 11)))
        assert won.count(True) == 1
        assert await store.get("key") == {"n": won.index(True) + 1}


async def test_an_expired_entry_is_removed_and_not_counted(store: FirestoreStore, raw: Raw) -> None:
    async with store:
        await store.put_many(["a", "b", "c"], [{"n": 1}] * 3, ttl=0.001)
        await store.put("d", {"n": 1})
        await asyncio.sleep(0.002)
        assert await store.delete("a") is False
        assert await store.delete_many(["b", "c", "d", "e"]) == 1
    assert raw.ids() == []
