"""Number of requests per call, and of requests in flight."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.errors import StoreSetupError
from key_value.aio.stores.s3 import S3Store
from service_cases import KEYS, VALUES, RequestCases

from .conftest import at

if TYPE_CHECKING:
    from .service import Service


@pytest.fixture
def store(store_at_service: S3Store) -> S3Store:
    return store_at_service


class TestS3Requests(RequestCases):
    write = "PutObject"
    read = "GetObject"
    list_keys = "ListObjectsV2"
    look = "HeadObject"


async def test_delete_checks_that_the_entry_exists(store: S3Store, service: Service) -> None:
    await store.put("key", {"n": 1})
    service.requests.clear()
    assert await store.delete("key")
    # This server accepts the deletion of an absent object whatever its ETag, so one more request decides who deleted
    # it; and another write can interleave with a HEAD request.
    assert service.operations() == {"HeadObject": 2, "PutObject": 1, "DeleteObject": 1}
    assert not await store.delete("key")
    assert service.operations() == {"HeadObject": 1}


async def test_a_batch_is_deleted_by_one_request_per_thousand_entries(store: S3Store, service: Service) -> None:
    await store.put_many(KEYS, VALUES)
    service.requests.clear()
    assert await store.delete_many([*KEYS, "absent"]) == len(KEYS)
    assert service.operations() == {"HeadObject": len(KEYS) + 1, "DeleteObjects": 1}
    assert await store.keys() == []


async def test_conditional_writes_are_few_requests(store: S3Store, service: Service) -> None:
    assert await store.put_if_absent("key", {"n": 1})
    assert service.operations() == {"PutObject": 1}
    _, _, version = await store.get_versioned("key")
    assert service.operations() == {"GetObject": 1}
    assert version is not None
    assert await store.put_if_version("key", {"n": 2}, version)
    assert service.operations() == {"PutObject": 1}


async def test_a_server_is_probed_once(store: S3Store, service: Service) -> None:
    await store.setup()
    assert service.operations() == {"ListObjectsV2": 1, "PutObject": 1, "GetObject": 1, "DeleteObject": 1}


async def test_probing_a_server_leaves_no_object(store: S3Store, raw: Any) -> None:
    await store.setup()
    assert raw.names() == []


async def test_concurrent_probes_share_no_folder(service: Service, place: dict[str, Any]) -> None:
    folders: list[set[str]] = []
    for _ in range(2):
        service.requests.clear()
        async with S3Store(**at(place, service.url)):
            names = [asked.name.strip("/") for asked in service.requests if asked.operation == "PutObject"]
        folders.append({name.partition("/")[0] for name in names if "/" in name})
    assert folders[0]
    assert folders[0].isdisjoint(folders[1])


async def test_the_first_use_without_setup_probes_only_what_it_needs(service: Service, place: dict[str, Any]) -> None:
    store = S3Store(**at(place, service.url))
    await store.put("key", {"n": 1})
    assert service.operations() == {"ListObjectsV2": 1, "CreateBucket": 1, "PutObject": 1}
    await store.close()


# Requests in flight


async def test_no_more_requests_are_in_flight_than_max_connections(service: Service, place: dict[str, Any]) -> None:
    async with S3Store(**at(place, service.url), max_connections=7) as store:
        service.hold(7)
        await asyncio.gather(store.put_many(KEYS, VALUES), *(store.get(key) for key in KEYS))
    assert service.max_in_flight == 7


async def test_a_failed_batch_leaves_no_request_in_flight(store: S3Store, service: Service) -> None:
    service.refuse("AccessDenied", status=403, times=1)
    with pytest.raises(StoreSetupError):
        await store.get_many(KEYS)
    before = len(service.requests)
    await asyncio.sleep(0.1)
    assert len(service.requests) == before
