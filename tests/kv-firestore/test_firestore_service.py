"""Requests per call, and behaviour under rate limits, failures and timeouts."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from grpc import StatusCode
from key_value.aio.errors import (
    BaseKeyValueError,
    KeyValueStoreError,
    StoreConnectionError,
    StoreSetupError,
    StoreTimeoutError,
)
from key_value.aio.stores.firestore import FirestoreStore

from .service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .conftest import Raw

SECRET = "hunter2"  # noqa: S105 — looked for in messages

NO_DATABASE = (
    "The database (default) does not exist for project p Please visit https://console.cloud.google.com to add it"
)
DATASTORE_MODE = (
    "The Cloud Firestore API is not available for Firestore in Datastore Mode database projects/p/databases/(default)."
)
DISABLED = "Cloud Firestore API has not been used in project p before or it is disabled."

REFUSALS: dict[str, tuple[StatusCode, str, type[BaseKeyValueError], str]] = {
    "no rights": (StatusCode.PERMISSION_DENIED, SECRET, StoreSetupError, "lack the right"),
    "not enabled": (StatusCode.PERMISSION_DENIED, DISABLED, StoreSetupError, "not enabled in the project"),
    "wrong credentials": (StatusCode.UNAUTHENTICATED, SECRET, StoreSetupError, "the credentials were refused"),
    "no database": (StatusCode.NOT_FOUND, NO_DATABASE, StoreSetupError, "no such database"),
    "Datastore mode": (StatusCode.FAILED_PRECONDITION, DATASTORE_MODE, StoreSetupError, "Datastore mode"),
    "not Firestore": (StatusCode.UNIMPLEMENTED, SECRET, StoreSetupError, "not Firestore"),
    "token": (
        StatusCode.UNAVAILABLE,
        "Getting metadata from plugin failed with error: ('invalid_grant: hunter2', {})",
        StoreSetupError,
        "could not be refreshed",
    ),
    "unavailable": (StatusCode.UNAVAILABLE, SECRET, StoreConnectionError, "unavailable"),
    "internal": (StatusCode.INTERNAL, SECRET, StoreConnectionError, "unavailable"),
    "deadline": (StatusCode.DEADLINE_EXCEEDED, SECRET, StoreTimeoutError, "own limit"),
    "argument": (StatusCode.INVALID_ARGUMENT, SECRET, KeyValueStoreError, "INVALID_ARGUMENT"),
}

CALLS: dict[str, dict[str, int]] = {
    "get": {"BatchGetDocuments": 1},
    "ttl": {"BatchGetDocuments": 1},
    "put": {"Commit": 1},
    "delete": {"BatchGetDocuments": 1, "Commit": 1},
    "delete_absent": {"BatchGetDocuments": 1},
    "get_many": {"BatchGetDocuments": 1},
    "put_many": {"Commit": 1},
    "delete_many": {"BatchGetDocuments": 1, "BatchWrite": 1},
    "keys": {"RunQuery": 1},
    "scan": {"RunQuery": 1},
    "collections": {"ListCollectionIds": 1, "RunQuery": 1},
    "get_versioned": {"BatchGetDocuments": 1},
    "put_if_absent": {"Commit": 1},
    "put_if_version": {"Commit": 1},
    "delete_if_version": {"Commit": 1},
}


@pytest.fixture
async def service(raw: Raw) -> AsyncIterator[Service]:
    async with Service(raw.address) as service:
        yield service


@pytest.fixture
async def store(raw: Raw, service: Service) -> AsyncIterator[FirestoreStore]:
    store = FirestoreStore(project=raw.project, emulator_host=service.address, timeout=60)
    yield store
    await store.close()


# Requests


@pytest.mark.parametrize("call", CALLS)
async def test_each_call_takes_the_expected_requests(store: FirestoreStore, service: Service, call: str) -> None:
    keys = [f"key {number}" for number in range(100)]
    values: list[dict[str, Any]] = [{"n": 1}] * 100
    await store.put_many(keys, values)
    version = (await store.get_versioned("key 1")).version
    assert version is not None
    calls = {
        "get": lambda: store.get("key 1"),
        "ttl": lambda: store.ttl("key 1"),
        "put": lambda: store.put("key 1", {"n": 2}, ttl=10),
        "delete": lambda: store.delete("key 1"),
        "delete_absent": lambda: store.delete("absent"),
        "get_many": lambda: store.get_many(keys),
        "put_many": lambda: store.put_many(keys, values),
        "delete_many": lambda: store.delete_many(keys),
        "keys": store.keys,
        "scan": store.scan,
        "collections": store.collections,
        "get_versioned": lambda: store.get_versioned("key 1"),
        "put_if_absent": lambda: store.put_if_absent("new", {"n": 1}),
        "put_if_version": lambda: store.put_if_version("key 1", {"n": 2}, version),
        "delete_if_version": lambda: store.delete_if_version("key 1", version),
    }
    service.methods()
    await calls[call]()
    assert service.methods() == CALLS[call]


async def test_setup_takes_a_read_and_a_write_that_changes_nothing(
    store: FirestoreStore, service: Service, raw: Raw
) -> None:
    await store.setup()
    assert service.methods() == {"BatchGetDocuments": 1, "Commit": 1}
    assert raw.ids() == []


async def test_batches_are_split_at_five_hundred_entries(store: FirestoreStore, service: Service) -> None:
    keys = [f"key {number}" for number in range(1001)]
    await store.put_many(keys, [{"n": 1}] * len(keys))
    assert service.methods() == {"Commit": 3}
    assert None not in await store.get_many(keys)
    assert service.methods() == {"BatchGetDocuments": 3}
    assert await store.delete_many(keys) == 1001
    assert service.methods() == {"BatchGetDocuments": 3, "BatchWrite": 3}


async def test_a_batch_of_large_values_is_split_at_the_request_size(store: FirestoreStore, service: Service) -> None:
    keys = [f"key {number}" for number in range(10)]
    values = [{"text": "x" * 900_000, "n": number} for number in range(10)]
    await store.put_many(keys, values)
    assert max(len(request) for _, request in service.requests) < 4 * 1024**2
    assert service.methods() == {"Commit": 4}
    assert await store.get_many(keys) == values


# Refusals


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
async def test_a_refusal_is_explained_without_its_text(
    store: FirestoreStore, service: Service, refusal: tuple[StatusCode, str, type[BaseKeyValueError], str]
) -> None:
    code, message, kind, reason = refusal
    service.refuse(code, message)
    for call in (store.get("key"), store.put("key", {"n": 1}), store.delete_many(["key"]), store.keys()):
        with pytest.raises(kind, match=reason) as failure:
            await call
        assert SECRET not in str(failure.value)
        assert isinstance(failure.value, StoreConnectionError) is issubclass(kind, StoreConnectionError)


@pytest.mark.parametrize("call", ["put_if_absent", "put_if_version", "delete_if_version", "delete"])
async def test_a_missing_database_is_not_a_failed_condition(store: FirestoreStore, service: Service, call: str) -> None:
    await store.put("key", {"n": 1})
    version = str((await store.get_versioned("key")).version)
    calls = {
        "put_if_absent": lambda: store.put_if_absent("new", {"n": 1}),
        "put_if_version": lambda: store.put_if_version("key", {"n": 2}, version),
        "delete_if_version": lambda: store.delete_if_version("key", version),
        "delete": lambda: store.delete("key"),
    }
    service.refuse(StatusCode.NOT_FOUND, NO_DATABASE, method="Commit")
    with pytest.raises(StoreSetupError, match="no such database"):
        await calls[call]()


async def test_read_only_credentials_fail_at_setup(store: FirestoreStore, service: Service) -> None:
    service.refuse(StatusCode.PERMISSION_DENIED, method="Commit")
    with pytest.raises(StoreSetupError, match="lack the right"):
        await store.setup()


async def test_a_missing_index_for_culling_is_reported(store: FirestoreStore, service: Service) -> None:
    await store.put("key", {"n": 1})
    service.refuse(StatusCode.FAILED_PRECONDITION, "The query requires an index.", method="RunQuery")
    with pytest.raises(StoreSetupError, match="exempted"):
        await store.cull()


# Attempts


@pytest.mark.parametrize("code", [StatusCode.ABORTED, StatusCode.RESOURCE_EXHAUSTED], ids=lambda code: code.name)
async def test_a_call_that_certainly_had_no_effect_is_repeated(
    store: FirestoreStore, service: Service, code: StatusCode
) -> None:
    await store.put("key", {"n": 1})
    version = (await store.get_versioned("key")).version
    service.methods()
    service.refuse(code, times=2)
    assert await store.put_if_version("key", {"n": 2}, version) is True
    assert service.methods() == {"Commit": 3}
    service.refuse(code, times=2)
    assert await store.delete_many(["key", "absent"]) == 1
    assert service.methods() == {"BatchGetDocuments": 3, "BatchWrite": 1}


async def test_a_lasting_rate_limit_is_a_connection_error_at_the_timeout(raw: Raw, service: Service) -> None:
    store = FirestoreStore(project=raw.project, emulator_host=service.address, timeout=3)
    service.refuse(StatusCode.RESOURCE_EXHAUSTED)
    with pytest.raises(StoreConnectionError, match=r"limits the rate|`timeout`"):
        await store.put("key", {"n": 1})
    assert service.methods()["Commit"] > 1
    await store.close()


async def test_a_put_with_unknown_outcome_is_repeated(store: FirestoreStore, service: Service, raw: Raw) -> None:
    service.refuse(StatusCode.UNAVAILABLE, times=1)
    await store.put("key", {"n": 1})
    assert service.methods() == {"Commit": 2}
    assert raw.ids() == [("default_collection", "key")]


async def test_a_conditional_write_with_unknown_outcome_is_not_repeated(
    store: FirestoreStore, service: Service, raw: Raw
) -> None:
    await store.setup()
    service.methods()
    service.drops_replies = True
    with pytest.raises(StoreConnectionError):
        await store.put_if_absent("key", {"n": 1})
    assert service.methods() == {"Commit": 1}
    assert raw.ids() == [("default_collection", "key")]


async def test_a_deletion_overtaken_by_a_write_reads_again(store: FirestoreStore, service: Service, raw: Raw) -> None:
    await store.put_many(["a", "b"], [{"n": 1}] * 2)
    original, written = service.rule, False

    def overtake(method: str) -> None:
        nonlocal written
        if method in ("Commit", "BatchWrite") and not written:
            written = True
            raw.client.document("default_collection", "a").update({"value": '{"n":2}'})

    service.rule = overtake
    service.methods()
    assert await store.delete_many(["a", "b"]) == 2
    assert service.methods() == {"BatchGetDocuments": 2, "BatchWrite": 2}
    service.rule = original
    assert raw.ids() == []


# Time


async def test_a_reached_timeout_is_reported(raw: Raw, service: Service) -> None:
    store = FirestoreStore(project=raw.project, emulator_host=service.address, timeout=1)
    service.answers.clear()
    start = time.monotonic()
    with pytest.raises(StoreTimeoutError, match="`timeout` was reached"):
        await store.get("key")
    assert time.monotonic() - start < 30
    await store.close()


async def test_closing_lets_calls_in_flight_finish(store: FirestoreStore, service: Service) -> None:
    await store.put("key", {"n": 1})
    service.answers.clear()
    calls = [asyncio.ensure_future(store.get("key")) for _ in range(20)]
    while service.in_flight < 20:
        service.arrived.clear()
        await service.arrived.wait()
    closing = asyncio.ensure_future(store.close())
    await asyncio.sleep(0)
    service.answers.set()
    await closing
    assert await asyncio.gather(*calls) == [{"n": 1}] * 20
    assert service.in_flight == 0
