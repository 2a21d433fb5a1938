"""Tests of a store on Elasticsearch or OpenSearch, and direct access to its indices."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar
from urllib.parse import quote

import pytest
from key_value.aio.stores.base.search import BaseSearchStore
from key_value.aio.testing import FakeClock
from key_value.aio.testing.fault_tests import FaultTests
from key_value.aio.testing.stateful import check_against_dict
from service_cases import ServiceContract
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from servers.opensearch import OpenSearchServer

StoreT = TypeVar("StoreT", bound=BaseSearchStore)


class Raw(NamedTuple):
    """The server, and the prefix of the indices of the test."""

    server: Any
    prefix: str

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request that must succeed, and return the response."""
        status, answer = self.server.ask(method, path, body)
        assert status < 300, answer
        return answer

    def indices(self) -> list[str]:
        return sorted(self.ask("GET", f"/{self.prefix}-*/_settings"))

    def path(self, index: str, key: str) -> str:
        return f"/{quote(f'{self.prefix}-{index}', safe='')}/_doc/{quote(key, safe='')}"

    def get(self, index: str, key: str) -> dict[str, Any] | None:
        """Return the document; None if it or the index does not exist."""
        answer = self.server.ask("GET", self.path(index, key))[1]
        return answer.get("_source")

    def put(self, index: str, key: str, document: Any) -> None:
        self.ask("PUT", f"{self.path(index, key)}?refresh=true", document)


def raw_of(server: Any) -> Iterator[Raw]:
    """Provide a new prefix without indices; remove its indices afterwards."""
    raw = Raw(server, f"kv{uuid.uuid4().hex}")
    yield raw
    names = raw.indices()
    for start in range(0, len(names), 20):
        raw.ask("DELETE", f"/{quote(','.join(names[start : start + 20]), safe=',')}")


class SearchContract(ServiceContract[StoreT]):
    stores_envelopes = False
    # The test node has a heap of 256 MB.
    largest_value = 8 * 1024 * 1024
    raw: Raw

    @override
    async def read_stored(self, store: StoreT, collection: str, key: str) -> str | None:
        document = self.raw.get(collection, key)
        return None if document is None else document["value"].get("json", str(document["value"]))

    @override
    async def corrupt_stored(self, store: StoreT, collection: str, key: str, data: bytes) -> None:
        try:
            text = data.decode()
        except UnicodeDecodeError:
            pytest.skip("a JSON string cannot contain invalid UTF-8")
        document = self.raw.get(collection, key)
        assert document is not None
        self.raw.put(collection, key, {**document, "value": {"json": text}})

    @override
    async def put_foreign(self, store: StoreT) -> None:
        await store.put("key", {"n": 1}, collection="shelf")
        self.raw.put("shelf", "foreign", {"text": "foreign"})

    @override
    async def has_foreign(self, store: StoreT) -> bool:
        return self.raw.get("shelf", "foreign") == {"text": "foreign"}

    async def test_a_collection_of_expired_entries_is_destroyed_like_an_empty_one(
        self, store: StoreT, raw: Raw
    ) -> None:
        with FakeClock() as clock:
            await store.put_many(["a", "b"], [{"n": 1}] * 2, collection="shelf", ttl=10)
            clock.advance(11)
            assert await store.destroy_collection("shelf") is False
            assert raw.get("shelf", "a") is raw.get("shelf", "b") is None
            await store.put("a", {"n": 1}, collection="shelf", ttl=10)
            await store.put("b", {"n": 1}, collection="shelf")
            clock.advance(11)
            assert await store.destroy_collection("shelf") is True
            assert raw.get("shelf", "a") is raw.get("shelf", "b") is None

    async def test_the_version_of_an_entry_in_another_index_is_refused(self, store: StoreT) -> None:
        other = self.store_type(**{**self.place, "index_prefix": f"{self.raw.prefix}-other"})
        for each in (store, other):
            await each.put("key", {"n": 1})
        version = (await store.get_versioned("key")).version
        assert version is not None
        with pytest.raises(ValueError, match="version"):
            await other.put_if_version("key", {"n": 2}, version)
        with pytest.raises(ValueError, match="version"):
            await other.delete_if_version("key", version)
        assert await other.get("key") == {"n": 1}
        await other.close()

    async def test_destroying_a_collection_removes_entries_not_yet_visible_to_searches(
        self, place: dict[str, Any], raw: Raw
    ) -> None:
        store = self.store_type(**{**place, "refresh": "interval"})
        await store.put_many(["a", "b"], [{"n": 1}] * 2, collection="shelf")
        assert await store.destroy_collection("shelf") is True
        assert raw.get("shelf", "a") is raw.get("shelf", "b") is None
        await store.close()


class SearchFaultTests(FaultTests[StoreT]):
    """Needs the fixture `private_server`."""

    time_limit = 200.0
    load = 100
    answer_limit = 30.0
    timeout = 2.5
    store_type: ClassVar[type[Any]]

    @pytest.fixture
    def server_address(self, raw: Raw) -> tuple[str, int]:
        self.prefix = raw.prefix
        asyncio.run(self._create_indices(raw.server.url))
        return raw.server.address

    @pytest.fixture
    @override
    def killable_server(self, private_server: OpenSearchServer) -> OpenSearchServer:
        self.prefix = "kv-killed"
        # A node that has just started is slow.
        self.timeout = 10.0
        return private_server

    async def _create_indices(self, url: str) -> None:
        """Create the indices without the short timeout, because this is the slowest operation of a node."""
        async with self.store_type(url=url, index_prefix=self.prefix) as store:
            for collection in ("default_collection", "shelf"):
                await store.setup_collection(collection=collection)

    @override
    def store_at(self, host: str, port: int) -> StoreT:
        return self.store_type(url=f"http://{host}:{port}", index_prefix=self.prefix, timeout=self.timeout)


def check_search_against_dict(open_store: Callable[..., BaseSearchStore], place: dict[str, Any]) -> None:
    """Call `check_against_dict` with separate indices for each run."""
    made = 0

    def make_store() -> BaseSearchStore:
        nonlocal made
        made += 1
        return open_store(url=place["url"], index_prefix=f"{place['index_prefix']}-{made}")

    check_against_dict(make_store)
