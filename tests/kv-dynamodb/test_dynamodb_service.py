"""What the service does under load and when it fails: limited rates, batches left undone, answers that are lost."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from key_value.aio.errors import (
    BaseKeyValueError,
    KeyValueStoreError,
    StoreConnectionError,
    StoreSetupError,
    StoreTimeoutError,
    ValueTooLargeError,
)
from key_value.aio.stores.dynamodb import DynamoDBStore

from .conftest import at
from .service import Service, refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from http_service import Asked
    from servers.dynamodb import DynamoDBServer

    from .conftest import Raw

    Call = Callable[[DynamoDBStore], Awaitable[object]]

KEYS = [f"key {number}" for number in range(250)]
VALUES = [{"key": key} for key in KEYS]

REPEATABLE: dict[str, Call] = {
    "get": lambda store: store.get("key"),
    "put": lambda store: store.put("key", {"n": 1}),
    "get_many": lambda store: store.get_many(["key", "other"]),
    "put_many": lambda store: store.put_many(["key", "other"], [{}, {}]),
    "keys": lambda store: store.keys(),
    "collections": lambda store: store.collections(),
}
ONCE: dict[str, Call] = {
    "delete": lambda store: store.delete("key"),
    "put_if_absent": lambda store: store.put_if_absent("key", {"n": 1}),
}
each_call = pytest.mark.parametrize("call", [*REPEATABLE.values(), *ONCE.values()], ids=[*REPEATABLE, *ONCE])
each_repeatable = pytest.mark.parametrize("call", REPEATABLE.values(), ids=REPEATABLE)
each_once = pytest.mark.parametrize("call", ONCE.values(), ids=ONCE)


@pytest.fixture
async def service(dynamodb_server: DynamoDBServer) -> AsyncIterator[Service]:
    async with Service(dynamodb_server.url) as service:
        yield service


@pytest.fixture
async def store(service: Service, place: dict[str, Any]) -> AsyncIterator[DynamoDBStore]:
    async with DynamoDBStore(**at(place, service.url)) as store:
        service.requests.clear()
        yield store


@pytest.fixture
async def hasty(service: Service, place: dict[str, Any]) -> AsyncIterator[DynamoDBStore]:
    """A store whose time is soon over."""
    async with DynamoDBStore(**place):
        pass
    async with DynamoDBStore(**at(place, service.url), timeout=3.0) as store:
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


async def test_batches_are_a_hundred_reads_or_twenty_five_writes(store: DynamoDBStore, service: Service) -> None:
    await store.put_many(KEYS, VALUES)
    assert service.operations() == {"BatchWriteItem": 10}
    assert await store.get_many(KEYS) == VALUES
    assert service.operations() == {"BatchGetItem": 3}
    assert await store.delete_many([*KEYS[:100], "absent"]) == 100
    assert service.operations() == {"BatchGetItem": 2, "BatchWriteItem": 4}


async def test_what_is_not_there_needs_no_deletion(store: DynamoDBStore, service: Service) -> None:
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


async def test_setting_up_an_existing_table_reads_what_it_is_like(
    store: DynamoDBStore, service: Service, place: dict[str, Any]
) -> None:
    await store.setup()
    assert service.operations() == {"GetItem": 1}
    async with DynamoDBStore(**at(place, service.url)):
        assert service.operations() == {"DescribeTable": 1, "DescribeTimeToLive": 1, "GetItem": 1}
    async with DynamoDBStore(**at(place, service.url), auto_create=False):
        assert service.operations() == {"DescribeTable": 1, "GetItem": 1}


async def test_no_request_is_sent_for_what_is_too_large(store: DynamoDBStore, service: Service) -> None:
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
async def test_reads_are_as_consistent_as_asked_for(
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


async def test_versions_are_read_consistently_in_any_case(service: Service, place: dict[str, Any]) -> None:
    async with DynamoDBStore(**at(place, service.url), consistent_read=False) as store:
        await store.put("key", {"n": 1})
        service.requests.clear()
        version = (await store.get_versioned("key")).version
        await store.put_if_version("key", {"n": 2}, version)
    reads = [asked for asked in service.requests if asked.operation == "GetItem"]
    assert [asked.document["ConsistentRead"] for asked in reads] == [True, True]


# Parts of a batch that are left undone


@pytest.mark.parametrize("most", [1, 7, 24])
async def test_what_a_batch_leaves_is_asked_for_again(
    store: DynamoDBStore, service: Service, raw: Raw, most: int
) -> None:
    keys, values = KEYS[:30], VALUES[:30]
    service.most_per_batch = most
    await store.put_many(keys, values)
    assert len(raw.names()) == 30
    assert await store.get_many(keys) == values
    assert await store.delete_many(keys[:20]) == 20
    assert len(raw.names()) == 10
    assert await store.get_many(keys) == [*[None] * 20, *values[20:]]


async def test_a_batch_that_is_never_done_is_a_connection_error(hasty: DynamoDBStore, service: Service) -> None:
    service.most_per_batch = 0
    service.rule = nothing_done
    for call in (lambda: hasty.put_many(KEYS[:3], VALUES[:3]), lambda: hasty.get_many(KEYS[:3])):
        start = time.monotonic()
        # The latter if the time is over while a request is under way.
        with pytest.raises(StoreConnectionError, match=r"limits the rate|did not answer in time: the limit `timeout`"):
            await call()
        assert time.monotonic() - start < 30
    assert len(service.requests) > 4


def nothing_done(asked: Asked) -> Any:
    left = {"BatchWriteItem": "UnprocessedItems", "BatchGetItem": "UnprocessedKeys"}.get(asked.operation)
    return None if left is None else web.json_response({left: asked.document["RequestItems"], "Responses": {}})


# Limited rates


@pytest.mark.parametrize("code", ["ProvisionedThroughputExceededException", "ThrottlingException"])
@each_call
async def test_a_call_over_the_rate_is_made_again(
    store: DynamoDBStore, service: Service, call: Call, code: str
) -> None:
    service.refuse(code, times=3)
    await call(store)
    assert max(service.operations().values()) == 4


@each_call
async def test_a_call_that_stays_over_the_rate_is_a_connection_error_in_time(
    hasty: DynamoDBStore, service: Service, call: Call
) -> None:
    service.refuse("ThrottlingException")
    start = time.monotonic()
    with pytest.raises(StoreConnectionError) as refusal:
        await call(hasty)
    assert time.monotonic() - start < 30
    # On a busy machine the time can be over while the last attempt is under way.
    assert "limits the rate of requests" in str(refusal.value) or isinstance(refusal.value, StoreTimeoutError)
    assert len(service.requests) > 2


async def test_callers_over_the_rate_do_not_come_again_all_at_once(store: DynamoDBStore, service: Service) -> None:
    moments: list[float] = []
    throttled: set[str] = set()

    def rule(asked: Asked) -> Any:
        key = asked.document["Key"]["key"]["S"]
        if key in throttled:
            moments.append(time.monotonic())
            return None
        throttled.add(key)
        return refusal("ThrottlingException")

    service.rule = rule
    await asyncio.gather(*(store.get(key) for key in KEYS[:40]))
    moments.sort()
    # Forty waits between nothing and a tenth of a second.
    assert moments[-1] - moments[0] > 0.03


# A service that fails


@pytest.mark.parametrize("status", [500, 503])
@each_repeatable
async def test_a_call_that_may_be_repeated_outlives_a_failure(
    store: DynamoDBStore, service: Service, call: Call, status: int
) -> None:
    service.refuse("InternalServerError", times=2, status=status)
    await call(store)
    assert max(service.operations().values()) == 3


@each_once
async def test_a_call_whose_outcome_is_unknown_is_not_repeated(
    store: DynamoDBStore, service: Service, call: Call
) -> None:
    service.refuse("ServiceUnavailable", status=503)
    with pytest.raises(StoreConnectionError, match="status 503"):
        await call(store)
    assert sum(service.operations().values()) == 1


@each_once
async def test_a_call_whose_answer_is_lost_is_not_repeated(store: DynamoDBStore, service: Service, call: Call) -> None:
    service.loses_answers = lambda _asked: True
    with pytest.raises(StoreConnectionError):
        await call(store)
    assert sum(service.operations().values()) == 1


async def test_a_conditional_write_whose_answer_is_lost_was_made_once(
    store: DynamoDBStore, service: Service, raw: Raw
) -> None:
    service.loses_answers = lambda _asked: True
    with pytest.raises(StoreConnectionError):
        await store.put_if_absent("key", {"n": 1})
    assert raw.names() == [("default_collection", "key")]


async def test_an_answer_that_is_no_answer_of_the_service_is_an_error(store: DynamoDBStore, service: Service) -> None:
    service.rule = lambda _asked: web.Response(text="<html>hunter2</html>", content_type="text/html")
    for call in (store.get("key"), store.put("key", {"n": 1})):
        with pytest.raises(StoreSetupError, match="not DynamoDB") as failure:
            await call
        assert "hunter2" not in str(failure.value)


# What an answer means

MEANINGS: dict[str, tuple[str, str, type[BaseKeyValueError], str]] = {
    "key": ("UnrecognizedClientException", "The security token is invalid", StoreSetupError, "access key is not known"),
    "secret": ("InvalidSignatureException", "does not match", StoreSetupError, "wrong secret access key"),
    "clock": ("InvalidSignatureException", "Signature expired: 2", StoreSetupError, "clock of this machine"),
    "region": (
        "InvalidSignatureException",
        "Credential should be scoped to a valid region, not 'us-east-1'.",
        StoreSetupError,
        "another region",
    ),
    "token": ("ExpiredTokenException", "The security token included is expired", StoreSetupError, "token has expired"),
    "unsigned": ("MissingAuthenticationTokenException", "", StoreSetupError, "no credentials"),
    "right": ("AccessDeniedException", "User: arn:aws:iam::1:user/x", StoreSetupError, "lack the right to GetItem"),
    "table": ("ResourceNotFoundException", "", StoreSetupError, "no such table"),
    "other": ("ValidationException", "hunter2", KeyValueStoreError, "refuses GetItem (ValidationException)"),
}


@pytest.mark.parametrize("answer", MEANINGS.values(), ids=MEANINGS)
async def test_an_answer_with_an_error_says_what_is_wrong(
    store: DynamoDBStore, service: Service, answer: tuple[str, str, type[BaseKeyValueError], str]
) -> None:
    code, message, kind, reason = answer
    service.refuse(code, message=message)
    with pytest.raises(BaseKeyValueError) as refusal:
        await store.get("key")
    # At once, and not after many.
    assert service.operations() == {"GetItem": 1}
    assert type(refusal.value) is kind
    assert reason in str(refusal.value)
    assert "hunter2" not in str(refusal.value)
    assert type(refusal.value.__cause__).__module__.startswith("botocore")
    with pytest.raises(StoreSetupError):
        await store.setup()


# Bounds


async def test_no_more_requests_are_under_way_than_allowed(service: Service, place: dict[str, Any]) -> None:
    async with DynamoDBStore(**at(place, service.url), max_connections=5) as store:
        service.hold(5)
        await asyncio.gather(*(store.put(key, value) for key, value in zip(KEYS, VALUES, strict=True)))
        assert service.most_under_way == 5


async def test_a_large_batch_has_a_few_requests_under_way(store: DynamoDBStore, service: Service) -> None:
    await store.setup()
    service.operations()
    service.hold(2)
    keys = [f"key {number}" for number in range(1000)]
    await store.put_many(keys, [{"n": 1}] * 1000)
    assert service.operations() == {"BatchWriteItem": 40}
    assert 2 <= service.most_under_way <= 10


async def test_a_batch_that_fails_leaves_nothing_under_way(store: DynamoDBStore, service: Service) -> None:
    service.delay = 0.02
    service.refuse("AccessDeniedException", times=1)
    with pytest.raises(StoreSetupError, match="BatchWriteItem"):
        await store.put_many([f"key {number}" for number in range(1000)], [{"n": 1}] * 1000)
    asked = len(service.requests)
    await asyncio.sleep(0.2)
    assert len(service.requests) == asked < 40
