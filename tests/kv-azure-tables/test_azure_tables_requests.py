"""The requests that each operation sends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.errors import (
    ValueTooLargeError,
)
from key_value.aio.stores.azure_tables import AzureTablesStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from http_service import Asked

    from .conftest import Raw
    from .service import Service

KEYS = [f"key {number}" for number in range(250)]
VALUES = [{"key": key} for key in KEYS]


@pytest.fixture
async def store(service: Service, place_of_service: dict[str, Any]) -> AsyncIterator[AzureTablesStore]:
    async with AzureTablesStore(**place_of_service) as store:
        service.requests.clear()
        yield store


async def test_an_operation_on_one_entry_takes_one_request_and_a_delete_two(
    store: AzureTablesStore, service: Service
) -> None:
    await store.put("key", {"n": 1}, ttl=60)
    assert service.operations() == {"PUT entity": 1}
    await store.get("key")
    await store.ttl("key")
    await store.get("absent")
    assert service.operations() == {"GET entity": 3}
    assert await store.delete("key") is True
    assert service.operations() == {"GET entity": 1, "DELETE entity": 1}
    assert await store.delete("key") is False
    assert service.operations() == {"GET entity": 1}


async def test_a_batch_of_writes_takes_one_request_per_hundred(store: AzureTablesStore, service: Service) -> None:
    await store.put_many(KEYS, VALUES)
    assert service.operations() == {"POST $batch": 3}
    await store.put_many(KEYS[:100], VALUES[:100])
    assert service.operations() == {"POST $batch": 1}


async def test_a_batch_of_reads_takes_one_request_per_entry_several_at_once(
    store: AzureTablesStore, service: Service
) -> None:
    await store.put_many(KEYS, VALUES)
    service.requests.clear()
    service.hold(2)
    assert await store.get_many(KEYS) == VALUES
    assert service.operations() == {"GET entity": 250}
    assert 1 < service.max_in_flight <= 50


async def test_a_batch_of_deletions_reads_each_entry_and_takes_one_request_per_hundred(
    store: AzureTablesStore, service: Service, raw: Raw
) -> None:
    await store.put_many(KEYS, VALUES)
    service.requests.clear()
    assert await store.delete_many(KEYS) == 250
    assert service.operations() == {"GET entity": 250, "POST $batch": 3}
    assert raw.names() == []
    assert await store.delete_many(KEYS[:100]) == 0
    assert service.operations() == {"GET entity": 100}


async def test_a_batch_of_deletions_counts_each_entry_once_despite_concurrent_deletions(
    store: AzureTablesStore, service: Service, raw: Raw
) -> None:
    await store.put_many(KEYS[:10], VALUES[:10])

    def rule(asked: Asked) -> None:
        if asked.operation == "POST $batch" and raw.get("default_collection", KEYS[3]) is not None:
            raw.client.delete_entity("default_collection", KEYS[3])
            raw.put("default_collection", KEYS[4], Value=raw.get("default_collection", KEYS[5])["Value"])

    service.rule = rule
    # The fifth now holds the entry of another key and reads as corrupt. It is removed all the same.
    assert await store.delete_many(KEYS[:10]) == 9
    assert raw.names() == []


# aiohttp warns about bodies of 1 MiB or more, which azure-core sends in one piece.
@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
async def test_a_batch_larger_than_a_request_is_split(store: AzureTablesStore, service: Service) -> None:
    values = [{"text": "x" * 90_000}] * 100
    await store.put_many(KEYS[:100], values)
    sizes = [len(asked.body) for asked in service.requests]
    assert max(sizes) <= 4 * 1024**2
    assert service.operations() == {"POST $batch": 3}


async def test_destroying_a_collection_takes_one_page_and_one_request_per_hundred(
    store: AzureTablesStore, service: Service, raw: Raw
) -> None:
    await store.put_many(KEYS, VALUES, collection="shelf")
    service.requests.clear()
    assert await store.destroy_collection("shelf") is True
    assert service.operations() == {"GET query": 1, "POST $batch": 3}
    assert raw.names() == []


async def test_keys_are_read_without_values_a_thousand_per_request(store: AzureTablesStore, service: Service) -> None:
    await store.put_many(KEYS, VALUES)
    service.requests.clear()
    assert sorted(await store.keys()) == sorted(KEYS)
    assert service.operations() == {"GET query": 1}


async def test_no_request_is_sent_for_an_empty_batch(store: AzureTablesStore, service: Service) -> None:
    await store.put_many([], [])
    assert await store.get_many([]) == []
    assert await store.delete_many([]) == 0
    assert service.operations() == {}


async def test_no_more_requests_are_in_flight_than_connections(
    service: Service, place_of_service: dict[str, Any]
) -> None:
    async with AzureTablesStore(**place_of_service, max_connections=3) as store:
        service.hold(3)
        service.delay = 0.02
        await store.get_many(KEYS[:30])
    assert service.max_in_flight == 3


async def test_an_entry_that_is_too_large_is_refused_before_anything_is_sent(
    store: AzureTablesStore, service: Service
) -> None:
    limit = store.capabilities.max_value_bytes
    assert limit is not None
    with pytest.raises(ValueTooLargeError):
        await store.put("key", {"text": "x" * limit})
    with pytest.raises(ValueTooLargeError):
        await store.put_many(["a", "b"], [{"n": 1}, {"text": "x" * limit}])
    assert service.operations() == {}
