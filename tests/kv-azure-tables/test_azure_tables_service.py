"""A service that refuses, fails or loses answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from key_value.aio.errors import (
    BaseKeyValueError,
    KeyValueStoreError,
    StoreConnectionError,
    StoreSetupError,
    StoreTimeoutError,
)
from key_value.aio.stores.azure_tables import AzureTablesStore

from .conftest import AsyncClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

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


@pytest.mark.parametrize(("status", "code"), [(429, "TooManyRequests"), (503, "ServerBusy")])
async def test_a_rate_limited_call_is_repeated(
    store: AzureTablesStore, service: Service, status: int, code: str
) -> None:
    service.refuse(status, times=2, code=code)
    assert await store.put_if_absent("key", {"n": 1}) is True
    assert service.operations() == {"POST table": 3}
    service.refuse(status, times=2, code=code)
    await store.put_many(KEYS[:100], VALUES[:100])
    assert service.operations() == {"POST $batch": 3}


async def test_a_repeatable_call_is_repeated_after_a_failure(store: AzureTablesStore, service: Service) -> None:
    service.refuse(500, times=1, code="InternalError")
    await store.put("key", {"n": 1})
    service.refuse(500, times=1, code="OperationTimedOut")
    assert await store.get("key") == {"n": 1}


async def test_a_conditional_write_is_not_repeated_after_a_failure(store: AzureTablesStore, service: Service) -> None:
    service.refuse(500, code="InternalError")
    with pytest.raises(StoreConnectionError):
        await store.put_if_absent("key", {"n": 1})
    assert service.operations() == {"POST table": 1}


async def test_a_lost_answer_to_a_conditional_write_is_reported_and_not_repeated(
    store: AzureTablesStore, service: Service, raw: Raw
) -> None:
    service.drops_replies = lambda asked: asked.operation == "POST table"
    with pytest.raises(StoreConnectionError):
        await store.put_if_absent("key", {"n": 1})
    assert service.operations() == {"POST table": 1}
    assert raw.names() == [("default_collection", "key")]


async def test_a_lost_answer_to_a_change_is_reported_and_not_repeated(
    store: AzureTablesStore, service: Service
) -> None:
    """Its condition would fail the second time, as if it had not been made."""
    await store.put("key", {"n": 1})
    version = (await store.get_versioned("key")).version or ""
    changes: dict[str, Callable[[], Awaitable[bool]]] = {
        "PUT entity": lambda: store.put_if_version("key", {"n": 2}, version),
        "DELETE entity": lambda: store.delete("key"),
    }
    for operation, change in changes.items():
        service.requests.clear()
        lost = iter([True])
        service.drops_replies = lambda asked, lost=lost: asked.operation != "GET entity" and next(lost, False)
        with pytest.raises(StoreConnectionError):
            await change()
        assert service.operations() == {"GET entity": 1, operation: 1}
    assert await store.get("key") is None


async def test_a_client_that_was_passed_in_repeats_nothing_by_itself(
    service: Service, place_of_service: dict[str, Any]
) -> None:
    place = place_of_service["connection_string"], place_of_service["table_name"]
    async with AsyncClient.from_connection_string(*place) as client, AzureTablesStore(client=client) as store:
        service.refuse(504, code="InternalError")
        service.requests.clear()
        with pytest.raises(StoreConnectionError):
            await store.put_if_absent("key", {"n": 1})
        assert service.operations() == {"POST table": 1}


async def test_a_conditional_write_is_not_repeated_after_a_503_of_a_proxy(
    store: AzureTablesStore, service: Service
) -> None:
    service.answer(lambda: web.Response(status=503, text="upstream connect error"))
    with pytest.raises(StoreConnectionError, match="status 503"):
        await store.put_if_absent("key", {"n": 1})
    assert service.operations() == {"POST table": 1}


async def test_a_transaction_with_a_truncated_answer_is_repeated(store: AzureTablesStore, service: Service) -> None:
    cut = iter([b""])
    service.change = lambda answer: next(cut, answer)
    service.requests.clear()
    await store.put_many(["a", "b"], VALUES[:2])
    assert service.operations() == {"POST $batch": 2}
    service.change = lambda answer: answer[: len(answer) // 2]
    with pytest.raises(StoreConnectionError, match="cut off"):
        await store.put_many(["a", "b"], VALUES[:2])


async def test_a_write_is_repeated_after_one_lost_answer(store: AzureTablesStore, service: Service) -> None:
    lost: list[Asked] = []

    def loses(asked: Asked) -> bool:
        lost.append(asked)
        return len(lost) == 1

    service.drops_replies = loses
    await store.put("key", {"n": 1})
    assert service.operations() == {"PUT entity": 2}


async def test_a_call_on_a_table_that_is_being_deleted_is_repeated(store: AzureTablesStore, service: Service) -> None:
    service.refuse(409, times=2, code="TableBeingDeleted")
    assert await store.put_if_absent("key", {"n": 1}) is True
    assert service.operations() == {"POST table": 3}


async def test_a_page_has_the_timeout_of_one_operation_whatever_its_limit(
    service: Service, place_of_service: dict[str, Any]
) -> None:
    async with AzureTablesStore(**place_of_service, timeout=0.5) as store:
        service.delay = 2
        with pytest.raises(StoreTimeoutError):
            await store.scan(limit=10**6)


async def test_a_service_that_stays_busy_is_reported_within_the_timeout(
    service: Service, place_of_service: dict[str, Any]
) -> None:
    async with AzureTablesStore(**place_of_service):
        pass
    async with AzureTablesStore(**place_of_service, timeout=3.0) as store:
        service.refuse(503)
        with pytest.raises(StoreConnectionError, match=r"limits the rate|limit `timeout`"):
            await store.get("key")


@pytest.mark.parametrize(
    ("status", "code", "kind", "reason"),
    [
        (403, "AuthenticationFailed", StoreSetupError, "wrong account key"),
        (403, "AuthorizationPermissionMismatch", StoreSetupError, "lacks a right"),
        (403, "hunter2", StoreSetupError, "status 403"),
        (404, "TableNotFound", StoreSetupError, "no such table"),
        (400, "InvalidInput", KeyValueStoreError, "InvalidInput"),
        (413, "hunter 2", KeyValueStoreError, "status 413"),
        (500, "hunter2", StoreConnectionError, "status 500"),
    ],
)
async def test_an_error_response_is_reported_without_its_text(
    store: AzureTablesStore,
    service: Service,
    *,
    status: int,
    code: str,
    kind: type[BaseKeyValueError],
    reason: str,
) -> None:
    service.refuse(status, code=code)
    with pytest.raises(kind, match=reason) as caught:
        await store.get("key")
    assert type(caught.value) is kind
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(("code", "reason"), [("TableNotFound", "no such table"), ("AccountIsDisabled", "disabled")])
async def test_an_error_in_creating_an_entity_is_reported_without_its_text(
    store: AzureTablesStore, service: Service, code: str, reason: str
) -> None:
    service.refuse(404 if code == "TableNotFound" else 403, code=code)
    with pytest.raises(StoreSetupError, match=reason):
        await store.put_if_absent("key", {"n": 1})


CALLS: dict[str, Callable[[AzureTablesStore], Awaitable[object]]] = {
    "get": lambda store: store.get("key"),
    "put": lambda store: store.put("key", {"n": 1}),
    "delete": lambda store: store.delete("key"),
    "delete_many": lambda store: store.delete_many(KEYS[:2]),
    "put_many": lambda store: store.put_many(KEYS[:2], VALUES[:2]),
    "put_if_absent": lambda store: store.put_if_absent("key", {"n": 1}),
    "scan": lambda store: store.scan(),
    "destroy": lambda store: store.destroy(),
    "cull": lambda store: store.cull(),
    "setup": lambda store: store.setup(),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "answer",
    [
        {"status": 404, "text": "hunter2"},
        {"status": 200, "text": "<html>hunter2</html>", "content_type": "text/html"},
        {"status": 200},
        {"status": 202, "body": b"hunter2 \xff", "content_type": "multipart/mixed"},
        {"status": 200, "text": '["hunter2"]', "content_type": "application/json"},
        {"status": 200, "text": '{"hunter2": 1}', "content_type": "application/json"},
    ],
    ids=repr,
)
async def test_a_response_not_from_azure_is_reported_without_its_text(
    store: AzureTablesStore, service: Service, answer: dict[str, Any], call: str
) -> None:
    """Such as the login page of a proxy, or a truncated response."""
    service.answer(lambda: web.Response(**answer))
    with pytest.raises(KeyValueStoreError) as caught:
        await CALLS[call](store)
    assert "hunter2" not in str(caught.value)
