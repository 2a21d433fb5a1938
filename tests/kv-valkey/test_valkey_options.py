"""Addresses, credentials and permissions of a ValkeyStore, and the errors when they are wrong."""

from __future__ import annotations

import asyncio
import socket
import time
import traceback
from copy import copy
from typing import TYPE_CHECKING, Any

import pytest
from glide import GlideClientConfiguration, GlideClusterClientConfiguration, NodeAddress, ServerCredentials
from key_value.aio.errors import StoreConnectionError, StoreSetupError
from key_value.aio.stores.valkey import ValkeyStore
from key_value.aio.urls import open_store
from pydantic import SecretStr
from redis import Redis
from redis_cases import check_cluster_node_is_refused, documented_rights, use_everything
from servers.valkey import ValkeyServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers.valkey_cluster import ValkeyCluster

    from tests.conftest import RunServer

RawValkey: Any = Redis  # annotated to return either plain values or awaitables

pytestmark = pytest.mark.usefixtures("patient_diagnosis")

USERNAME, PASSWORD = "ada", "p@ss:w/rd"


async def failure_of(store: ValkeyStore, kind: type[Exception], reason: str) -> str:
    """Return the message that a call and `setup` share, checked for secrets."""
    with pytest.raises(kind, match=reason) as of_call:
        await store.get("key")
    with pytest.raises(kind, match=reason) as of_setup:
        await store.setup()
    await store.close()
    assert type(of_call.value) is type(of_setup.value) is kind
    shown = "".join(traceback.format_exception_only(of_call.value)) + repr(store) + str(of_setup.value)
    assert "hunter2" not in shown
    assert PASSWORD not in shown
    return str(of_call.value)


# URLs


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("valkey://db.example.com", "valkey://db.example.com:6379/0"),
        ("valkey://db.example.com:6380/3", "valkey://db.example.com:6380/3"),
        ("valkeys://ada:hunter2@db.example.com/", "valkeys://db.example.com:6379/0"),
        ("valkey://:hunter2@[::1]:6380/1?timeout=2&cluster=true", "valkey://[::1]:6380/1"),
        ("valkey://db?ssl_ca_certs=/tmp/authority.pem", "valkeys://db:6379/0"),
    ],
)
def test_a_url_names_the_server(url: str, shown: str) -> None:
    assert repr(open_store(url)) == repr(ValkeyStore.from_url(url)) == f"ValkeyStore({shown})"


@pytest.mark.parametrize(
    "url",
    [
        "valkey:///0",
        "valkey://db/name",
        "valkey://db/0/1",
        "valkey://db/-1",
        "valkey://db:0",
        "valkey://db:70000",
        "valkey://ada@db",
        "valkey://db?timeout=never",
        "valkey://db?timeout=0",
        "valkey://db?client_name=ada",
        "valkey://db/0#fragment",
        "valkeys://db?ssl=false",
        "valkeys://db?ssl_certfile=/tmp/client.crt",
    ],
)
def test_a_url_with_an_unsupported_part_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        open_store(url)


@pytest.mark.parametrize(
    "options",
    [
        {"port": 0},
        {"port": 65536},
        {"db": -1},
        {"host": ""},
        {"timeout": 0},
        {"timeout": -1.0},
        {"username": "ada"},
        {"ssl_certfile": "client.crt"},
        {"config": GlideClientConfiguration([NodeAddress()]), "client": object()},
    ],
    ids=repr,
)
@pytest.mark.filterwarnings("ignore::key_value.aio.core.type_checks.TypeViolationWarning")
def test_invalid_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        ValkeyStore(**options)


@pytest.mark.parametrize("options", [{"client": RawValkey()}, {"config": "valkey://db"}], ids=repr)
@pytest.mark.filterwarnings("ignore::key_value.aio.core.type_checks.TypeViolationWarning")
def test_a_client_or_config_of_a_wrong_type_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=r"must be glide.*Glide.+, not "):
        ValkeyStore(**options)


def test_a_constructor_needs_no_event_loop_and_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("socket", "getaddrinfo", "gethostbyname"):
        monkeypatch.delattr(socket, name)
    assert "host.invalid" in repr(ValkeyStore(host="host.invalid", ssl_ca_certs="/absent.pem"))


