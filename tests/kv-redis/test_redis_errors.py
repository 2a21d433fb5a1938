"""Types and messages of errors."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest
import redis
from key_value.aio.errors import KeyValueStoreError, StoreConnectionError, StoreSetupError
from key_value.aio.stores.base import resp
from key_value.aio.stores.redis import RedisStore
from redis.asyncio import Redis
from redis_cases import check_cluster_node_is_refused

if TYPE_CHECKING:
    from pathlib import Path

    from servers.redis import RedisServer
    from servers.redis_cluster import RedisCluster

SyncRedis: Any = redis.Redis  # annotated to return either plain values or awaitables
Client: Any = Redis  # with untyped options


async def text_of_failure(store: RedisStore, kind: type[Exception]) -> str:
    """Return the message that `setup` and a call share."""
    with pytest.raises(kind) as of_call:
        await store.get("key")
    with pytest.raises(kind) as of_setup:
        await store.setup()
    assert type(of_call.value) is type(of_setup.value) is kind
    assert str(of_call.value) == str(of_setup.value)
    await store.close()
    return str(of_call.value)


async def test_a_refused_connection_is_reported(unused_port: int) -> None:
    store = RedisStore(url=f"redis://user:hunter2@127.0.0.1:{unused_port}/0")
    assert await text_of_failure(store, StoreConnectionError) == (
        f"RedisStore(redis://127.0.0.1:{unused_port}/0) cannot be reached: connection refused"
    )


async def test_a_refused_connection_to_a_host_with_several_addresses_is_reported(unused_port: int) -> None:
    store = RedisStore(host="localhost", port=unused_port)
    assert (await text_of_failure(store, StoreConnectionError)).endswith(": connection refused")


async def test_an_unknown_host_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert (await text_of_failure(RedisStore(host="redis.invalid"), StoreConnectionError)).endswith(": unknown host")


async def test_a_database_number_beyond_the_server_limit_is_reported(url: str) -> None:
    store = RedisStore(url=f"{url.rpartition('/')[0]}/12345")
    assert (await text_of_failure(store, StoreSetupError)).endswith("the server has no database with this number")


@pytest.mark.parametrize("content", [None, "no certificate"], ids=["absent", "not PEM"])
async def test_an_unusable_tls_file_is_reported(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "authority.pem"
    if content is not None:
        path.write_text(content)
    text = await text_of_failure(RedisStore(url="rediss://127.0.0.1", ssl_ca_certs=str(path)), StoreSetupError)
    assert "the TLS files cannot be used: " in text
    assert content is not None or "no such file" in text


async def test_a_cluster_node_passed_as_a_single_server_is_reported(
    redis_cluster: RedisCluster, raw_cluster: Any
) -> None:
    assert raw_cluster.dbsize() == 0
    store = RedisStore(url=redis_cluster.urls[0])
    await check_cluster_node_is_refused(store, "pass its URL in a list, or a RedisCluster")


async def test_a_value_of_another_redis_type_is_reported(store: RedisStore, raw: Any) -> None:
    raw.hset("default_collection::key", "field", "text")
    with pytest.raises(KeyValueStoreError, match="a value that is not a string is stored"):
        await store.get("key")


async def test_a_server_out_of_memory_is_reported_by_a_write_and_by_setup(private_redis: RedisServer) -> None:
    async with RedisStore(url=private_redis.url) as store:
        with SyncRedis.from_url(private_redis.url) as raw:
            raw.config_set("maxmemory", 1)
        for call in (store.put("key", {"n": 1}), store.setup()):
            with pytest.raises(KeyValueStoreError, match="out of memory"):
                await call


async def test_a_replica_is_reported_by_setup(private_redis: RedisServer) -> None:
    with SyncRedis.from_url(private_redis.url) as raw:
        raw.replicaof(private_redis.host, private_redis.port + 1)
    store = RedisStore(url=private_redis.url)
    with pytest.raises(StoreConnectionError, match="the server is a replica"):
        await store.setup()
    await store.close()


async def test_setup_stores_nothing(store: RedisStore, raw: Any) -> None:
    await store.setup()
    assert raw.dbsize() == 0


@pytest.mark.parametrize("error", [AttributeError("mistake"), TypeError("mistake")], ids=repr)
@pytest.mark.parametrize("passed_in", ["url", "client"])
async def test_a_programming_error_is_not_reported_as_a_lost_connection(
    url: str, raw: Any, error: Exception, passed_in: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: bytes) -> Any:
        raise error

    async with Client.from_url(url) as client:
        store = RedisStore(client=client) if passed_in == "client" else RedisStore(url=url)
        await store.put("key", {"n": 1})
        assert raw.dbsize() == 1
        monkeypatch.setattr(resp, "load_entry", fail)
        with pytest.raises(type(error), match="mistake"):
            await store.get("key")
        await store.close()


@pytest.mark.parametrize("client", [redis.Redis(), "redis://localhost"], ids=["sync", "text"])
@pytest.mark.filterwarnings("ignore::key_value.aio.core.type_checks.TypeViolationWarning")
def test_a_client_not_for_asyncio_is_refused_by_the_constructor(client: Any) -> None:
    with pytest.raises(TypeError, match=r"redis\.asyncio"):
        RedisStore(client=client)
