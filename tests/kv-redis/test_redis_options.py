"""What a RedisStore is constructed with: a URL, options or a client, with and without TLS and credentials."""

from __future__ import annotations

import asyncio
import re
import shutil
import socket
import time
import traceback
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
import redis
from key_value.aio.errors import BaseKeyValueError, StoreConnectionError, StoreSetupError, StoreTimeoutError
from key_value.aio.stores.redis import RedisStore
from pydantic import RedisDsn, SecretStr
from redis.asyncio import Redis
from servers.redis import RedisServer
from workspace import ROOT, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from servers.redis_cluster import RedisCluster

    from tests.conftest import RunServer

USERNAME = "app:user"
WRONG = "hunter2"
PASSWORD = f"{WRONG}@:/#%?&é"

RawRedis: Any = redis.Redis  # which types its answers as those of the sync or of the async client

BAD_URLS: dict[str, Any] = {
    "another scheme": "http://user:hunter2@localhost",
    "no scheme": "user:hunter2@localhost:6379",
    "port that is no number": "redis://user:hunter2@localhost:port",
    "password that is not encoded": "redis://user:a/hunter2@localhost",
    "database that is no number": "redis://localhost?db=hunter2",
    "option that redis-py does not know": "redis://user:hunter2@localhost?colour=red",
    "TLS option that redis-py does not know": "rediss://user:hunter2@localhost?ssl_cert_reqs=perhaps",
    "fragment": "redis://user:hunter2#@localhost",
    "fragment at the end": "redis://user:hunter2@localhost/0#cache",
    "path that is no database": "redis://user:hunter2@localhost/production",
    "path behind the database": "redis://user:hunter2@localhost/9/x",
    "two numbers as a path": "redis://user:hunter2@localhost/1/2",
    "negative database": "redis://user:hunter2@localhost?db=-1",
    "database out of range": "redis://user:hunter2@localhost/4294967296",
    "port out of range": "redis://user:hunter2@localhost:65536",
    "port 0": "redis://user:hunter2@localhost:0",
    "connection limit of 0": "redis://user:hunter2@localhost?max_connections=0",
    "option without a value": "redis://user:hunter2@localhost?client_name=",
    "option given twice": "redis://user:hunter2@localhost?db=1&db=2",
    "space": "redis://user:hunter2 @localhost",
    "line break": "redis://user:hunter2\n@localhost",
    "host of a socket": "unix://user:hunter2@localhost/run/redis.sock",
    "socket without a path": "unix://user:hunter2@",
    "nothing": "",
    "no node of a cluster": [],
    "bad node of a cluster": ["redis://localhost", "user:hunter2@localhost"],
    "database of a cluster": ["redis://user:hunter2@localhost/3"],
    "socket of a cluster": ["unix://user:hunter2@/run/redis.sock"],
}

SECRETIVE: dict[str, tuple[dict[str, Any], str]] = {
    "url": ({"url": "redis://user:hunter2@example.com:7000/3"}, "redis://example.com:7000/3"),
    "IPv6": ({"url": "redis://user:hunter2@[::1]:7000/3"}, "redis://[::1]:7000/3"),
    "IPv6 host": ({"host": "::1", "password": WRONG}, "redis://[::1]:6379/0"),
    "pydantic URL": ({"url": RedisDsn("redis://user:hunter2@example.com:7000/3")}, "redis://example.com:7000/3"),
    "pydantic URLs": (
        {"url": [RedisDsn("redis://:hunter2@a:1"), SecretStr("redis://b:2")]},
        "redis://a:1/0,redis://b:2/0",
    ),
    "secret URL": ({"url": SecretStr("redis://user:hunter2@example.com")}, "redis://example.com:6379/0"),
    "TLS": ({"url": "rediss://:hunter2@example.com"}, "rediss://example.com:6379/0"),
    "option in the url": ({"url": "redis://example.com?password=hunter2"}, "redis://example.com:6379/0"),
    "unix socket": ({"url": "unix://user:hunter2@/run/redis.sock?db=3"}, "unix:///run/redis.sock?db=3"),
    "options": ({"host": "example.com", "username": "user", "password": WRONG}, "redis://example.com:6379/0"),
    "cluster": ({"url": ["redis://:hunter2@a", "redis://:hunter2@b:7000"]}, "redis://a:6379/0,redis://b:7000/0"),
    "client": ({"client": Redis(host="example.com", password=WRONG)}, "redis://example.com:6379/0"),
}


async def serves(store: RedisStore) -> bool:
    async with store:
        await store.put("key", {"n": 1})
        return await store.get("key") == {"n": 1}


