"""Options, names and the stored format of KeyringStore, on gnome-keyring."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from key_value.aio.core.type_checks import TypeViolationWarning
from key_value.aio.errors import DeserializationError, ValueTooLargeError
from key_value.aio.stores.keyring import KeyringStore
from key_value.aio.stores.keyring.client import NulEscapingStrategy
from key_value.aio.stores.keyring.store import (
    KeyringV1CollectionSanitizationStrategy,
    KeyringV1KeySanitizationStrategy,
)
from key_value.aio.testing import AsyncTests
from keyring.backends.fail import Keyring as NoKeyring
from keyring.backends.SecretService import Keyring

# Written by py-key-value-aio 0.5.0 under the user name `u::s::Höme/é`.
EARLIER = (
    b'{"collection": "u::s", "created_at": "2026-11-23T15:28:39.113852+00:00", "key": "H\\u00f6me/\\u00e9", '
    b'"value": {"a": 3}, "version": 1}'
)


class TestStoredFormat(AsyncTests):
    @pytest.fixture
    def store(self, raw: Any) -> KeyringStore:
        return KeyringStore(service_name=raw.service, keyring=Keyring())

    async def test_an_entry_is_one_password_of_the_service(self, store: KeyringStore, raw: Any) -> None:
        await store.put("alice", {"n": 1}, collection="users", ttl=60)
        assert raw.names() == ["users::alice"]
        envelope = json.loads(raw.read("users::alice"))
        assert set(envelope) == {"collection", "created_at", "expires_at", "key", "value", "version"}
        assert (envelope["collection"], envelope["key"], envelope["value"]) == ("users", "alice", {"n": 1})

    @pytest.mark.parametrize(
        "key", ["Alice", "https://example.com/a?b=1#c", "höme/é 🌍", "100% a%2Fb", " ", "\n\x7f", "c" * 999]
    )
    async def test_a_name_is_stored_unchanged(self, store: KeyringStore, raw: Any, key: str) -> None:
        await store.put(key, {"n": 1}, collection="users")
        assert raw.names() == [f"users::{key}"]

    async def test_nul_is_escaped(self, store: KeyringStore, raw: Any) -> None:
        await store.put_many(["a\0b", "a%00b", "a%2500b"], [{"n": 1}, {"n": 2}, {"n": 3}], collection="users")
        assert raw.names() == ["users::a%00b", "users::a%2500b", "users::a%252500b"]

    async def test_a_replaced_entry_is_one_item(self, store: KeyringStore, raw: Any) -> None:
        for number in range(3):
            await store.put("alice", {"n": number}, collection="users")
        assert raw.names() == ["users::alice"]

    async def test_an_entry_of_the_predecessor_under_a_name_that_has_changed_is_found(
        self, store: KeyringStore, raw: Any
    ) -> None:
        raw.write("u::s::Höme/é", EARLIER)
        assert await store.get("Höme/é", collection="u::s") == {"a": 3}
        assert await store.get("s::Höme/é", collection="u") is None
        assert await store.delete("s::Höme/é", collection="u") is False
        assert await store.delete("Höme/é", collection="u::s") is True
        assert raw.names() == []

    async def test_a_corrupt_entry_is_named_and_the_others_are_read(self, store: KeyringStore, raw: Any) -> None:
        await store.put("good", {"n": 1}, collection="users")
        raw.write("users::bad", b"hunter2 \xff")
        with pytest.raises(DeserializationError, match=rf"'users::bad' in KeyringStore.*{raw.service}") as corruption:
            await store.get("bad", collection="users")
        assert "hunter2" not in str(corruption.value)
        assert await store.get("good", collection="users") == {"n": 1}

    async def test_a_megabyte_is_one_password(self, store: KeyringStore, raw: Any) -> None:
        await store.put("large", {"text": "é" * 500_000}, collection="users")
        assert await store.get("large", collection="users") == {"text": "é" * 500_000}
        assert len(raw.read("users::large")) > 1_000_000

    async def test_an_entry_over_the_message_size_of_the_bus_is_refused(self, store: KeyringStore, raw: Any) -> None:
        with pytest.raises(ValueTooLargeError):
            await store.put_many(["small", "large"], [{"n": 1}, {"text": "x" * 32_000_000}])
        assert raw.names() == []

    async def test_the_v1_strategies_name_entries_as_the_predecessor_does(self, raw: Any) -> None:
        store = KeyringStore(
            service_name=raw.service,
            keyring=Keyring(),
            key_sanitization_strategy=KeyringV1KeySanitizationStrategy(),
            collection_sanitization_strategy=KeyringV1CollectionSanitizationStrategy(),
        )
        await store.put("A b/c::d", {"n": 1}, collection="x" * 257)
        digest = hashlib.sha256(b"x" * 257).hexdigest()[:8]
        assert raw.names() == [f"S_{'x' * 245}-{digest}::S_A_b_c_d-49456664"]
        assert await store.get("A b/c::d", collection="x" * 257) == {"n": 1}
        assert await store.delete("A b/c::d", collection="x" * 257) is True

    async def test_services_are_independent(self, store: KeyringStore) -> None:
        other = KeyringStore(service_name=f"{store}", keyring=Keyring())
        await store.put("key", {"n": 1})
        assert await other.get("key") is None


NUL_LIKE = st.lists(st.sampled_from(["\0", "%", "25", "00", "a"]), min_size=1).map("".join)


@given(NUL_LIKE)
def test_escaping_nul_is_reversible(name: str) -> None:
    escaped = NulEscapingStrategy().sanitize(name)
    assert "\0" not in escaped
    assert NulEscapingStrategy().try_unsanitize(escaped) == name


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"service_name": ""}, "service_name must be"),
        ({"service_name": "a\0"}, "service_name must be"),
        ({"service_name": "a\ud800"}, "service_name must be"),
        ({"timeout": 0}, "timeout must be a number of seconds above zero"),
        ({"timeout": -1.0}, "timeout must be a number of seconds above zero"),
        ({"timeout": float("nan")}, "timeout must be a number of seconds above zero"),
    ],
)
def test_a_bad_option_is_a_value_error(options: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        KeyringStore(**options)


def test_an_option_of_a_wrong_type_gives_a_warning() -> None:
    strategy: Any = "V1"
    with pytest.warns(TypeViolationWarning, match="key_sanitization_strategy"):
        KeyringStore(key_sanitization_strategy=strategy)


def test_a_repr_shows_the_service() -> None:
    assert repr(KeyringStore(service_name="my app", keyring=NoKeyring())) == "KeyringStore(service_name='my app')"


@pytest.mark.parametrize(
    ("url", "service"),
    [
        ("keyring://", "py-key-value"),
        ("keyring://?timeout=10", "py-key-value"),
        ("keyring://My-Service?timeout=0.5&default_collection=c", "My-Service"),
        ("keyring://my%20service", "my service"),
        ("keyring://team/service", "team/service"),
        ("keyring://?service_name=mine", "mine"),
    ],
)
def test_a_url_names_the_service(url: str, service: str) -> None:
    assert repr(KeyringStore.from_url(url)) == f"KeyringStore(service_name={service!r})"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("keyring://me:secret@service", "must name a path"),
        ("keyring://service?timeout=soon", "timeout of the URL must be a number"),
        ("keyring://service?timeout=0", "above zero"),
        ("keyring://service?service_name=other", "twice"),
        ("keyring://service?keyring=fail", "no options"),
        ("keyring://%00", "NUL"),
    ],
)
def test_an_invalid_url_is_refused(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as refused:
        KeyringStore.from_url(url)
    assert "secret" not in str(refused.value)


def test_conditional_writes_and_atomic_deletes_are_not_promised() -> None:
    capabilities = KeyringStore().capabilities
    assert (capabilities.conditional_writes, capabilities.atomic_delete, capabilities.durable) == (False, False, True)
