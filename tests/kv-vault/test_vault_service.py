"""Requests per call, and behaviour when the server refuses, fails or loses answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from key_value.aio.errors import (
    BaseKeyValueError,
    KeyValueStoreError,
    StoreConnectionError,
    StoreSetupError,
)
from key_value.aio.stores.vault import VaultStore
from service_cases import KEYS, VALUES, RequestCases

from .conftest import changed, raw_client
from .service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from http_service import Asked
    from servers.vault import VaultServer

    from .conftest import Raw


@pytest.fixture
async def service(vault_server: VaultServer, raw: Raw) -> AsyncIterator[Service]:
    async with Service(vault_server.endpoint, raw.mount_point) as service:
        yield service


@pytest.fixture
async def store(service: Service, place: dict[str, Any]) -> AsyncIterator[VaultStore]:
    async with VaultStore(**changed(place, url=service.url)) as store:
        service.requests.clear()
        yield store


@pytest.fixture
async def hasty(service: Service, place: dict[str, Any]) -> AsyncIterator[VaultStore]:
    """A store with a short timeout."""
    options: dict[str, Any] = changed(place, url=service.url)
    store = VaultStore(**options, timeout=1.0)
    yield store
    await store.close()


# Requests


class TestVaultRequests(RequestCases):
    write = "POST data"
    read = look = "GET data"
    list_keys = "LIST metadata"


async def test_deleting_an_entry_is_three_requests_a_deleted_entry_two_and_an_absent_entry_one(
    store: VaultStore, service: Service
) -> None:
    await store.put("key", {"n": 1})
    service.requests.clear()
    assert await store.delete("key") is True
    assert service.operations() == {"GET data": 1, "POST data": 1, "POST destroy": 1}
    assert await store.delete("key") is False
    assert service.operations() == {"GET data": 1, "POST destroy": 1}
    assert await store.delete("absent") is False
    assert service.operations() == {"GET data": 1}


@pytest.mark.parametrize("repeated", ["delete", "delete_many", "cull"])
async def test_a_deletion_that_failed_midway_is_completed_by_the_next_call(
    store: VaultStore, service: Service, raw: Raw, repeated: str
) -> None:
    await store.put("key", {"text": "one"})
    await store.put("key", {"text": "two"})
    service.refuse(500, operation="POST destroy", times=1)
    with pytest.raises(StoreConnectionError):
        await store.delete("key")
    path = "default_collection::key"
    assert raw.read(path, version=2) is not None
    if repeated == "cull":
        await store.cull()
    else:
        assert not await (store.delete("key") if repeated == "delete" else store.delete_many(["key"]))
    assert [raw.read(path, version=number) for number in (1, 2)] == [None, None]


async def test_a_batch_is_read_by_concurrent_requests(store: VaultStore, service: Service) -> None:
    await store.put_many(KEYS, VALUES)
    service.hold(2)
    assert await store.get_many(KEYS) == VALUES
    assert 1 < service.max_in_flight <= 50


async def test_no_more_requests_are_in_flight_than_max_connections(service: Service, place: dict[str, Any]) -> None:
    options: dict[str, Any] = changed(place, url=service.url)
    async with VaultStore(**options, max_connections=3) as store:
        service.hold(3)
        service.delay = 0.02
        await store.put_many(KEYS[:30], VALUES[:30])
    assert service.max_in_flight == 3


async def test_a_prefix_with_a_directory_lists_only_that_directory(store: VaultStore, service: Service) -> None:
    await store.put_many([*KEYS, "dir/a", "dir/b", "dir/sub/c"], [*VALUES, {}, {}, {}])
    service.requests.clear()
    assert len((await store.scan(prefix="key 9")).keys) == 11
    assert service.operations() == {"LIST metadata": 1, "GET data": 11}
    assert (await store.scan(prefix="dir/s")).keys == ["dir/sub/c"]
    assert service.operations() == {"LIST metadata": 2, "GET data": 1}


async def test_conditional_writes_are_few_requests(store: VaultStore, service: Service) -> None:
    assert await store.put_if_absent("key", {"n": 1})
    assert service.operations() == {"POST data": 1}
    assert not await store.put_if_absent("key", {"n": 2})
    assert service.operations() == {"POST data": 1, "GET data": 1}
    _, _, version = await store.get_versioned("key")
    assert version is not None
    service.requests.clear()
    assert await store.put_if_version("key", {"n": 2}, version)
    assert service.operations() == {"GET data": 1, "POST data": 1}


async def test_setup_writes_nothing(store: VaultStore, service: Service) -> None:
    await store.setup()
    assert service.operations() == {"GET data": 1, "GET sys": 1, "POST sys": 1}


# Answers with an error


async def test_a_rate_limited_request_is_retried(store: VaultStore, service: Service) -> None:
    service.refuse(429, times=2, operation="POST data")
    assert await store.put_if_absent("key", {"n": 1}) is True
    assert service.operations() == {"POST data": 3}


async def test_an_idempotent_request_is_retried_after_a_failure(store: VaultStore, service: Service) -> None:
    service.refuse(502, times=1)
    await store.put("key", {"n": 1})
    service.refuse(504, times=1)
    assert await store.get("key") == {"n": 1}


async def test_a_conditional_write_is_not_retried_after_a_failure(store: VaultStore, service: Service) -> None:
    service.refuse(502, operation="POST data")
    with pytest.raises(StoreConnectionError):
        await store.put_if_absent("key", {"n": 1})
    assert service.operations() == {"POST data": 1}


async def test_a_conditional_write_with_a_lost_answer_is_reported_and_not_retried(
    store: VaultStore, service: Service, raw: Raw
) -> None:
    service.drops_replies = lambda asked: asked.operation == "POST data"
    with pytest.raises(StoreConnectionError):
        await store.put_if_absent("key", {"n": 1})
    assert service.operations() == {"POST data": 1}
    metadata = raw.metadata("default_collection::key")
    assert metadata is not None
    assert metadata["current_version"] == 1


async def test_a_write_with_a_lost_answer_is_retried(store: VaultStore, service: Service) -> None:
    lost: list[Asked] = []

    def loses(asked: Asked) -> bool:
        if lost or asked.operation != "POST data":
            return False
        lost.append(asked)
        return True

    service.drops_replies = loses
    await store.put("key", {"n": 1})
    assert service.operations() == {"POST data": 2}


async def test_a_sealed_server_is_reported_without_retries(store: VaultStore, service: Service) -> None:
    service.refuse(503, message="Vault is sealed")
    with pytest.raises(StoreConnectionError, match="sealed"):
        await store.get("key")
    assert service.operations() == {"GET data": 1}


async def test_a_failing_server_is_reported_within_the_timeout(hasty: VaultStore, service: Service) -> None:
    service.refuse(503)
    with pytest.raises(StoreConnectionError, match=r"status 503|limit `timeout`"):
        await hasty.get("key")


@pytest.mark.parametrize(
    ("answer", "kind", "reason"),
    [
        ((400, "hunter2"), KeyValueStoreError, "status 400"),
        ((405, "unsupported operation"), StoreSetupError, "not KV version 2"),
        ((404, 'no handler for route "x"'), StoreSetupError, "no secrets engine"),
        ((413, "hunter2"), KeyValueStoreError, "of this size"),
        ((500, "put failed due to value being too large"), KeyValueStoreError, "of this size"),
        ((500, "hunter2"), StoreConnectionError, "status 500"),
        ((472, "hunter2"), KeyValueStoreError, "status 472"),
    ],
)
async def test_an_error_answer_is_reported_without_its_text(
    store: VaultStore, service: Service, answer: tuple[int, str], kind: type[BaseKeyValueError], reason: str
) -> None:
    status, message = answer
    service.refuse(status, message=message)
    with pytest.raises(kind, match=reason) as caught:
        await store.get("key")
    assert type(caught.value) is kind
    assert "hunter2" not in f"{caught.value} {caught.value.__cause__!r}"


async def test_an_html_page_of_another_server_is_not_an_absent_entry(store: VaultStore, service: Service) -> None:
    service.rule = lambda _asked: web.Response(status=404, text="<html>hunter2</html>", content_type="text/html")
    with pytest.raises(StoreSetupError, match="not Vault"):
        await store.get("key")
    service.rule = lambda _asked: web.Response(text="<html>hunter2</html>", content_type="text/html")
    with pytest.raises(StoreSetupError, match="not Vault"):
        await store.get("key")


async def test_a_redirect_of_a_standby_server_is_followed(
    store: VaultStore, service: Service, vault_server: VaultServer, raw: Raw
) -> None:
    def redirected(asked: Asked) -> web.Response:
        location = f"{vault_server.endpoint}/v1/{raw.mount_point}/data/{asked.name}"
        return web.Response(status=307, headers={"Location": location})

    service.rule = redirected
    await store.put("key", {"n": 1})
    assert await store.get("key") == {"n": 1}


async def test_the_token_is_not_sent_to_another_scheme(store: VaultStore, service: Service) -> None:
    service.rule = lambda _asked: web.Response(status=307, headers={"Location": "https://127.0.0.1:1/v1/secret"})
    with pytest.raises(StoreSetupError, match="status 307"):
        await store.get("key")


async def test_a_client_that_was_passed_in_is_never_closed(vault_server: VaultServer, raw: Raw) -> None:
    client = raw_client(vault_server)
    async with VaultStore(client=client, mount_point=raw.mount_point) as store:
        await store.put("key", {"n": 1})
    assert client.secrets.kv.v2.read_secret_version(
        "default_collection::key", mount_point=raw.mount_point, raise_on_deleted_version=True
    )