def text_of(error: BaseException) -> str:
    return f"{error!r} {''.join(traceback.format_exception(type(error), error, error.__traceback__))}"


# Credentials


@pytest.fixture(scope="module")
def guarded_redis(run_server: RunServer) -> Iterator[RedisServer]:
    with run_server(RedisServer(username=USERNAME, password=PASSWORD)) as server:
        yield server


def credentials(username: str = USERNAME, password: str = PASSWORD) -> str:
    return f"{quote(username, safe='')}:{quote(password, safe='')}"


async def test_a_url_carries_percent_encoded_credentials(guarded_redis: RedisServer) -> None:
    assert "hunter2@" not in guarded_redis.url
    assert await serves(RedisStore(url=guarded_redis.url))


async def test_options_carry_credentials(guarded_redis: RedisServer) -> None:
    host, port = guarded_redis.host, guarded_redis.port
    assert await serves(RedisStore(host=host, port=port, db=3, username=USERNAME, password=PASSWORD))
    with RawRedis(host=host, port=port, db=3, username=USERNAME, password=PASSWORD) as raw:
        assert raw.exists("default_collection::key") == 1


async def test_options_carry_the_credentials_that_a_url_leaves_out(guarded_redis: RedisServer) -> None:
    url = f"redis://{guarded_redis.address}"
    assert await serves(RedisStore(url=url, username=USERNAME, password=PASSWORD))


async def test_credentials_may_be_pydantic_s_secrets(guarded_redis: RedisServer) -> None:
    url = SecretStr(guarded_redis.url)
    assert await serves(RedisStore(url=url))
    host, port = guarded_redis.host, guarded_redis.port
    assert await serves(RedisStore(host=host, port=port, username=USERNAME, password=SecretStr(PASSWORD)))


@pytest.mark.parametrize("option", [{"port": 0}, {"port": 65536}, {"db": -1}, {"db": 2**31}], ids=repr)
def test_a_port_or_database_out_of_range_is_refused(option: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"options must give a (port|db) from"):
        RedisStore(**option)


async def test_a_password_alone_is_that_of_the_default_user(run_server: RunServer) -> None:
    with run_server(RedisServer(password=PASSWORD)) as server:
        assert await serves(RedisStore(url=server.url))
        assert await serves(RedisStore(host=server.host, port=server.port, password=PASSWORD))


@pytest.mark.parametrize(
    "user", [credentials(password=WRONG), credentials(username="nobody", password=WRONG), ""], ids=repr
)
async def test_credentials_that_redis_refuses_are_a_setup_error_at_once(guarded_redis: RedisServer, user: str) -> None:
    start = time.monotonic()
    store = RedisStore(url=f"redis://{user}@{guarded_redis.address}")
    with pytest.raises(StoreSetupError, match="wrong user name or password") as refusal:
        await store.get("key")
    with pytest.raises(StoreSetupError, match="wrong user name or password"):
        await store.setup()
    await store.close()
    # By default redis-py tries eleven times, which takes over four seconds.
    assert time.monotonic() - start < 4
    assert "hunter2" not in text_of(refusal.value)


async def test_a_command_that_the_user_may_not_run_is_a_setup_error(guarded_redis: RedisServer) -> None:
    with RawRedis(host=guarded_redis.host, port=guarded_redis.port, username=USERNAME, password=PASSWORD) as raw:
        raw.execute_command("ACL", "SETUSER", "reader", "on", ">hunter2", "~*", "+get")
    store = RedisStore(url=f"redis://reader:hunter2@{guarded_redis.address}")
    assert await store.get("absent") is None
    for call in (store.put("key", {"n": 1}), store.setup()):
        with pytest.raises(StoreSetupError, match="lacks the right"):
            await call
    await store.close()


async def test_the_documented_rights_are_enough(guarded_redis: RedisServer) -> None:
    with RawRedis(host=guarded_redis.host, port=guarded_redis.port, username=USERNAME, password=PASSWORD) as raw:
        raw.execute_command("ACL", "SETUSER", "app", "on", ">hunter2", "~*", *documented_rights())
        raw.flushdb()
    async with RedisStore(url=f"redis://app:hunter2@{guarded_redis.address}") as store:
        await use_everything(store)


async def test_the_documented_rights_are_enough_on_a_cluster(redis_cluster: RedisCluster, raw_cluster: Any) -> None:
    rights = [*documented_rights(), "+cluster|slots", "+asking"]
    everywhere = {"target_nodes": raw_cluster.PRIMARIES}
    raw_cluster.execute_command("ACL", "SETUSER", "app", "on", ">hunter2", "~*", *rights, **everywhere)
    urls = [url.replace("redis://", "redis://app:hunter2@") for url in redis_cluster.urls]
    async with RedisStore(url=urls) as store:
        await use_everything(store)
    raw_cluster.execute_command("ACL", "DELUSER", "app", **everywhere)


