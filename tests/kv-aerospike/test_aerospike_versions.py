"""Versions and conditional writes, as seen by the raw client."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.stores.aerospike.client import Records

if TYPE_CHECKING:
    from key_value.aio.stores.aerospike import AerospikeStore

    from .conftest import Raw


async def test_a_version_does_not_match_an_entry_that_was_deleted_and_put_again(
    store: AerospikeStore, raw: Raw
) -> None:
    await store.put("key", {"n": 1}, collection="shelf")
    version = (await store.get_versioned("key", collection="shelf")).version
    assert version is not None
    await store.delete("key", collection="shelf")
    await store.put("key", {"n": 2}, collection="shelf")
    assert raw.meta("shelf::key")["gen"] == 1
    assert not await store.put_if_version("key", {"n": 3}, version, collection="shelf")
    assert not await store.delete_if_version("key", version, collection="shelf")
    assert await store.get("key", collection="shelf") == {"n": 2}


async def test_a_plain_write_of_the_same_text_changes_the_version(store: AerospikeStore, raw: Raw) -> None:
    await store.put("key", {"n": 1}, collection="shelf")
    version = (await store.get_versioned("key", collection="shelf")).version
    assert version is not None
    raw.put("shelf::key", raw.bins("shelf::key") or {})
    assert not await store.put_if_version("key", {"n": 3}, version, collection="shelf")
    assert not await store.delete_if_version("key", version, collection="shelf")


@pytest.mark.parametrize("replaced", [True, False], ids=["replaced", "removed"])
async def test_a_record_that_changes_between_the_read_and_the_write_is_left_alone(
    store: AerospikeStore, raw: Raw, monkeypatch: pytest.MonkeyPatch, *, replaced: bool
) -> None:
    await store.put("key", {"n": 1}, collection="shelf")
    version = (await store.get_versioned("key", collection="shelf")).version
    assert version is not None
    get = Records.get

    def get_then_change(records: Records, deadline: float | None, name: str) -> Any:
        found = get(records, deadline, name)
        raw.client.remove(raw.key(name))
        if replaced:
            # With the same generation as the record had before.
            raw.put(name, {"value": '{"value": {"n": 2}}'})
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Records, "get", get_then_change)
        assert not await store.put_if_version("key", {"n": 3}, version, collection="shelf")
    assert raw.bins("shelf::key") == ({"value": '{"value": {"n": 2}}'} if replaced else None)
    if replaced:
        assert raw.meta("shelf::key")["gen"] == 1
    await store.delete("key", collection="shelf")
    await store.put("key", {"n": 1}, collection="shelf")
    version = (await store.get_versioned("key", collection="shelf")).version
    assert version is not None
    with monkeypatch.context() as patch:
        patch.setattr(Records, "get", get_then_change)
        assert not await store.delete_if_version("key", version, collection="shelf")
    assert raw.bins("shelf::key") == ({"value": '{"value": {"n": 2}}'} if replaced else None)


@pytest.mark.parametrize(
    "version", ["1", "0-" + "a" * 40, "1-" + "A" * 40, "123456-" + "a" * 40, "1-" + "a" * 39, "x", "-1-" + "a" * 40]
)
async def test_a_malformed_version_is_refused(store: AerospikeStore, version: str) -> None:
    await store.put("key", {"n": 1})
    valid = (await store.get_versioned("key")).version
    assert valid is not None
    forged = valid[:9] + version
    with pytest.raises(ValueError, match="version"):
        await store.put_if_version("key", {"n": 2}, forged)
    with pytest.raises(ValueError, match="version"):
        await store.delete_if_version("key", forged)


async def test_an_entry_expired_only_by_its_envelope_is_replaced_by_put_if_absent(
    store: AerospikeStore, raw: Raw
) -> None:
    envelope = {"key": "key", "collection": "shelf", "value": {"n": 1}, "expires_at": "2020-01-01T00:00:00+00:00"}
    raw.put("shelf::key", {"value": json.dumps(envelope)})
    assert await store.put_if_absent("key", {"n": 2}, collection="shelf")
    assert not await store.put_if_absent("key", {"n": 3}, collection="shelf")
    assert await store.get("key", collection="shelf") == {"n": 2}
