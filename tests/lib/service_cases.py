"""The contracts of a store on a service, and the requests that it sends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import pytest
from key_value.aio.testing.contract import StoreContract
from key_value.aio.testing.versioned import VersionedTests
from typing_extensions import override

if TYPE_CHECKING:
    from http_service import HTTPService

StoreT = TypeVar("StoreT", bound=Any)

KEYS = [f"key {number}" for number in range(100)]
VALUES = [{"key": key} for key in KEYS]


class ServiceContract(StoreContract[StoreT]):
    """Needs the fixtures `place`, the options of an empty store, and `raw`, a native client of the same data."""

    time_limit = 200.0
    store_type: ClassVar[type[Any]]
    raw: Any
    place: dict[str, Any]
    """What the fixture `store` sets."""

    @pytest.fixture
    def store(self, place: dict[str, Any], raw: Any) -> StoreT:
        self.raw, self.place = raw, place
        return self.store_type(**place)

    @override
    def reopen(self, store: StoreT) -> StoreT:
        return self.store_type(**self.place)

    @override
    def address(self, store: StoreT) -> tuple[str, dict[str, Any]]:
        package = self.store_type.__module__.removesuffix(".store")
        return f"{package}:{self.store_type.__name__}", self.place


class ServiceClientTests(VersionedTests[StoreT]):
    """The contracts that depend on how requests are sent, with a client that is passed in."""

    keys: ClassVar[list[str]] = KEYS[:30]

    async def test_batches_and_names_work(self, store: StoreT) -> None:
        await store.put_many(self.keys, [{"key": key} for key in self.keys])
        assert await store.get_many([*self.keys, "absent"]) == [*({"key": key} for key in self.keys), None]
        assert sorted(await store.keys()) == sorted(self.keys)
        assert await store.collections() == ["default_collection"]
        assert await store.delete_many([*self.keys[:20], "absent"]) == 20
        assert await store.delete(self.keys[20]) is True
        assert await store.destroy_collection("default_collection") is True
        assert await store.collections() == []


class RequestCases:
    """Needs the fixtures `service`, which counts requests, and `store`, which sends its requests to it."""

    write: ClassVar[str]
    read: ClassVar[str]
    list_keys: ClassVar[str]
    """The service's names of the operations."""
    look: ClassVar[str]
    """The operation that checks whether a listed key still has an entry."""

    async def test_reading_or_writing_an_entry_is_one_request(self, store: Any, service: HTTPService) -> None:
        await store.put("key", {"n": 1}, ttl=60)
        assert service.operations() == {self.write: 1}
        await store.get("key")
        await store.ttl("key")
        await store.get("absent")
        assert service.operations() == {self.read: 3}

    async def test_a_batch_is_one_request_for_each_entry(self, store: Any, service: HTTPService) -> None:
        await store.put_many(KEYS, VALUES)
        assert service.operations() == {self.write: 100}
        assert await store.get_many(KEYS) == VALUES
        assert service.operations() == {self.read: 100}

    async def test_no_request_is_sent_for_an_empty_batch(self, store: Any, service: HTTPService) -> None:
        await store.put_many([], [])
        assert await store.get_many([]) == []
        assert await store.delete_many([]) == 0
        assert service.operations() == {}

    async def test_a_page_is_one_listing_and_one_request_for_each_key_in_it(
        self, store: Any, service: HTTPService
    ) -> None:
        await store.put_many(KEYS, VALUES)
        service.requests.clear()
        page = await store.scan(limit=40)
        assert len(page.keys) == 40
        assert service.operations() == {self.list_keys: 1, self.look: 40}

    async def test_a_prefix_is_looked_up_and_not_filtered(self, store: Any, service: HTTPService) -> None:
        await store.put_many(KEYS, VALUES)
        service.requests.clear()
        assert (await store.scan(prefix="key 9")).keys == ["key 9", *(f"key {number}" for number in range(90, 100))]
        assert service.operations() == {self.list_keys: 1, self.look: 11}
