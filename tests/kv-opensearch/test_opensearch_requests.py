"""The requests that each operation sends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.errors import (
    ValueTooLargeError,
)
from key_value.aio.stores.opensearch import OpenSearchStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .conftest import Raw
    from .service import Service

KEYS = [f"key {number}" for number in range(250)]
VALUES: list[dict[str, Any]] = [{"key": key} for key in KEYS]


@pytest.fixture
async def store(service: Service, raw: Raw) -> AsyncIterator[OpenSearchStore]:
    """Yield a store with an existing index."""
    async with OpenSearchStore(url=service.url, index_prefix=raw.prefix) as store:
        await store.put("key", {"n": 1})
        service.requests.clear()
        yield store


async def test_an_operation_takes_one_request_and_a_deletion_two(store: OpenSearchStore, service: Service) -> None:
    await store.put("key", {"n": 1}, ttl=60)
    await store.get("key")
    await store.ttl("key")
    assert service.in_order() == ["_bulk", "_mget", "_mget"]
    assert await store.put_if_absent("other", {"n": 1}) is True
    assert service.in_order() == ["_bulk"]
    assert await store.put_if_absent("other", {"n": 1}) is False
    assert service.in_order() == ["_bulk", "_mget"]
    assert await store.delete("key") is True
    assert service.in_order() == ["_mget", "_bulk"]
    assert await store.delete("key") is False
    assert service.in_order() == ["_mget"]


async def test_a_conditional_write_takes_one_request(store: OpenSearchStore, service: Service) -> None:
    version = (await store.get_versioned("key")).version
    assert version is not None
    assert service.in_order() == ["_mget"]
    assert await store.put_if_version("key", {"n": 2}, version) is True
    assert await store.put_if_version("key", {"n": 3}, version) is False
    assert await store.delete_if_version("key", version) is False
    assert service.in_order() == ["_bulk"] * 3


async def test_a_batch_takes_one_request_and_a_batch_of_deletions_two(store: OpenSearchStore, service: Service) -> None:
    await store.put_many(KEYS, VALUES)
    assert service.in_order() == ["_bulk"]
    assert await store.get_many(KEYS) == VALUES
    assert service.in_order() == ["_mget"]
    assert await store.delete_many([*KEYS, "absent"]) == 250
    assert service.in_order() == ["_mget", "_bulk"]


async def test_a_large_batch_is_split(store: OpenSearchStore, service: Service) -> None:
    keys = [f"key {number}" for number in range(2500)]
    await store.put_many(keys, [{"n": 1}] * 2500)
    assert service.in_order() == ["_bulk"]
    assert await store.get_many(keys) == [{"n": 1}] * 2500
    assert service.in_order() == ["_mget"] * 3
    await store.put_many(KEYS[:5], [{"text": "x" * 2_000_000}] * 5)
    assert service.in_order() == ["_bulk"] * 3


async def test_listing_refreshes_the_index_and_takes_one_request_per_page(
    store: OpenSearchStore, service: Service
) -> None:
    await store.put_many(KEYS, VALUES)
    service.requests.clear()
    page = await store.scan(limit=200)
    assert service.in_order() == ["_refresh", "_search"]
    rest = await store.scan(limit=200, cursor=page.cursor)
    assert service.in_order() == ["_search"]
    assert sorted(page.keys + rest.keys) == sorted(["key", *KEYS])
    assert await store.collections() == ["default_collection"]
    assert service.in_order() == ["_refresh", "_search"]
    await store.cull()
    assert service.in_order() == ["_refresh", "_delete_by_query"]


async def test_the_prefix_is_sent_to_the_server(store: OpenSearchStore, service: Service) -> None:
    await store.put_many(KEYS, VALUES)
    service.requests.clear()
    assert len((await store.scan(prefix="key 24", limit=1000)).keys) == 11
    [_, asked] = service.requests
    assert {"range": {"key": {"gte": "key 24", "lt": "key 25"}}} in asked.document["query"]["bool"]["filter"]


async def test_the_first_write_to_a_collection_creates_its_index_and_a_read_does_not(
    store: OpenSearchStore, service: Service, raw: Raw
) -> None:
    assert await store.get("a", collection="shelf") is None
    assert await store.keys("shelf") == []
    assert await store.delete("a", collection="shelf") is False
    assert await store.destroy_collection("shelf") is False
    assert raw.indices() == [f"{raw.prefix}-default_collection"]
    service.requests.clear()
    await store.put("a", {"n": 1}, collection="shelf")
    await store.put("a", {"n": 1}, collection="shelf")
    assert service.in_order() == ["_mapping", "PUT", "_bulk", "_bulk"]


async def test_nothing_is_sent_for_an_empty_batch_or_a_value_that_is_too_large(
    store: OpenSearchStore, service: Service
) -> None:
    await store.put_many([], [])
    assert await store.get_many([]) == []
    assert await store.delete_many([]) == 0
    with pytest.raises(ValueTooLargeError):
        await store.put_many(["key", "large"], [{}, {"text": "x" * 50_000_000}])
    assert service.in_order() == []


@pytest.mark.parametrize(
    ("refresh", "asked", "listed"),
    [
        ("write", "?refresh=true", [["key"]]),
        ("wait_for", "?refresh=wait_for", [["key"]]),
        ("interval", "", [["key"], []]),
    ],
)
async def test_refresh_sets_when_the_index_is_refreshed(
    service: Service, raw: Raw, refresh: Any, asked: str, listed: list[list[str]]
) -> None:
    async with OpenSearchStore(url=service.url, index_prefix=raw.prefix, refresh=refresh) as store:
        await store.put("key", {"n": 1})
        assert service.requests[-1].name.endswith(f"/_bulk{asked}")
        service.requests.clear()
        assert await store.keys() in listed
        assert service.in_order() == ["_search"]
