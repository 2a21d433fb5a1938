"""Versions: a conditional write takes effect only if no other write intervened."""

import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, cast

import pytest
from key_value.aio.errors import (
    DeserializationError,
    StoreSetupError,
)
from key_value.aio.protocols import AsyncKeyValue, AsyncVersionedProtocol, Versioned
from key_value.aio.testing.clock import FakeClock
from key_value.aio.testing.contract import StoreContract, StoreT, ability, capabilities_of, eventually
from key_value.aio.testing.expiry import MICROSECOND
from key_value.aio.testing.names import NASTY_NAMES
from key_value.aio.testing.running import closing
from key_value.aio.testing.selection import Need, declares, declares_no, helper, needs
from key_value.aio.testing.tables import Decorator, for_each

__all__ = ["VersionedTests", "conditional", "version_of"]

_RACERS = 50
_NO_ENTRY = Versioned(None, None, None)

Write = Callable[[Any, str], Awaitable[object]]


async def _delete_and_put(store: Any, key: str) -> None:
    await store.delete(key, collection="shelf")
    await store.put(key, {"a": 1}, collection="shelf")


async def _put_twice(store: Any, key: str) -> None:
    await store.put(key, {"a": 2}, collection="shelf")
    await store.put(key, {"a": 1}, collection="shelf")


async def _put_if_version(store: Any, key: str) -> None:
    found = await store.get_versioned(key, collection="shelf")
    assert await store.put_if_version(key, {"a": 1}, found.version, collection="shelf") is True


async def _put_if_absent(store: Any, key: str) -> None:
    await store.delete(key, collection="shelf")
    assert await store.put_if_version(key, {"a": 1}, None, collection="shelf") is True


WRITES: dict[str, Write] = {
    "put": lambda store, key: store.put(key, {"a": 2}, collection="shelf"),
    "put of an equal value": lambda store, key: store.put(key, {"a": 1}, collection="shelf"),
    "put of another ttl": lambda store, key: store.put(key, {"a": 1}, collection="shelf", ttl=1000),
    "put_many": lambda store, key: store.put_many(["other", key], [{"a": 1}] * 2, collection="shelf"),
    "put there and back": _put_twice,
    "delete and put": _delete_and_put,
    "put_if_version of an equal value": _put_if_version,
    "put_if_version where nothing is": _put_if_absent,
}
"""Writes that change the version of an entry `{"a": 1}`, after which there still is an entry."""


each_write: Decorator = for_each("write", WRITES)
conditional: Need = declares("conditional_writes")


async def version_of(store: object, key: str = "key", *, put: bool = True) -> str:
    """Return the version of the entry `{"a": 1}` in the collection "shelf"; with `put`, put the entry first."""
    versioned = ability(store, AsyncVersionedProtocol)
    if put:
        await cast("AsyncKeyValue", store).put(key, {"a": 1}, collection="shelf")
    version = (await versioned.get_versioned(key, collection="shelf")).version
    assert version is not None
    return version


async def _version_of_expiring_entry(store: AsyncKeyValue) -> tuple[str, float]:
    """Put an expiring entry `{"a": 1}`; return its version and its ttl, doubled until the entry can be read in time."""
    ttl = 0.5
    while True:
        start = time.monotonic()
        await store.put("key", {"a": 1}, collection="shelf", ttl=ttl)
        found = await ability(store, AsyncVersionedProtocol).get_versioned("key", collection="shelf")
        if found.version is not None:
            return found.version, ttl
        # Tolerance for the difference between the two clocks.
        assert time.monotonic() - start >= ttl - 0.005
        ttl *= 2