def test_a_repr_shows_neither_user_nor_password() -> None:
    credentials = ServerCredentials("hunter2", "ada")
    config = GlideClusterClientConfiguration([NodeAddress("one", 1), NodeAddress("two", 2)], credentials=credentials)
    assert repr(ValkeyStore(config=config)) == "ValkeyStore(valkey://one:1,two:2/0)"
    assert repr(ValkeyStore.from_url("valkey://ada:hunter2@one")) == "ValkeyStore(valkey://one:6379/0)"


def test_only_a_single_server_has_the_capability_atomic_put_many() -> None:
    assert ValkeyStore().capabilities.atomic_put_many is True
    assert ValkeyStore(cluster=True).capabilities.atomic_put_many is False
    config = GlideClusterClientConfiguration([NodeAddress()])
    assert ValkeyStore(config=config).capabilities.atomic_put_many is False


async def test_a_copied_store_opens_its_own_client(url: str, raw: Any) -> None:
    assert raw.dbsize() == 0
    async with ValkeyStore.from_url(url) as store:
        await store.put("key", {"n": 1})
        async with copy(store) as other:
            assert await other.get("key") == {"n": 1}


# Users and their permissions


@pytest.fixture(scope="module")
def guarded_valkey(run_server: RunServer) -> Iterator[ValkeyServer]:
    with run_server(ValkeyServer(username=USERNAME, password=PASSWORD)) as server:
        yield server


@pytest.fixture
def guarded_raw(guarded_valkey: ValkeyServer) -> Iterator[Any]:
    place = {"host": guarded_valkey.host, "port": guarded_valkey.port}
    with RawValkey(**place, username=USERNAME, password=PASSWORD) as client:
        client.flushall()
        yield client


def at(server: ValkeyServer, username: str | None, password: Any, **options: Any) -> ValkeyStore:
    return ValkeyStore(host=server.host, port=server.port, username=username, password=password, **options)


async def test_a_store_authenticates_with_user_and_password(guarded_valkey: ValkeyServer, guarded_raw: Any) -> None:
    assert guarded_raw.ping()
    config = GlideClientConfiguration(
        [NodeAddress(guarded_valkey.host, guarded_valkey.port)], credentials=ServerCredentials(PASSWORD, USERNAME)
    )
    for store in (
        ValkeyStore.from_url(guarded_valkey.url),
        at(guarded_valkey, USERNAME, PASSWORD),
        at(guarded_valkey, USERNAME, SecretStr(PASSWORD)),
        ValkeyStore(config=config),
    ):
        async with store:
            await store.put("key", {"n": 1})
            assert await store.delete("key") is True


@pytest.mark.parametrize(
    ("username", "password"), [(USERNAME, "hunter2"), ("nobody", "hunter2"), (None, "hunter2"), (None, None)]
)
async def test_a_wrong_user_or_password_is_reported_without_retries(
    guarded_valkey: ValkeyServer, username: str | None, password: str | None
) -> None:
    start = time.monotonic()
    store = at(guarded_valkey, username, password, timeout=60)
    await failure_of(store, StoreSetupError, "wrong user name or password")
    assert time.monotonic() - start < 30


async def test_a_command_denied_to_the_user_is_reported(guarded_valkey: ValkeyServer, guarded_raw: Any) -> None:
    guarded_raw.execute_command("ACL", "SETUSER", "reader", "reset", "on", ">hunter2", "~*", "+get", "+info")
    store = at(guarded_valkey, "reader", "hunter2")
    assert await store.get("absent") is None
    for call in (store.put("key", {"n": 1}), store.put_many(["key"], [{"n": 1}]), store.setup()):
        with pytest.raises(StoreSetupError, match="lacks the right"):
            await call
    await store.close()


async def test_key_names_denied_to_the_user_are_reported(guarded_valkey: ValkeyServer, guarded_raw: Any) -> None:
    guarded_raw.execute_command("ACL", "SETUSER", "narrow", "reset", "on", ">hunter2", "~users::*", "+@all")
    async with at(guarded_valkey, "narrow", "hunter2", default_collection="users") as store:
        await store.put("key", {"n": 1})
        with pytest.raises(StoreSetupError, match="lacks the right"):
            await store.put("key", {"n": 1}, collection="others")
    await failure_of(at(guarded_valkey, "narrow", "hunter2"), StoreSetupError, "lacks the right")


