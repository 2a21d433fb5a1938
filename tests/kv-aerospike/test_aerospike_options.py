"""Options, clients and URLs of an AerospikeStore, and the errors when they are wrong."""

from __future__ import annotations

import asyncio
import pickle
import sys
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.errors import KeyValueStoreError, StoreConnectionError, StoreSetupError, StoreTimeoutError
from key_value.aio.stores.aerospike import AerospikeStore
from key_value.aio.urls import open_store
from probes import serves, text_of
from servers.aerospike import AerospikeServer
from workspace import run

from .conftest import CONNECTING, Driver

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import RunServer

    from .conftest import Raw

PASSWORD = "hunter2"  # noqa: S105 — a user of the fake
# The client sends this hash instead: bcrypt with a fixed salt.
CREDENTIAL = "$2a$10$7EqJtq98hPqEX7fNZaFWoO8yAYKkwj9u0Glt4pJOdKWgUtLymqj3."

BAD_OPTIONS: dict[str, dict[str, Any]] = {
    "no hosts": {"hosts": []},
    "empty host": {"hosts": [("", 3000)]},
    "host with a port": {"hosts": [("db/1", 3000)]},
    "port 0": {"hosts": [("db", 0)]},
    "port beyond 65535": {"hosts": [("db", 65_536)]},
    "empty namespace": {"namespace": ""},
    "long namespace": {"namespace": "n" * 32},
    "empty set": {"set_name": ""},
    "long set": {"set_name": "s" * 64},
    "set with a separator": {"set_name": "a;b"},
    "set with a colon": {"set_name": "a:b"},
    "set with a line break": {"set_name": "a\nb"},
    "set with NUL": {"set_name": "a\0b"},
    "user without password": {"user": "ada"},
    "password without user": {"password": PASSWORD},
    "hosts twice": {"client_config": {"hosts": []}},
    "password twice": {"client_config": {"password": PASSWORD}},
    "timeout 0": {"timeout": 0},
    "negative timeout": {"timeout": -1.0},
    "timeout NaN": {"timeout": float("nan")},
    "no connections": {"max_connections": 0},
    "tiny records": {"max_record_bytes": 1000},
}

URLS = {
    "aerospike://": "aerospike://127.0.0.1:3000/test/kv-store",
    "aerospike://db.example.com": "aerospike://db.example.com:3000/test/kv-store",
    "aerospike://db.example.com:4000/": "aerospike://db.example.com:4000/test/kv-store",
    "aerospike://db.example.com/app": "aerospike://db.example.com:3000/app/kv-store",
    "aerospike://db.example.com/app/cache?timeout=1": "aerospike://db.example.com:3000/app/cache",
    "aerospike://[::1]:4000/app": "aerospike://[::1]:4000/app/kv-store",
    "aerospike://ada:hunter2@db.example.com/app": "aerospike://db.example.com:3000/app/kv-store",
}

BAD_URLS = [
    "aerospike:///app",
    "aerospike://:3000",
    "aerospike://db/app/cache/more",
    "aerospike://ada@db",
    "aerospike://db/app?namespace=app",
    "aerospike://db?unknown=1",
    "aerospike://db?timeout=soon",
    "aerospike://db/app#cache",
]


# Options


