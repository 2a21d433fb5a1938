"""Requests of each operation: their number, consistency and concurrency."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.errors import (
    StoreSetupError,
    ValueTooLargeError,
)
from key_value.aio.stores.dynamodb import DynamoDBStore

from .conftest import at

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .service import Service

KEYS = [f"key {number}" for number in range(250)]
VALUES = [{"key": key} for key in KEYS]


@pytest.fixture
async def store(service: Service, place: dict[str, Any]) -> AsyncIterator[DynamoDBStore]:
    async with DynamoDBStore(**at(place, service.url)) as store:
        service.requests.clear()
        yield store


# Round trips


async def test_each_operation_is_one_request(store: DynamoDBStore, service: Service) -> None:
    await store.put("key", {"n": 1}, ttl=60)
    assert service.operations() == {"PutItem": 1}
    await store.get("key")
    await store.ttl("key")
    assert service.operations() == {"GetItem": 2}
    assert await store.put_if_absent("other", {"n": 1}) is True
    assert await store.put_if_absent("other", {"n": 1}) is False
    assert service.operations() == {"PutItem": 2}
    await store.delete("key")
    assert service.operations() == {"DeleteItem": 1}


async def test_a_conditional_write_reads_before_it_writes(store: DynamoDBStore, service: Service) -> None:
    await store.put("key", {"n": 1})
    _, _, version = await store.get_versioned("key")
    assert service.operations() == {"PutItem": 1, "GetItem": 1}
    assert version is not None
    assert await store.put_if_version("key", {"n": 2}, version) is True
    assert service.operations() == {"GetItem": 1, "PutItem": 1}
    assert await store.put_if_version("key", {"n": 3}, version) is False
    assert service.operations() == {"GetItem": 1}
    assert await store.delete_if_version("key", version) is False
    assert service.operations() == {"GetItem": 1}


async def test_a_batch_request_holds_a_hundred_reads_or_twenty_five_writes(
    store: DynamoDBStore, service: Service
) -> None:
    await store.put_many(KEYS, VALUES)
    assert service.operations() == {"BatchWriteItem": 10}
    assert await store.get_many(KEYS) == VALUES
    assert service.operations() == {"BatchGetItem": 3}
    assert await store.delete_many([*KEYS[:100], "absent"]) == 100
    assert service.operations() == {"BatchGetItem": 2, "BatchWriteItem": 4}


async def test_absent_entries_need_no_delete_request(store: DynamoDBStore, service: Service) -> None:
    assert await store.delete_many(["absent", "other"]) == 0
    assert service.operations() == {"BatchGetItem": 1}


async def test_a_page_is_one_request(store: DynamoDBStore, service: Service) -> None:
    await store.put_many(KEYS, VALUES)
    service.requests.clear()
    page = await store.scan(prefix="key 1", limit=50)
    assert len(page.keys) == 50
    assert service.operations() == {"Query": 1}
    assert len(await store.keys()) == 250
    assert service.operations() == {"Query": 1}
    assert await store.collections() == ["default_collection"]
    assert service.operations() == {"Scan": 1}


async def test_no_request_is_sent_for_an_empty_batch(store: DynamoDBStore, service: Service) -> None:
    await store.put_many([], [])
    assert await store.get_many([]) == []
    assert await store.delete_many([]) == 0
    assert service.operations() == {}


async def test_setup_of_an_existing_table_reads_its_description(
    store: DynamoDBStore, service: Service, place: dict[str, Any]
) -> None:
    await store.setup()
    assert service.operations() == {"GetItem": 1}
    async with DynamoDBStore(**at(place, service.url)):
        assert service.operations() == {"DescribeTable": 1, "DescribeTimeToLive": 1, "GetItem": 1}
    async with DynamoDBStore(**at(place, service.url), auto_create=False):
        assert service.operations() == {"DescribeTable": 1, "GetItem": 1}


async def test_no_request_is_sent_for_an_oversized_value(store: DynamoDBStore, service: Service) -> None:
    large = {"text": "x" * 400 * 1024}
    for call in (
        store.put("key", large),
        store.put_many(KEYS, [*VALUES[:-1], large]),
        store.put_if_absent("key", large),
    ):
        with pytest.raises(ValueTooLargeError):
            await call
    assert service.operations() == {}


# Consistency


@pytest.mark.parametrize("consistent", [True, False])
async def test_reads_use_the_configured_consistency(
    service: Service,
    place: dict[str, Any],
    consistent: bool,  # noqa: FBT001 — a parameter of the test
) -> None:
    async with DynamoDBStore(**at(place, service.url), consistent_read=consistent) as store:
        await store.put("key", {"n": 1})
        service.requests.clear()
        await store.get("key")
        await store.get_many(["key"])
        await store.keys()
        await store.collections()
        reads = [each for each in service.requests if each.operation != "BatchGetItem"]
        asked = [each.document.get("ConsistentRead") for each in reads]
        batches = [each.document["RequestItems"] for each in service.requests if each.operation == "BatchGetItem"]
    assert asked == [consistent] * 3
    assert [each["ConsistentRead"] for batch in batches for each in batch.values()] == [consistent]


async def test_versions_are_always_read_consistently(service: Service, place: dict[str, Any]) -> None:
    async with DynamoDBStore(**at(place, service.url), consistent_read=False) as store:
        await store.put("key", {"n": 1})
        service.requests.clear()
        version = (await store.get_versioned("key")).version
        await store.put_if_version("key", {"n": 2}, version)
    reads = [asked for asked in service.requests if asked.operation == "GetItem"]
    assert [asked.document["ConsistentRead"] for asked in reads] == [True, True]


# Limits


async def test_no_more_requests_are_in_flight_than_max_connections(service: Service, place: dict[str, Any]) -> None:
    async with DynamoDBStore(**at(place, service.url), max_connections=5) as store:
        service.hold(5)
        await asyncio.gather(*(store.put(key, value) for key, value in zip(KEYS, VALUES, strict=True)))
        assert service.max_in_flight == 5


async def test_a_large_batch_has_several_requests_in_flight(store: DynamoDBStore, service: Service) -> None:
    await store.setup()
    service.operations()
    service.hold(2)
    keys = [f"key {number}" for number in range(1000)]
    await store.put_many(keys, [{"n": 1}] * 1000)
    assert service.operations() == {"BatchWriteItem": 40}
    assert 2 <= service.max_in_flight <= 10


async def test_a_failed_batch_leaves_no_request_in_flight(store: DynamoDBStore, service: Service) -> None:
    service.delay = 0.02
    service.refuse("AccessDeniedException", times=1)
    with pytest.raises(StoreSetupError, match="BatchWriteItem"):
        await store.put_many([f"key {number}" for number in range(1000)], [{"n": 1}] * 1000)
    asked = len(service.requests)
    await asyncio.sleep(0.2)
    assert len(service.requests) == asked < 40