async def test_the_documented_permissions_suffice(guarded_valkey: ValkeyServer, guarded_raw: Any) -> None:
    guarded_raw.execute_command("ACL", "SETUSER", "app", "reset", "on", ">hunter2", "~*", *documented_rights("valkey"))
    async with at(guarded_valkey, "app", "hunter2") as store:
        await use_everything(store)
    guarded_raw.execute_command("ACL", "SETUSER", "app", "+select")
    async with at(guarded_valkey, "app", "hunter2", db=1) as store:
        await use_everything(store)


async def test_the_documented_permissions_suffice_on_a_cluster(valkey_cluster: ValkeyCluster, raw_cluster: Any) -> None:
    everywhere = {"target_nodes": raw_cluster.PRIMARIES}
    rights = [*documented_rights("valkey"), "+cluster|slots", "+ping"]
    raw_cluster.execute_command("ACL", "SETUSER", "app", "reset", "on", ">hunter2", "~*", *rights, **everywhere)
    try:
        url = valkey_cluster.url.replace("valkey://", "valkey://app:hunter2@")
        async with ValkeyStore.from_url(f"{url}?cluster=true") as store:
            await use_everything(store)
    finally:
        raw_cluster.execute_command("ACL", "DELUSER", "app", **everywhere)


# Unreachable and unsuitable servers


async def test_a_refused_connection_is_reported(unused_port: int) -> None:
    store = ValkeyStore.from_url(f"valkey://:hunter2@127.0.0.1:{unused_port}", timeout=10)
    assert await failure_of(store, StoreConnectionError, "connection refused") == (
        f"ValkeyStore(valkey://127.0.0.1:{unused_port}/0) cannot be reached: connection refused"
    )


async def test_a_refused_connection_to_a_cluster_is_reported(unused_port: int) -> None:
    store = ValkeyStore(host="127.0.0.1", port=unused_port, cluster=True, timeout=10)
    await failure_of(store, StoreConnectionError, "connection refused")


async def test_an_unknown_host_is_reported() -> None:
    # RFC 6761: names under .invalid never resolve.
    await failure_of(ValkeyStore(host="valkey.invalid", timeout=2), StoreConnectionError, "unknown host")


async def test_many_calls_to_an_unreachable_server_fail_in_time(unused_port: int) -> None:
    store = ValkeyStore(host="127.0.0.1", port=unused_port, timeout=10)
    start = time.monotonic()
    outcomes = await asyncio.gather(*(store.get(f"key {number}") for number in range(200)), return_exceptions=True)
    assert time.monotonic() - start < 40
    assert all(isinstance(outcome, StoreConnectionError) for outcome in outcomes)
    assert any("connection refused" in str(outcome) for outcome in outcomes)
    await store.close()


async def test_a_database_number_beyond_the_server_limit_is_reported(url: str) -> None:
    store = ValkeyStore.from_url(f"{url.rpartition('/')[0]}/12345", timeout=2)
    await failure_of(store, StoreSetupError, "the server has no database with this number")


async def test_a_server_outside_a_cluster_is_reported(url: str) -> None:
    store = ValkeyStore.from_url(f"{url.rpartition('/')[0]}?cluster=true")
    await failure_of(store, StoreSetupError, "not a cluster node")


async def test_a_cluster_node_passed_as_a_single_server_is_reported(
    valkey_cluster: ValkeyCluster, raw_cluster: Any
) -> None:
    assert raw_cluster.dbsize() == 0
    store = ValkeyStore.from_url(valkey_cluster.url)
    await check_cluster_node_is_refused(store, "pass cluster=True, or a client or config of a cluster")


async def test_a_value_of_another_valkey_type_is_reported(url: str, raw: Any) -> None:
    raw.hset("default_collection::key", "field", "text")
    async with ValkeyStore.from_url(url) as store:
        with pytest.raises(Exception, match="a value that is not a string is stored") as refusal:
            await store.get("key")
    assert not isinstance(refusal.value, (StoreConnectionError, StoreSetupError))
