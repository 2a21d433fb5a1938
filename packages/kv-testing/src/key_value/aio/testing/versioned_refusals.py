"""Invalid versions and other invalid arguments of conditional writes: each raises an error, and nothing is stored."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from key_value.aio.errors import (
    InvalidKeyError,
    InvalidTTLError,
    SerializationError,
    ValueTooLargeError,
)
from key_value.aio.protocols import AsyncVersionedProtocol
from key_value.aio.testing.contract import StoreContract, StoreT, ability
from key_value.aio.testing.expiry import each_invalid_ttl
from key_value.aio.testing.names import each_invalid_name
from key_value.aio.testing.put_if_absent import WRONG_TYPES
from key_value.aio.testing.selection import declares, needs
from key_value.aio.testing.tables import for_each
from key_value.aio.testing.values import each_refused
from key_value.aio.testing.versioned import conditional, version_of

__all__ = ["VersionRefusalTests"]

MADE_UP = {
    "empty": "",
    "text": "made up",
    "number": "1",
    "NUL": "\0",
    "long": "x" * 100_000,
    "lone surrogate": "\ud800",
}


class VersionRefusalTests(StoreContract[StoreT], needs=(AsyncVersionedProtocol,)):
    @for_each("version", MADE_UP)
    async def test_a_version_that_somebody_made_up_is_refused(self, store: StoreT, key: str, version: str) -> None:
        await store.put(key, {"a": 1}, collection="shelf")
        await self._assert_refused(store, version, ValueError, key=key)

    @needs(conditional)
    @for_each(("key", "collection"), [("other", "shelf"), ("key", "other"), ("key", None)])
    async def test_a_version_of_another_entry_is_refused(self, store: StoreT, key: str, collection: str | None) -> None:
        version = await version_of(store)
        await store.put(key, {"a": 1}, collection=collection)
        await self._assert_refused(store, version, ValueError, key=key, collection=collection)
        await store.delete(key, collection=collection)
        await self._assert_refused(store, version, ValueError, key=key, collection=collection)

    @needs(conditional)
    async def test_a_damaged_version_is_refused_or_stale(self, store: StoreT) -> None:
        versioned = ability(store, AsyncVersionedProtocol)
        version = await version_of(store)
        damaged = [version[:end] for end in range(len(version))] + [version + end for end in ("x", "\0", ":", "é", "0")]
        for each in damaged:
            with suppress(ValueError):
                assert await versioned.put_if_version("key", {"a": 2}, each, collection="shelf") is False
            with suppress(ValueError):
                assert await versioned.delete_if_version("key", each, collection="shelf") is False
        assert await store.get("key", collection="shelf") == {"a": 1}

    @for_each("version", [7, b"1", ["1"], 1.5])
    async def test_a_version_that_is_not_a_str_is_a_type_error(self, store: StoreT, key: str, version: Any) -> None:
        self._require_type_checks()
        await store.put(key, {"a": 1}, collection="shelf")
        await self._assert_refused(store, version, TypeError, key=key)

    async def test_deleting_needs_a_version(self, store: StoreT) -> None:
        self._require_type_checks()
        await store.put("key", {"a": 1})
        nothing: Any = None
        with pytest.raises(TypeError):
            await ability(store, AsyncVersionedProtocol).delete_if_version("key", nothing)
        assert await store.get("key") == {"a": 1}

    @each_refused
    async def test_a_value_that_is_not_json_leaves_the_entry(
        self, store: StoreT, key: str, make: Callable[[], dict[str, Any]]
    ) -> None:
        versioned = ability(store, AsyncVersionedProtocol)
        with pytest.raises(SerializationError, match="value"):
            await versioned.put_if_version(key, make(), None)
        assert await store.get(key) is None

    @each_invalid_ttl
    async def test_an_invalid_ttl_leaves_the_entry(self, store: StoreT, key: str, ttl: Any) -> None:
        with pytest.raises(InvalidTTLError):
            await ability(store, AsyncVersionedProtocol).put_if_version(key, {"a": 1}, None, ttl=ttl)
        assert await store.get(key) is None

    @each_invalid_name
    async def test_a_name_that_is_none_has_no_version(self, store: StoreT, key: str, name: str) -> None:
        versioned = ability(store, AsyncVersionedProtocol)
        for tried_key, collection in ((name, None), (key, name)):
            with pytest.raises(InvalidKeyError):
                await versioned.get_versioned(tried_key, collection=collection)
            with pytest.raises(InvalidKeyError):
                await versioned.put_if_version(tried_key, {"a": 1}, None, collection=collection)
            with pytest.raises(InvalidKeyError):
                await versioned.delete_if_version(tried_key, "version", collection=collection)
        assert await store.get(key) is None

    @for_each("options", WRONG_TYPES)
    async def test_a_wrong_type_writes_nothing(self, store: StoreT, key: str, options: dict[str, Any]) -> None:
        self._require_type_checks()
        call: Any = ability(store, AsyncVersionedProtocol).put_if_version
        with pytest.raises(TypeError):
            await call(**{"key": key, "value": {"a": 1}, "version": None, **options})
        assert await store.get(key) is None

    @needs(conditional, declares("max_value_bytes"))
    async def test_a_value_over_the_limit_leaves_the_entry(self, store: StoreT) -> None:
        limit = self.value_limit(store)
        version = await version_of(store)
        versioned = ability(store, AsyncVersionedProtocol)
        with pytest.raises(ValueTooLargeError):
            await versioned.put_if_version("key", {"text": "x" * limit}, version, collection="shelf")
        assert await version_of(store, put=False) == version

    async def _assert_refused(
        self, store: StoreT, version: Any, error: type[Exception], *, key: str = "key", collection: str | None = "shelf"
    ) -> None:
        before = await store.get(key, collection=collection)
        versioned = ability(store, AsyncVersionedProtocol)
        with pytest.raises(error, match="version"):
            await versioned.put_if_version(key, {"a": 2}, version, collection=collection)
        with pytest.raises(error, match="version"):
            await versioned.delete_if_version(key, version, collection=collection)
        assert await store.get(key, collection=collection) == before
