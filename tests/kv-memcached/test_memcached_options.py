"""Options, URLs and clients of a MemcachedStore, and what destroying it removes."""

from __future__ import annotations

import json
import pickle
from typing import TYPE_CHECKING, Any

import pytest
from aiomcache import Client
from key_value.aio.errors import KeyValueStoreError, StoreConnectionError
from key_value.aio.stores.memcached import MemcachedStore
from key_value.aio.urls import open_store
from probes import serves
from servers.memcached import MemcachedServer

if TYPE_CHECKING:
    from tests.conftest import RunServer

BAD_OPTIONS: dict[str, dict[str, Any]] = {
    "no host": {"host": ""},
    "host with a label that is too long": {"host": "x" * 64 + ".example.com"},
    "host with a null character": {"host": "local\0host"},
    "port 0": {"port": 0},
    "port beyond 65535": {"port": 65_536},
    "timeout 0": {"timeout": 0},
    "negative timeout": {"timeout": -1},
    "timeout NaN": {"timeout": float("nan")},
    "items without room for a name": {"max_item_bytes": 100},
}

BAD_URLS = {
    "user": "memcached://user:hunter2@localhost",
    "path": "memcached://localhost/0",
    "unknown option": "memcached://localhost?colour=red",
    "port that is not a number": "memcached://localhost:port",
    "fragment": "memcached://localhost#1",
}


# Options


@pytest.mark.parametrize("options", BAD_OPTIONS.values(), ids=BAD_OPTIONS)
def test_invalid_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must"):
        MemcachedStore(**options)


@pytest.mark.parametrize("url", BAD_URLS.values(), ids=BAD_URLS)
def test_a_url_with_an_unsupported_part_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r".") as refusal:
        open_store(url)
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("memcached://", "memcached://127.0.0.1:11211"),
        ("memcached://cache.example.com", "memcached://cache.example.com:11211"),
        ("memcached://cache.example.com:7000/", "memcached://cache.example.com:7000"),
        ("memcached://[::1]:7000?timeout=2", "memcached://[::1]:7000"),
    ],
)
def test_a_url_names_the_server(url: str, shown: str) -> None:
    assert repr(open_store(url)) == f"MemcachedStore({shown})"


def test_url_options_are_passed_to_the_constructor() -> None:
    store = open_store("memcached://localhost?default_collection=users&max_item_bytes=8388608&timeout=0.5")
    assert isinstance(store, MemcachedStore)
    assert store.default_collection == "users"
    assert store.capabilities.max_value_bytes == 8 * 1024 * 1024 - 309


async def test_a_store_opened_by_url_serves(url: str) -> None:
    store = open_store(url, require={"conditional_writes", "native_expiry"})
    assert isinstance(store, MemcachedStore)
    assert await serves(store)


def test_a_store_that_evicts_entries_is_not_durable() -> None:
    with pytest.raises(Exception, match="durable"):
        open_store("memcached://", require={"durable"})


async def test_a_pickled_store_serves(raw: Any) -> None:
    host, port = raw.address
    assert await serves(pickle.loads(pickle.dumps(MemcachedStore(host=host, port=port))))  # noqa: S301 — trusted data


async def test_a_larger_item_fits_when_both_server_and_store_allow_it(run_server: RunServer) -> None:
    with run_server(MemcachedServer("-I", "8m")) as server:
        async with MemcachedStore(host=server.host, port=server.port, max_item_bytes=8 * 1024 * 1024) as store:
            await store.put("key", {"text": "x" * 7_000_000})
            assert await store.get("key") == {"text": "x" * 7_000_000}


# Clients


async def test_a_client_supplies_the_address_and_is_neither_used_nor_closed(raw: Any) -> None:
    client = Client(*raw.address)
    await client.set(b"raw", b"1")
    connections = raw.statistics()["curr_connections"]
    assert await serves(MemcachedStore(client=client))
    assert raw.statistics()["curr_connections"] >= connections
    assert await client.get(b"raw") == b"1"
    await client.close()


async def test_the_connection_arguments_of_a_client_are_used(raw: Any) -> None:
    client = Client(*raw.address, conn_args={"local_addr": ("127.0.0.2", 0), "limit": 1024})
    store = MemcachedStore(client=client)
    assert await serves(store)
    refused = MemcachedStore(client=Client(*raw.address, conn_args={"local_addr": ("192.0.2.1", 0)}))
    with pytest.raises(StoreConnectionError):
        await refused.get("key")


# Unreachable servers


async def test_a_refused_connection_is_reported(unused_port: int) -> None:
    for host in ("127.0.0.1", "localhost"):
        store = MemcachedStore(host=host, port=unused_port)
        with pytest.raises(StoreConnectionError, match="connection refused"):
            await store.setup()


async def test_an_unknown_host_is_reported() -> None:
    store = MemcachedStore(host="cache.invalid")
    with pytest.raises(StoreConnectionError, match="unknown host"):
        await store.setup()


# Destroying


async def test_destroy_removes_entries_under_every_kind_of_name_and_nothing_else(raw: Any) -> None:
    host, port = raw.address
    async with MemcachedStore(host=host, port=port) as store:
        for collection in ("shelf", "a::b", "a b"):
            await store.put_many(["plain", "a b", "k" * 400, "é"], [{"n": 1}] * 4, collection=collection)
        moved = raw.get("shelf::plain")
        others = {"foreign": b"text", "foreign::text": b"text", "shelf::moved": moved, "other::json": b'{"value": {}}'}
        for name, text in others.items():
            raw.set(name, text)
        assert await store.destroy() is True
        assert set(raw.names()) == {name.replace("::", "%3A%3A") for name in others}
        assert {name: raw.get(name) for name in others} == others


async def test_destroy_removes_entries_of_the_predecessor(raw: Any) -> None:
    host, port = raw.address
    envelope = {"collection": "a::b", "key": "c", "value": {"n": 1}, "version": 1}
    raw.set("a::b::c", json.dumps(envelope).encode())
    async with MemcachedStore(host=host, port=port) as store:
        await store.destroy()
    assert raw.get("a::b::c") is None


async def test_ten_thousand_entries_are_put_read_and_destroyed(raw: Any) -> None:
    host, port = raw.address
    keys = [f"key {number}" for number in range(10_000)]
    async with MemcachedStore(host=host, port=port) as store:
        await store.put_many(keys, [{"key": key} for key in keys])
        assert await store.get_many(keys) == [{"key": key} for key in keys]
        await store.destroy()
        assert raw.names() == {}


async def test_a_server_that_cannot_list_its_items_is_reported(run_server: RunServer) -> None:
    with run_server(MemcachedServer("-o", "no_lru_crawler")) as server:
        async with MemcachedStore(host=server.host, port=server.port) as store:
            await store.put("key", {"n": 1})
            with pytest.raises(KeyValueStoreError, match="does not list"):
                await store.destroy()
            assert await store.get("key") == {"n": 1}