def documented_rights() -> list[str]:
    [rights] = re.findall(r"`ACL SETUSER app on >… ~\* ([^`]+)`", (ROOT / "docs/backends/redis.md").read_text())
    return rights.split()


async def use_everything(store: RedisStore) -> None:
    await store.put("key", {"n": 1}, ttl=60)
    await store.put_many(["a", "b"], [{"n": 2}] * 2)
    await store.put_many(["c", "d"], [{"n": 3}] * 2, ttl=60)
    assert await store.get_many(["key", "a", "c"]) == [{"n": 1}, {"n": 2}, {"n": 3}]
    version = (await store.get_versioned("key")).version
    assert version is not None
    assert await store.put_if_version("key", {"n": 4}, version) is True
    assert await store.put_if_absent("key", {"n": 5}) is False
    assert await store.delete_if_version("key", version) is False
    assert sorted(await store.keys()) == ["a", "b", "c", "d", "key"]
    assert await store.delete("key") is True
    assert await store.delete_many(["a", "b"]) == 2
    assert await store.destroy_collection("default_collection") is True


@pytest.mark.parametrize(("options", "shown"), SECRETIVE.values(), ids=SECRETIVE)
def test_a_repr_shows_where_and_not_who(options: dict[str, Any], shown: str) -> None:
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


async def test_a_url_carries_the_options_of_redis_py(url: str, raw: Any) -> None:
    name = "test_a_url_carries_the_options_of_redis_py"
    async with RedisStore(url=f"{url}?db=3&client_name={name}&socket_keepalive=yes&health_check_interval=30") as store:
        await store.get("key")
        [connection] = [client for client in raw.client_list() if client["name"] == name]
    assert connection["db"] == "3"


async def test_the_socket_timeout_of_a_url_is_kept(private_redis: RedisServer) -> None:
    async with RedisStore(url=f"{private_redis.url}?socket_timeout=2", timeout=60.0) as store:
        await store.get("key")
        private_redis.pause()
        start = time.monotonic()
        with pytest.raises(StoreTimeoutError):
            await store.get("key")
        assert time.monotonic() - start < 30


async def test_the_connection_limit_of_a_url_is_kept(url: str, raw: Any) -> None:
    name = "test_the_connection_limit_of_a_url_is_kept"
    async with RedisStore(url=f"{url}?max_connections=2&client_name={name}") as store:
        big = [asyncio.create_task(store.put(f"big {number}", {"text": "x" * 5_000_000})) for number in range(5)]
        while not all(task.done() for task in big):
            await store.get("small")
        assert len([client for client in raw.client_list() if client["name"] == name]) == 2


@pytest.mark.parametrize("options", ["", "?db=3"])
async def test_a_url_may_be_a_unix_socket(redis_server: RedisServer, options: str) -> None:
    if redis_server.external_url:
        pytest.skip(f"{redis_server.environment_variable} names a server whose socket is not known here")
    assert await serves(RedisStore(url=f"unix://{redis_server.socket_path}{options}"))


async def test_a_unix_socket_takes_credentials(guarded_redis: RedisServer) -> None:
    assert await serves(RedisStore(url=f"unix://{credentials()}@{guarded_redis.socket_path}"))


@pytest.mark.parametrize("url", BAD_URLS.values(), ids=BAD_URLS)
def test_a_bad_url_is_refused_and_not_shown(url: Any) -> None:
    with pytest.raises(ValueError, match=r"url|options") as refusal:
        RedisStore(url=url)
    assert "hunter2" not in text_of(refusal.value)


# Limits, and what a constructor may do


def test_a_client_and_a_url_are_refused() -> None:
    with pytest.raises(ValueError, match="not both"):
        RedisStore(client=Redis(), url="redis://localhost")


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


# TLS

OPENSSL_CONFIG = """
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[server]
basicConstraints = CA:FALSE
subjectAltName = DNS:localhost
authorityKeyIdentifier = keyid
"""