class VersionedTests(StoreContract[StoreT], needs=(AsyncVersionedProtocol,)):
    @needs(conditional)
    async def test_without_an_entry_there_is_no_version(self, store: StoreT) -> None:
        versioned = ability(store, AsyncVersionedProtocol)
        assert await versioned.get_versioned("key") == _NO_ENTRY
        await store.put("key", {"a": 1})
        await store.delete("key")
        assert await versioned.get_versioned("key") == _NO_ENTRY

    @needs(conditional)
    async def test_an_entry_has_value_ttl_and_version(self, store: StoreT, clock: FakeClock) -> None:
        versioned = ability(store, AsyncVersionedProtocol)
        await store.put("key", {"a": [1]}, collection="shelf", ttl=100)
        await store.put("forever", {"a": 2}, collection="shelf")
        clock.advance(40)
        found = await versioned.get_versioned("key", collection="shelf")
        assert isinstance(found, Versioned)
        assert found.value == {"a": [1]}
        assert found.ttl == pytest.approx(60, abs=MICROSECOND + self.ttl_granularity)
        assert isinstance(found.version, str)
        assert found.version
        assert (await versioned.get_versioned("forever", collection="shelf"))[:2] == ({"a": 2}, None)

    @needs(conditional)
    async def test_what_was_read_shares_nothing_with_the_store(self, store: StoreT) -> None:
        versioned = ability(store, AsyncVersionedProtocol)
        await store.put("key", {"items": [1]})
        for _ in range(2):
            found: Any = (await versioned.get_versioned("key")).value
            assert found == {"items": [1]}
            found["items"].append(2)

    @needs(conditional)
    async def test_reading_and_writing_elsewhere_leave_the_version(self, store: StoreT) -> None:
        version = await version_of(store)
        await store.get("key", collection="shelf")
        await store.ttl_many(["key"], collection="shelf")
        await store.put("key2", {"a": 1}, collection="shelf")
        await store.put("key", {"a": 1}, collection="shelf2")
        await store.delete("key", collection="shelf2")
        assert await version_of(store, put=False) == version

    @needs(conditional)
    @each_write
    async def test_every_write_changes_the_version(self, store: StoreT, key: str, write: Write) -> None:
        versions = [await version_of(store, key)]
        for _ in range(3):
            await write(store, key)
            versions.append(await version_of(store, key, put=False))
        assert len(set(versions)) == len(versions)

    @needs(conditional)
    @each_write
    async def test_a_write_in_between_is_noticed(self, store: StoreT, key: str, write: Write) -> None:
        versioned = ability(store, AsyncVersionedProtocol)
        version = await version_of(store, key)
        await write(store, key)
        before = await versioned.get_versioned(key, collection="shelf")
        assert await versioned.put_if_version(key, {"a": 3}, version, collection="shelf") is False
        assert await versioned.delete_if_version(key, version, collection="shelf") is False
        after = await versioned.get_versioned(key, collection="shelf")
        assert (after.value, after.version) == (before.value, before.version)

    @needs(conditional, helper("reopen"))
    @each_write
    async def test_a_write_through_another_object_is_noticed(self, store: StoreT, key: str, write: Write) -> None:
        versioned = ability(store, AsyncVersionedProtocol)
        other = self.reopen(store)
        async with closing(other):
            version = await version_of(store, key)
            await write(other, key)
            assert await versioned.put_if_version(key, {"a": 3}, version, collection="shelf") is False
            assert await versioned.delete_if_version(key, version, collection="shelf") is False

    @needs(conditional, helper("reopen"))
    async def test_a_version_is_good_at_another_object(self, store: StoreT) -> None:
        other = self.reopen(store)
        async with closing(other):
            version = await version_of(store)
            assert await version_of(other, put=False) == version
            elsewhere = ability(other, AsyncVersionedProtocol)
            assert await elsewhere.put_if_version("key", {"a": 2}, version, collection="shelf") is True
            assert await store.get("key", collection="shelf") == {"a": 2}

    @needs(conditional, helper("corrupt_stored"))
    async def test_a_write_past_the_store_is_noticed(self, store: StoreT) -> None:
        versioned = ability(store, AsyncVersionedProtocol)
        version = await version_of(store)
        await self.corrupt_stored(store, "shelf", "key", b'{"written": "past the store"}')
        with suppress(DeserializationError):
            assert await versioned.put_if_version("key", {"a": 3}, version, collection="shelf") is False
        with suppress(DeserializationError):
            assert await versioned.delete_if_version("key", version, collection="shelf") is False
        with suppress(DeserializationError):
            assert await store.get("key", collection="shelf") == {"written": "past the store"}

    @needs(conditional)
    async def test_a_delete_in_between_is_noticed(self, store: StoreT) -> None:
        versioned = ability(store, AsyncVersionedProtocol)
        version = await version_of(store)
        await store.delete("key", collection="shelf")
        assert await versioned.put_if_version("key", {"a": 2}, version, collection="shelf") is False
        assert await versioned.delete_if_version("key", version, collection="shelf") is False
        assert await store.get("key", collection="shelf") is None

    @needs(conditional)
    async def test_the_version_that_was_read_can_be_replaced_once(self, store: StoreT) -> None:
        versioned = ability(store, AsyncVersionedProtocol)
        version = await version_of(store)
        assert await versioned.put_if_version("key", {"a": 2}, version, collection="shelf") is True
        assert await versioned.put_if_version("key", {"a": 3}, version, collection="shelf") is False
        assert await store.ttl("key", collection="shelf") == ({"a": 2}, None)

    @needs(conditional)
    async def test_the_version_that_was_read_can_be_deleted_once(self, store: StoreT) -> None:
        versioned = ability(store, AsyncVersionedProtocol)
        version = await version_of(store)
        assert await versioned.delete_if_version("key", version, collection="shelf") is True
        assert await versioned.delete_if_version("key", version, collection="shelf") is False
        assert await store.get("key", collection="shelf") is None

    @needs(conditional)
    async def test_no_version_writes_only_where_nothing_is(self, store: StoreT) -> None:
        versioned = ability(store, AsyncVersionedProtocol)
        assert await versioned.put_if_version("key", {"a": 1}, None) is True
        assert await versioned.put_if_version("key", {"a": 2}, None) is False
        assert await store.get("key") == {"a": 1}
        await store.delete("key")
        assert await versioned.put_if_version("key", {"a": 3}, None) is True
        assert await store.get("key") == {"a": 3}

    @needs(conditional)
    async def test_a_conditional_write_sets_the_ttl_as_put_does(self, store: StoreT, clock: FakeClock) -> None:
        versioned = ability(store, AsyncVersionedProtocol)
        assert await versioned.put_if_version("key", {"a": 1}, None, ttl=90) is True
        clock.advance(30)
        found = await versioned.get_versioned("key")
        assert found.ttl == pytest.approx(60, abs=MICROSECOND + self.ttl_granularity)
        assert await versioned.put_if_version("key", {"a": 2}, found.version, ttl=200) is True
        found = await versioned.get_versioned("key")
        assert found.ttl == pytest.approx(200, abs=MICROSECOND + self.ttl_granularity)
        assert await versioned.put_if_version("key", {"a": 3}, found.version) is True
        clock.advance(300)
        assert await store.ttl("key") == ({"a": 3}, None)

    @needs(conditional, declares_no("native_expiry"))
    async def test_an_expired_entry_is_none(self, store: StoreT, clock: FakeClock) -> None:
        versioned = ability(store, AsyncVersionedProtocol)
        await store.put("key", {"a": 1}, collection="shelf", ttl=100)
        version = await version_of(store, put=False)
        clock.advance(100 + self.ttl_granularity)
        assert await versioned.get_versioned("key", collection="shelf") == _NO_ENTRY
        assert await versioned.put_if_version("key", {"a": 2}, version, collection="shelf") is False
        assert await versioned.delete_if_version("key", version, collection="shelf") is False
        assert await store.get("key", collection="shelf") is None
        assert await versioned.put_if_version("key", {"a": 3}, None, collection="shelf") is True
        assert await store.ttl("key", collection="shelf") == ({"a": 3}, None)

    @needs(conditional, declares("native_expiry"))
    async def test_an_entry_that_the_backend_expired_is_none(self, store: StoreT) -> None:
        versioned = ability(store, AsyncVersionedProtocol)
        # The first use of a backend may take longer than the entry lives.
        await store.get("key", collection="shelf")
        version, ttl = await _version_of_expiring_entry(store)

        async def expired() -> bool:
            return await versioned.get_versioned("key", collection="shelf") == _NO_ENTRY

        async def is_none() -> bool:
            return await versioned.put_if_version("key", {"a": 3}, None, collection="shelf")

        assert await eventually(expired, within=ttl + self.native_expiry_wait)
        assert await versioned.put_if_version("key", {"a": 2}, version, collection="shelf") is False
        assert await versioned.delete_if_version("key", version, collection="shelf") is False
        # By the clock of the backend, the entry may expire later.
        assert await eventually(is_none, within=self.native_expiry_wait)
        assert await store.ttl("key", collection="shelf") == ({"a": 3}, None)

    @needs(conditional)
    async def test_keys_that_look_alike_have_versions_of_their_own(self, store: StoreT) -> None:
        versioned = ability(store, AsyncVersionedProtocol)
        for name in NASTY_NAMES:
            assert await versioned.put_if_version(name, {"key": name}, None, collection="shelf") is True
        for name in NASTY_NAMES[::2]:
            found = await versioned.get_versioned(name, collection="shelf")
            assert found.value == {"key": name}
            assert found.version is not None
            assert await versioned.delete_if_version(name, found.version, collection="shelf") is True
        remaining = await store.get_many(NASTY_NAMES, collection="shelf")
        assert remaining == [None if n % 2 == 0 else {"key": name} for n, name in enumerate(NASTY_NAMES)]

    @needs(helper("corrupt_stored"))
    @for_each("data", [b"", b"not JSON", b'{"a": '])
    async def test_what_is_not_an_entry_is_corrupt(self, store: StoreT, key: str, data: bytes) -> None:
        await store.put(key, {"a": 1}, collection="shelf")
        await self.corrupt_stored(store, "shelf", key, data)
        with pytest.raises(DeserializationError):
            await ability(store, AsyncVersionedProtocol).get_versioned(key, collection="shelf")

    @needs(declares_no("conditional_writes"))
    async def test_a_backend_without_conditional_writes_says_so(self, store: StoreT) -> None:
        assert capabilities_of(store).conditional_writes is False
        with pytest.raises(StoreSetupError):
            await ability(store, AsyncVersionedProtocol).put_if_version("key", {"a": 1}, None)
        assert await store.get("key") is None