@pytest.mark.parametrize("options", BAD_OPTIONS.values(), ids=BAD_OPTIONS)
def test_invalid_options_are_refused_without_showing_a_password(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must|options of the store") as refusal:
        AerospikeStore(**options)
    assert PASSWORD not in text_of(refusal.value)


@pytest.mark.parametrize(
    "options", [{"hosts": [("db", 3000)]}, {"user": "ada", "password": PASSWORD}, {"client_config": {}}]
)
def test_a_client_together_with_connection_options_is_refused(raw: Raw, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not both"):
        AerospikeStore(client=raw.client, **options)


@pytest.mark.parametrize("client", ["aerospike://db", object(), 0])
def test_a_client_of_a_wrong_type_is_a_type_error(client: object) -> None:
    with pytest.raises(TypeError, match="client"):
        AerospikeStore(client=client)


def test_the_constructor_opens_no_connection_and_starts_no_thread() -> None:
    program = """
import socket, threading
socket.socket.connect = socket.getaddrinfo = None
from key_value.aio.stores.aerospike import AerospikeStore
AerospikeStore(hosts=[("db.invalid", 3000)], user="ada", password="hunter2")
assert threading.active_count() == 1
"""
    run(sys.executable, "-c", program)


async def test_a_pickled_store_serves(raw: Raw) -> None:
    assert await serves(pickle.loads(pickle.dumps(AerospikeStore(**raw.options))))  # noqa: S301 — trusted data


def test_a_store_with_a_client_cannot_be_pickled(raw: Raw) -> None:
    with pytest.raises(TypeError, match="client"):
        pickle.dumps(AerospikeStore(client=raw.client))


async def test_an_unreachable_host_next_to_a_single_server_is_a_connection_error(raw: Raw, unused_port: int) -> None:
    # The client assumes that the single server has lost its cluster.
    hosts = [("127.0.0.1", unused_port), (raw.host, raw.port)]
    store = AerospikeStore(**raw.options_with(hosts=hosts))
    with pytest.raises(StoreConnectionError, match="no server can be reached"):
        await store.setup()
    assert await serves(AerospikeStore(**raw.options_with(hosts=[(raw.host, raw.port)] * 2)))


async def test_a_timeout_of_none_or_infinity_means_no_limit(raw: Raw) -> None:
    for timeout in (None, float("inf")):
        assert await serves(AerospikeStore(**raw.options_with(timeout=timeout)))


async def test_additional_configuration_entries_reach_the_client(raw: Raw) -> None:
    # The client refuses a missing file of certificate authorities.
    config = {"tls": {"enable": True, "cafile": "/absent.pem"}}
    store = AerospikeStore(**raw.options_with(client_config=config))
    with pytest.raises(StoreSetupError, match="TLS"):
        await store.setup()


# Clients


async def test_a_client_that_was_passed_in_is_used_and_stays_open(raw: Raw) -> None:
    store = AerospikeStore(client=raw.client, namespace=raw.namespace, set_name=raw.set_name)
    assert await serves(store)
    assert raw.client.is_connected()
    assert raw.bins("default_collection::key") is not None


async def test_a_closed_client_is_reported(raw: Raw) -> None:
    client = Driver.client({"hosts": [(raw.host, raw.port)]})
    store = AerospikeStore(client=client, namespace=raw.namespace, set_name=raw.set_name)
    client.close()
    with pytest.raises(StoreConnectionError, match="not connected"):
        await store.get("key")


# URLs


@pytest.mark.parametrize(("url", "shown"), URLS.items(), ids=URLS)
def test_a_url_names_the_location_of_the_records(url: str, shown: str) -> None:
    assert repr(open_store(url)) == f"AerospikeStore({shown})"


@pytest.mark.parametrize("url", BAD_URLS)
def test_a_url_with_an_unsupported_part_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        open_store(url)


def test_url_options_are_passed_to_the_constructor() -> None:
    store = open_store("aerospike://db?default_collection=users&max_record_bytes=8388608&max_connections=4")
    assert isinstance(store, AerospikeStore)
    assert store.default_collection == "users"
    assert store.capabilities.max_value_bytes == 8 * 1024 * 1024 - 256


async def test_a_store_opened_by_url_serves(url: str, raw: Raw) -> None:
    require = {"durable", "conditional_writes", "native_expiry", "atomic_delete"}
    store = open_store(f"{url}/{raw.set_name}", require=require)
    assert isinstance(store, AerospikeStore)
    assert await serves(store)


# Users and passwords


@pytest.fixture(scope="module")
def guarded(run_server: RunServer) -> Iterator[AerospikeServer]:
    users = (f"ada:{CREDENTIAL}:read-write", f"eve:{CREDENTIAL}:read")
    with run_server(AerospikeServer(*(part for user in users for part in ("--user", user)))) as server:
        yield server


async def test_user_and_password_are_accepted_by_a_guarded_server(guarded: AerospikeServer) -> None:
    hosts = [(guarded.host, guarded.port)]
    assert await serves(AerospikeStore(hosts=hosts, user="ada", password=PASSWORD))
    store = open_store(f"aerospike://ada:{PASSWORD}@{guarded.host}:{guarded.port}")
    assert isinstance(store, AerospikeStore)
    assert await serves(store)


@pytest.mark.parametrize(
    ("credentials", "reason"),
    [
        ({"user": "ada", "password": f"{PASSWORD}x"}, "password is wrong"),
        ({"user": "bob", "password": PASSWORD}, "password is wrong"),
        ({}, "requires a user and password"),
    ],
    ids=["wrong password", "unknown user", "no user"],
)
async def test_refused_credentials_are_a_setup_error_with_the_reason(
    guarded: AerospikeServer, credentials: dict[str, str], reason: str
) -> None:
    store = AerospikeStore.from_url("aerospike://", hosts=[(guarded.host, guarded.port)], **credentials)
    for call in (store.setup(), store.get("key"), store.put_many(["a", "b"], [{"n": 1}] * 2)):
        with pytest.raises(StoreSetupError, match=reason) as refusal:
            await call
        assert not isinstance(refusal.value, StoreConnectionError)
        assert PASSWORD not in text_of(refusal.value)
    await store.close()


async def test_a_missing_permission_is_reported(guarded: AerospikeServer) -> None:
    async with AerospikeStore(hosts=[(guarded.host, guarded.port)], user="eve", password=PASSWORD) as store:
        assert await store.get("absent") is None
        for call in (
            store.put("key", {"n": 1}),
            store.put_many(["a", "b"], [{"n": 1}] * 2),
            store.put_if_absent("key", {"n": 1}),
            store.delete("key"),
            store.delete_many(["a", "b"]),
        ):
            with pytest.raises(StoreSetupError, match="lacks the right"):
                await call


async def test_user_and_password_are_ignored_by_a_server_without_authentication(raw: Raw) -> None:
    assert await serves(AerospikeStore(**raw.options, user="ada", password=PASSWORD))


# Unreachable servers


async def test_a_missing_namespace_is_a_setup_error(raw: Raw) -> None:
    for auto_create in (True, False):
        store = AerospikeStore(**raw.options_with(namespace="absent", auto_create=auto_create))
        for call in (store.setup, lambda store=store: store.put("key", {"n": 1}), store.destroy):
            with pytest.raises(StoreSetupError, match="no namespace"):
                await call()
        await store.close()


async def test_a_refused_connection_is_a_connection_error(unused_port: int) -> None:
    store = AerospikeStore(hosts=[("127.0.0.1", unused_port)])
    with pytest.raises(StoreConnectionError, match="refused") as refusal:
        await store.setup()
    assert not isinstance(refusal.value, StoreTimeoutError)
    assert isinstance(refusal.value.__cause__, Driver.exception.AerospikeError)


async def test_unknown_hosts_are_reported() -> None:
    store = AerospikeStore(hosts=[("one.invalid", 3000), ("two.invalid", 3000)])
    with pytest.raises(StoreConnectionError, match="unknown host"):
        await store.setup()


async def test_a_server_still_starting_is_a_connection_error_until_it_serves(
    run_server: RunServer,
) -> None:
    with run_server(AerospikeServer("--starting", "2")) as server:
        store = AerospikeStore(hosts=[(server.host, server.port)], timeout=60.0, client_config=CONNECTING)
        server.kill()
        restarted = asyncio.ensure_future(asyncio.to_thread(server.restart))
        errors: list[Exception] = []
        while not await _is_set_up(store, errors):
            assert len(errors) < 1000
            await asyncio.sleep(0.05)
        await restarted
        assert {type(error) for error in errors} == {StoreConnectionError}
        assert await serves(store)


async def _is_set_up(store: AerospikeStore, errors: list[Exception]) -> bool:
    try:
        await store.setup()
    except KeyValueStoreError as error:
        errors.append(error)
        return False
    return True