class Certificates:
    """Two authorities, and a certificate for `localhost` that the first one signed; made by openssl."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "openssl.cnf").write_text(OPENSSL_CONFIG)
        self.authority = self._make("authority")
        self.other_authority = self._make("other_authority", extensions="authority")
        key = folder / "authority.key"
        self.server = self._make("server", "-CA", self.authority, "-CAkey", str(key))
        self.server_key = str(folder / "server.key")

    def _make(self, name: str, *arguments: str, extensions: str = "") -> str:
        certificate = str(self._folder / f"{name}.crt")
        run(
            *("openssl", "req", "-x509", "-config", self._folder / "openssl.cnf", "-days", "2"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"),
            *("-subj", f"/CN={name}", "-extensions", extensions or name),
            *("-keyout", self._folder / f"{name}.key", "-out", certificate, *arguments),
        )
        return certificate


class TlsRedisServer(RedisServer):
    def __init__(self, certificates: Certificates, clients: str) -> None:
        super().__init__(private=True)
        self._options = ["--tls-cert-file", certificates.server, "--tls-key-file", certificates.server_key]
        self._options += ["--tls-ca-cert-file", certificates.authority, "--tls-auth-clients", clients]

    @property
    def tls_port(self) -> int:
        # Free as well, because a cluster would need it.
        return self.port + 10_000

    def command(self) -> list[str]:
        return [*super().command(), "--tls-port", str(self.tls_port), *self._options]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: apt-get install openssl")
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def tls_redis(run_server: RunServer, certificates: Certificates) -> Iterator[TlsRedisServer]:
    with run_server(TlsRedisServer(certificates, clients="no")) as server:
        yield server


async def test_a_rediss_url_uses_tls(tls_redis: TlsRedisServer, certificates: Certificates) -> None:
    url = f"rediss://localhost:{tls_redis.tls_port}"
    assert await serves(RedisStore(url=url, ssl_ca_certs=certificates.authority))
    assert await serves(RedisStore(url=f"{url}?ssl_ca_certs={quote(certificates.authority)}"))


async def test_the_option_ssl_uses_tls(tls_redis: TlsRedisServer, certificates: Certificates) -> None:
    options: dict[str, Any] = {"port": tls_redis.tls_port, "ssl": True}
    assert await serves(RedisStore(**options, ssl_ca_certs=certificates.authority))
    assert await serves(RedisStore(**options, ssl_cert_reqs="none"))


async def test_a_file_for_tls_uses_tls(tls_redis: TlsRedisServer, certificates: Certificates) -> None:
    assert await serves(RedisStore(port=tls_redis.tls_port, ssl_ca_certs=certificates.authority))


@pytest.mark.parametrize("options", [{}, {"ssl_cert_reqs": "required"}], ids=["default", "required"])
async def test_a_server_of_another_authority_is_not_trusted(
    tls_redis: TlsRedisServer, certificates: Certificates, options: dict[str, Any]
) -> None:
    url = f"rediss://localhost:{tls_redis.tls_port}"
    store = RedisStore(url=url, ssl_ca_certs=certificates.other_authority, **options)
    with pytest.raises(StoreSetupError, match="the certificate was refused"):
        await store.get("key")
    await store.close()


async def test_a_server_of_another_name_is_not_trusted(tls_redis: TlsRedisServer, certificates: Certificates) -> None:
    url, authority = f"rediss://127.0.0.1:{tls_redis.tls_port}", certificates.authority
    store = RedisStore(url=url, ssl_ca_certs=authority)
    with pytest.raises(StoreSetupError, match="the certificate was refused"):
        await store.get("key")
    await store.close()
    assert await serves(RedisStore(url=url, ssl_ca_certs=authority, ssl_check_hostname=False))


async def test_a_client_shows_its_certificate(run_server: RunServer, certificates: Certificates) -> None:
    options: dict[str, Any] = {"ssl": True, "ssl_ca_certs": certificates.authority}
    with run_server(TlsRedisServer(certificates, clients="yes")) as server:
        store = RedisStore(port=server.tls_port, **options)
        with pytest.raises(StoreConnectionError):
            await store.get("key")
        await store.close()
        options.update(ssl_certfile=certificates.server, ssl_keyfile=certificates.server_key)
        assert await serves(RedisStore(port=server.tls_port, **options))


async def test_plain_text_to_a_tls_port_is_a_connection_error(tls_redis: TlsRedisServer) -> None:
    store = RedisStore(port=tls_redis.tls_port)
    with pytest.raises(StoreConnectionError):
        await store.get("key")
    await store.close()


async def test_closing_does_not_wait_for_a_frozen_server(run_server: RunServer, certificates: Certificates) -> None:
    with run_server(TlsRedisServer(certificates, clients="no")) as server:
        store = RedisStore(port=server.tls_port, ssl=True, ssl_cert_reqs="none", timeout=2)
        await store.put("key", {"n": 1})
        server.pause()
        start = time.monotonic()
        await store.close()
        # asyncio waits 30 s for the other side of a TLS connection to say goodbye.
        assert time.monotonic() - start < 25
        server.resume()
