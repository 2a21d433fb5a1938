"""The stored format v1."""

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from key_value.aio.core import codec
from key_value.aio.core.codec import encode_value
from key_value.aio.core.entry import ManagedEntry
from key_value.aio.core.envelope import dump_entry, load_entries, load_entry
from key_value.aio.errors import DeserializationError

CREATED = datetime(2026, 11, 23, 9, 3, 14, 464348, tzinfo=timezone.utc)
EXPIRES = CREATED + timedelta(days=1)


def entry(value: dict[str, Any], expires_at: datetime | None = None) -> ManagedEntry:
    return ManagedEntry.from_encoded(encode_value(value), CREATED, expires_at, "alice", "users")


@pytest.fixture(params=["orjson", "standard library"], autouse=True)
def _library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "standard library":
        monkeypatch.setattr(codec, "orjson", None)


def test_an_entry_is_one_json_object() -> None:
    assert json.loads(dump_entry(entry({"n": 2**70}, EXPIRES))) == {
        "version": 1,
        "collection": "users",
        "key": "alice",
        "created_at": "2026-11-23T09:03:14.464348+00:00",
        "expires_at": "2026-11-24T09:03:14.464348+00:00",
        "value": {"n": 2**70},
    }


def test_an_entry_without_a_ttl_has_no_expires_at() -> None:
    assert "expires_at" not in json.loads(dump_entry(entry({})))


def test_names_are_left_out_if_the_backend_stores_them_elsewhere() -> None:
    assert json.loads(dump_entry(entry({}), names=False)).keys() == {"version", "created_at", "value"}


def test_an_entry_comes_back_whole() -> None:
    loaded = load_entry(dump_entry(entry({"a": [1, "ö"]}, EXPIRES)))
    assert loaded == entry({"a": [1, "ö"]}, EXPIRES)
    assert (loaded.collection, loaded.key) == ("users", "alice")


def test_a_value_stored_as_a_string_of_json_is_read() -> None:
    assert load_entry(json.dumps({"version": 1, "value": '{"a": 1}'})).value == {"a": 1}


def test_a_missing_version_means_version_1() -> None:
    assert load_entry('{"value": {}}').value == {}


def test_text_and_bytes_are_read_the_same() -> None:
    assert load_entry('{"value": {"a": "ö"}}') == load_entry('{"value": {"a": "ö"}}'.encode())


@pytest.mark.parametrize("suffix", ["Z", "+00:00"])
def test_a_date_is_read_with_either_utc_suffix(suffix: str) -> None:
    text = json.dumps({"value": {}, "created_at": "2026-11-23T09:03:14.464348" + suffix})
    assert load_entry(text).created_at == CREATED


@pytest.mark.parametrize(
    "envelope",
    [
        {"version": 2, "value": {}},
        {"version": "1", "value": {}},
        {},
        {"value": None},
        {"value": []},
        {"value": "[]"},
        {"value": "text"},
        {"value": {}, "key": 1},
        {"value": {}, "collection": ["a"]},
        {"value": {}, "created_at": 5},
        {"value": {}, "expires_at": "tomorrow"},
        [],
    ],
    ids=json.dumps,
)
def test_an_invalid_envelope_is_corrupt(envelope: object) -> None:
    with pytest.raises(DeserializationError):
        load_entry(json.dumps(envelope))


def test_several_entries_are_read_as_if_each_were_read_alone() -> None:
    texts = [
        *(dump_entry(entry({"n": number}, EXPIRES)) for number in range(3)),
        dump_entry(entry({"n": 2**70})),
        b'{"value": {"n": NaN}, "created_at": "2026-11-23T09:03:14"}',
        b'{"value": "{\\"a\\": 1}", "created_at": "2026-11-23T09:03:14Z"}',
        b'{"value": {"text": "' + b"x" * 300_000 + b'"}}',
    ]
    for given in (texts, texts[:3], texts[:4], texts[4:5], texts[5:6], []):
        loaded = load_entries([None, *given, None])
        assert loaded[0] is loaded[-1] is None
        for one, text in zip(loaded[1:-1], given, strict=True):
            assert one is not None
            assert repr((one.value, one.key, one)) == repr(((alone := load_entry(text)).value, alone.key, alone))


@pytest.mark.parametrize("text", [b"{", b"[]", b"", b'{"value": 1}', b'{"value": {}, "created_at": []}'])
def test_one_corrupt_entry_among_several_is_reported(text: bytes) -> None:
    with pytest.raises(DeserializationError):
        load_entries([b'{"value": {}}', text, b'{"value": {}}'])


def test_texts_that_are_json_only_together_are_corrupt() -> None:
    with pytest.raises(DeserializationError):
        load_entries([b"{},{}", b'{"value": [1', b"2]}"])
