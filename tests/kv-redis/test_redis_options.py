"""Construct a RedisStore from a URL, options or a client."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.errors import BaseKeyValueError, StoreTimeoutError
from key_value.aio.stores.redis import RedisStore
from key_value.aio.urls import open_store
from probes import serves, text_of
from pydantic import RedisDsn, SecretStr
from redis.asyncio import Redis

if TYPE_CHECKING:
    from servers.redis import RedisServer


HIDDEN = "hunter2"

BAD_URLS: dict[str, Any] = {
    "another scheme": "http://user:hunter2@localhost",
    "no scheme": "user:hunter2@localhost:6379",
    "port that is not a number": "redis://user:hunter2@localhost:port",
    "password that is not encoded": "redis://user:a/hunter2@localhost",
    "database that is not a number": "redis://localhost?db=hunter2",
    "option unknown to redis-py": "redis://user:hunter2@localhost?colour=red",
    "TLS option unknown to redis-py": "rediss://user:hunter2@localhost?ssl_cert_reqs=perhaps",
    "fragment": "redis://user:hunter2#@localhost",
    "fragment at the end": "redis://user:hunter2@localhost/0#cache",
    "path that is not a database": "redis://user:hunter2@localhost/production",
    "path after the database": "redis://user:hunter2@localhost/9/x",
    "two numbers as a path": "redis://user:hunter2@localhost/1/2",
    "negative database": "redis://user:hunter2@localhost?db=-1",
    "database out of range": "redis://user:hunter2@localhost/4294967296",
    "port out of range": "redis://user:hunter2@localhost:65536",
    "port 0": "redis://user:hunter2@localhost:0",
    "connection limit of 0": "redis://user:hunter2@localhost?max_connections=0",
    "option without a value": "redis://user:hunter2@localhost?client_name=",
    "repeated option": "redis://user:hunter2@localhost?db=1&db=2",
    "space": "redis://user:hunter2 @localhost",
    "line break": "redis://user:hunter2\n@localhost",
    "socket with a host": "unix://user:hunter2@localhost/run/redis.sock",
    "socket without a path": "unix://user:hunter2@",
    "empty": "",
    "cluster without nodes": [],
    "bad cluster node": ["redis://localhost", "user:hunter2@localhost"],
    "cluster with a database": ["redis://user:hunter2@localhost/3"],
    "cluster with a socket": ["unix://user:hunter2@/run/redis.sock"],
}

SECRETIVE: dict[str, tuple[dict[str, Any], str]] = {
    "url": ({"url": "redis://user:hunter2@example.com:7000/3"}, "redis://example.com:7000/3"),
    "IPv6": ({"url": "redis://user:hunter2@[::1]:7000/3"}, "redis://[::1]:7000/3"),
    "IPv6 host": ({"host": "::1", "password": HIDDEN}, "redis://[::1]:6379/0"),
    "pydantic URL": ({"url": RedisDsn("redis://user:hunter2@example.com:7000/3")}, "redis://example.com:7000/3"),
    "pydantic URLs": (
        {"url": [RedisDsn("redis://:hunter2@a:1"), SecretStr("redis://b:2")]},
        "redis://a:1/0,redis://b:2/0",
    ),
    "secret URL": ({"url": SecretStr("redis://user:hunter2@example.com")}, "redis://example.com:6379/0"),
    "TLS": ({"url": "rediss://:hunter2@example.com"}, "rediss://example.com:6379/0"),
    "option in the url": ({"url": "redis://example.com?password=hunter2"}, "redis://example.com:6379/0"),
    "unix socket": ({"url": "unix://user:hunter2@/run/redis.sock?db=3"}, "unix:///run/redis.sock?db=3"),
    "options": ({"host": "example.com", "username": "user", "password": HIDDEN}, "redis://example.com:6379/0"),
    "cluster": ({"url": ["redis://:hunter2@a", "redis://:hunter2@b:7000"]}, "redis://a:6379/0,redis://b:7000/0"),
    "client": ({"client": Redis(host="example.com", password=HIDDEN)}, "redis://example.com:6379/0"),
}


@pytest.mark.parametrize(("options", "shown"), SECRETIVE.values(), ids=SECRETIVE)
def test_a_repr_shows_the_address_without_credentials(options: dict[str, Any], shown: str) -> None:
    assert repr(RedisStore(**options)) == f"RedisStore({shown})"


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
async def test_an_error_shows_no_password(unused_port: int, scheme: str) -> None:
    store = RedisStore(url=f"{scheme}://user:hunter2@localhost:{unused_port}")
    for call in (store.get("key"), store.put_many(["key"], [{"n": 1}]), store.keys(), store.destroy()):
        with pytest.raises(BaseKeyValueError) as failure:
            await call
        assert "hunter2" not in text_of(failure.value)
    await store.close()


# URLs


async def test_a_url_accepts_the_options_of_redis_py(url: str, raw: Any) -> None:
    name = "test_a_url_accepts_the_options_of_redis_py"
    async with RedisStore(url=f"{url}?db=3&client_name={name}&socket_keepalive=yes&health_check_interval=30") as store:
        await store.get("key")
        [connection] = [client for client in raw.client_list() if client["name"] == name]
    assert connection["db"] == "3"


async def test_the_socket_timeout_in_a_url_is_honoured(private_redis: RedisServer) -> None:
    async with RedisStore(url=f"{private_redis.url}?socket_timeout=2", timeout=60.0) as store:
        await store.get("key")
        private_redis.pause()
        start = time.monotonic()
        with pytest.raises(StoreTimeoutError):
            await store.get("key")
        assert time.monotonic() - start < 30


async def test_the_connection_limit_in_a_url_is_honoured(url: str, raw: Any) -> None:
    name = "test_the_connection_limit_in_a_url_is_honoured"
    async with RedisStore(url=f"{url}?max_connections=2&client_name={name}") as store:
        big = [asyncio.create_task(store.put(f"big {number}", {"text": "x" * 5_000_000})) for number in range(5)]
        while not all(task.done() for task in big):
            await store.get("small")
        assert len([client for client in raw.client_list() if client["name"] == name]) == 2


@pytest.mark.parametrize("options", ["", "?db=3"])
async def test_a_url_may_name_a_unix_socket(redis_server: RedisServer, options: str) -> None:
    if redis_server.external_url:
        pytest.skip(f"{redis_server.environment_variable} names a server whose socket is not known here")
    assert await serves(RedisStore(url=f"unix://{redis_server.socket_path}{options}"))


@pytest.mark.parametrize("url", BAD_URLS.values(), ids=BAD_URLS)
def test_a_bad_url_is_refused_and_not_shown(url: Any) -> None:
    with pytest.raises(ValueError, match=r"url|options") as refusal:
        RedisStore(url=url)
    assert "hunter2" not in text_of(refusal.value)


@pytest.mark.parametrize("scheme", ["redis://", "rediss://"])
def test_an_option_of_neither_the_store_nor_redis_py_is_named_with_the_options_of_the_store(scheme: str) -> None:
    url = f"{scheme}user:hunter2@localhost?socket_timeout=2&colour=hunter2"
    expected = (
        r"neither RedisStore nor redis-py has an option 'colour'; the options of RedisStore are \['db', .*'timeout'"
    )
    for create in (lambda: open_store(f"{url}&timeout=2"), lambda: RedisStore(url=url), lambda: RedisStore(url=[url])):
        with pytest.raises(ValueError, match=expected) as refusal:
            create()
        assert "hunter2" not in text_of(refusal.value)


def test_an_option_of_the_store_in_a_url_for_redis_py_is_an_argument() -> None:
    with pytest.raises(ValueError, match="redis-py has no option 'timeout'; pass it to RedisStore as an argument"):
        RedisStore(url="redis://localhost?timeout=2")


# Limits and side effects of the constructor


def test_a_client_together_with_a_url_is_refused() -> None:
    with pytest.raises(ValueError, match="not both"):
        RedisStore(client=Redis(), url="redis://localhost")


@pytest.mark.parametrize("option", [{"port": 0}, {"port": 65536}, {"db": -1}, {"db": 2**31}], ids=repr)
def test_a_port_or_database_out_of_range_is_refused(option: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"options must give a (port|db) from"):
        RedisStore(**option)


@pytest.mark.parametrize("limit", [{"timeout": 0.0}, {"timeout": -1.0}, {"timeout": float("nan")}], ids=repr)
@pytest.mark.parametrize("client", [None, Redis()], ids=["options", "client"])
def test_a_timeout_that_is_not_above_zero_is_refused(limit: dict[str, Any], client: Redis | None) -> None:
    with pytest.raises(ValueError, match="above zero"):
        RedisStore(client=client, **limit)


@pytest.mark.parametrize("timeout", [5, 0.5, None])
async def test_a_timeout_is_a_number_of_seconds_or_none(url: str, timeout: float | None) -> None:
    assert await serves(RedisStore(url=url, timeout=timeout))


@pytest.mark.parametrize("limit", [0, -1])
def test_a_connection_limit_that_is_not_above_zero_is_refused(limit: int) -> None:
    with pytest.raises(ValueError, match="max_connections must be a whole number of at least 1"):
        RedisStore(max_connections=limit)


@pytest.mark.parametrize("url", ["redis://host.invalid", "rediss://host.invalid", ["redis://host.invalid"]], ids=repr)
def test_a_constructor_needs_no_event_loop_and_no_server(url: str | list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("socket", "getaddrinfo", "gethostbyname"):
        monkeypatch.delattr(socket, name)
    assert "host.invalid" in repr(RedisStore(url=url))
