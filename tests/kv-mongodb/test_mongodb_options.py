"""Addresses, credentials, and errors for invalid options and refusals."""

from __future__ import annotations

import logging
import shutil
import socket
import subprocess
import sys
import time
import traceback
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from key_value.aio.errors import StoreConnectionError, StoreSetupError, StoreTimeoutError
from key_value.aio.stores.mongodb import MongoDBStore
from key_value.aio.stores.mongodb import session as session_module
from key_value.aio.urls import open_store
from pymongo import AsyncMongoClient, IndexModel, MongoClient
from servers.mongodb import MongoDBServer
from workspace import run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import RunServer

SECRET = "hunter2"  # noqa: S105 — looked for in messages
PASSWORD = "p@ss:w/rd"  # noqa: S105 — of a user of the test

BAD_URLS = {
    "another scheme": "redis://user:hunter2@localhost",
    "no host": "mongodb://user:hunter2@",
    "a password that is not escaped": "mongodb://user:hunter2@x/y@localhost",
    "a port that is not a number": "mongodb://user:hunter2@localhost:many",
    "an unknown option": "mongodb://user:hunter2@localhost/?colour=red",
    "an option of another type": "mongodb://user:hunter2@localhost/?maxPoolSize=hunter2",
    "two hosts, one of them empty": "mongodb://user:hunter2@localhost,:1",
    "a port with srv": "mongodb+srv://user:hunter2@localhost:27017",
    "nothing acknowledged": "mongodb://user:hunter2@localhost/?w=0",
}

SHOWN: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "mongodb://127.0.0.1:27017, kv-store-adapter"),
    "a URL": ({"url": "mongodb://user:hunter2@host/admin", "db_name": "app"}, "mongodb://host:27017, app"),
    "several hosts": (
        {"url": "mongodb://user:hunter2@a:1,b:2/?replicaSet=r"},
        "mongodb://a:1,b:2, kv-store-adapter",
    ),
    "srv": ({"url": "mongodb+srv://user:hunter2@cluster.example.com/?w=majority"}, "mongodb+srv://cluster.example.com"),
}


async def works(store: Any) -> bool:
    async with store:
        await store.put("key", {"n": 1})
        return await store.get("key") == {"n": 1}


def text_of(error: BaseException) -> str:
    return f"{error!r} {''.join(traceback.format_exception(type(error), error, error.__traceback__))}"


# Options


@pytest.mark.parametrize("url", BAD_URLS.values(), ids=BAD_URLS)
def test_a_bad_url_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ValueError, match=r"url must be|w=0") as refusal:
        MongoDBStore(url=url)
    assert SECRET not in text_of(refusal.value)


@pytest.mark.parametrize(("options", "shown"), SHOWN.values(), ids=SHOWN)
def test_a_repr_shows_where_and_not_who(options: dict[str, Any], shown: str) -> None:
    assert shown in repr(MongoDBStore(**options))
    assert SECRET not in repr(MongoDBStore(**options))


def test_a_constructor_needs_no_event_loop_and_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("socket", "getaddrinfo", "gethostbyname"):
        monkeypatch.delattr(socket, name)
    assert "host.invalid" in repr(MongoDBStore(url="mongodb+srv://host.invalid"))


def test_the_driver_is_imported_when_a_store_is_constructed() -> None:
    program = """
import sys
from key_value.aio.stores.mongodb import MongoDBStore
assert not {"pymongo", "bson"} & sys.modules.keys()
MongoDBStore()
assert "pymongo" in sys.modules
"""
    assert run(sys.executable, "-c", program) == ""


@pytest.mark.parametrize("name", ["", "a b", "a.b", "a/b", "a$b", "n" * 64, "a\0b"])
def test_an_invalid_database_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="db_name"):
        MongoDBStore(db_name=name)


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan")])
def test_an_invalid_timeout_is_refused(limit: float) -> None:
    with pytest.raises(ValueError, match="above zero"):
        MongoDBStore(timeout=limit)


async def test_another_kind_of_client_is_refused() -> None:
    with MongoClient[Any](connect=False) as client, pytest.raises(TypeError, match="AsyncMongoClient"):
        MongoDBStore(client=client)
    async with AsyncMongoClient[Any](w=0) as client:
        with pytest.raises(ValueError, match="w=0"):
            MongoDBStore(client=client)
        with pytest.raises(ValueError, match="not both"):
            MongoDBStore(client=client, url="mongodb://localhost")


async def test_a_url_opens_a_store_in_the_database_of_its_path(url: str, raw: Any) -> None:
    base = url.rstrip("/")
    assert await works(open_store(f"{base}/{raw.name}?timeout=70&default_collection=users&appName=opened"))
    assert raw["users"].count_documents({"key": "key"}) == 1
    assert await works(open_store(f"{base}/?db_name={raw.name}&maxPoolSize=3"))
    assert raw["default_collection"].count_documents({"key": "key"}) == 1


def test_a_url_may_name_several_hosts() -> None:
    store = open_store("mongodb://user:hunter2@a:1,b:2,[::1]:3/app?replicaSet=rs&timeout=30")
    assert repr(store) == "MongoDBStore(mongodb://a:1,b:2,[::1]:3, app)"


@pytest.mark.parametrize("option", ["timeout=long", "auto_create=perhaps", "colour=red"])
def test_an_invalid_option_in_a_url_is_refused(option: str) -> None:
    with pytest.raises(ValueError, match=r"timeout|auto_create|pymongo does not know colour"):
        open_store(f"mongodb://user:hunter2@localhost/app?{option}")


async def test_a_missing_collection_without_auto_create_is_a_setup_error(url: str, raw: Any) -> None:
    async with MongoDBStore(url=url, db_name=raw.name, auto_create=False, timeout=30) as store:
        assert await store.get("a", collection="users") is None
        with pytest.raises(StoreSetupError, match="'users' does not exist"):
            await store.put("a", {"n": 1}, collection="users")
        raw.create_collection("users")
        await store.put("a", {"n": 1}, collection="users")
        assert "key_unique" not in raw["users"].index_information()


# Refusals of the server


async def test_a_server_that_refuses_an_index_works_and_the_log_says_so_once(
    url: str, raw: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # As servers do that are only partly compatible with MongoDB.
    for name in ("_EXPIRY", "_UNIQUE"):
        monkeypatch.setattr(session_module, name, IndexModel([("key", "no such kind")], name=f"refused{name}"))
    async with MongoDBStore(url=url, db_name=raw.name, timeout=30) as store:
        with caplog.at_level(logging.WARNING):
            for collection in ("a", "b"):
                await store.put("key", {"n": 1}, collection=collection, ttl=1000)
                await store.put_many(["key", "other"], [{"n": 2}] * 2, collection=collection)
                assert await store.put_if_absent("key", {"n": 3}, collection=collection) is False
                assert await store.get("key", collection=collection) == {"n": 2}
    assert sorted(record.message.partition("refuses ")[2][:14] for record in caplog.records) == [
        "a unique index",
        "an index that ",
    ]


@pytest.mark.parametrize(
    ("place", "reason"), [("host.invalid", "unknown host"), ("127.0.0.1:{port}", "connection refused")]
)
async def test_a_missing_server_is_a_connection_error(unused_port: int, place: str, reason: str) -> None:
    url = f"mongodb://user:hunter2@{place.format(port=unused_port)}/"
    store = MongoDBStore(url=url, timeout=4)
    for call in (store.setup(), store.get("key"), store.put_many(["key"], [{"n": 1}])):
        with pytest.raises(StoreConnectionError, match=reason) as failure:
            await call
        assert SECRET not in text_of(failure.value)
    await store.close()


@pytest.fixture(scope="module")
def guarded(run_server: RunServer) -> Iterator[MongoDBServer]:
    """Yield a server with the users `app:user`, who may read and write, and `reader`, who may read."""
    with run_server(MongoDBServer(private=True)) as server:
        with MongoClient[Any](server.url) as client:
            for name, role in (("app:user", "readWriteAnyDatabase"), ("reader", "readAnyDatabase")):
                client["admin"].command("createUser", name, pwd=PASSWORD, roles=[role])
        server.auth = True
        server.restart()
        yield server


def url_of(server: MongoDBServer, user: str = "app:user", password: str = PASSWORD) -> str:
    credentials = f"{quote(user, safe='')}:{quote(password, safe='')}"
    return f"mongodb://{credentials}@{server.host}:{server.port}/?authSource=admin"


async def test_credentials_in_a_url_may_be_percent_encoded(guarded: MongoDBServer) -> None:
    assert await works(MongoDBStore(url=url_of(guarded), timeout=30))


@pytest.mark.parametrize("credentials", [("app:user", SECRET), ("nobody", SECRET)])
async def test_a_wrong_password_is_reported_at_once(guarded: MongoDBServer, credentials: tuple[str, str]) -> None:
    store = MongoDBStore(url=url_of(guarded, *credentials), timeout=30)
    start = time.monotonic()
    for call in (store.setup(), store.get("key"), store.put_many(["key"], [{"n": 1}])):
        with pytest.raises(StoreSetupError, match="wrong user name or password") as refusal:
            await call
        assert not isinstance(refusal.value, StoreConnectionError)
        assert SECRET not in text_of(refusal.value)
    # Waiting for the timeout would take three times 30 seconds.
    assert time.monotonic() - start < 60
    await store.close()


async def test_missing_credentials_are_reported(guarded: MongoDBServer) -> None:
    store = MongoDBStore(url=guarded.url, timeout=30)
    with pytest.raises(StoreSetupError, match=r"lacks a right|none where one is required"):
        await store.setup()
    await store.close()


async def test_a_read_only_user_can_read_and_setup_reports_the_missing_permission(guarded: MongoDBServer) -> None:
    async with MongoDBStore(url=url_of(guarded), timeout=30) as store:
        await store.put("read", {"n": 1})
    reader = MongoDBStore(url=url_of(guarded, "reader"), timeout=30)
    assert await reader.get("read") == {"n": 1}
    assert "read" in await reader.keys()
    for call in (reader.setup(), reader.put("read", {"n": 2}), reader.delete("read")):
        with pytest.raises(StoreSetupError, match="lacks a right"):
            await call
    await reader.close()


async def test_a_frozen_server_is_a_timeout_that_names_the_option(private_mongodb: MongoDBServer) -> None:
    async with MongoDBStore(url=private_mongodb.url, timeout=5) as store:
        await store.put("key", {"n": 1})
        private_mongodb.pause()
        with pytest.raises(StoreTimeoutError, match="timeout"):
            await store.get("key")
        private_mongodb.resume()


# TLS

OPENSSL_CONFIG = """
[req]
distinguished_name = name
[name]
[server]
basicConstraints = critical, CA:TRUE
subjectAltName = DNS:localhost
"""


class TlsServer(MongoDBServer):
    """A server with a self-signed certificate for `localhost`."""

    def prepare(self) -> None:
        (self.directory / "openssl.cnf").write_text(OPENSSL_CONFIG)
        names = ("-keyout", str(self.directory / "server.key"), "-out", str(self.directory / "server.crt"))
        command = [
            *("openssl", "req", "-x509", "-config", str(self.directory / "openssl.cnf"), "-days", "2"),
            *("-subj", "/CN=localhost", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"),
        ]
        subprocess.run([*command, "-extensions", "server", *names], check=True, capture_output=True)  # noqa: S603 — ours

    @property
    def certificate(self) -> Path:
        return self.directory / "server.crt"


@pytest.fixture(scope="module")
def tls(run_server: RunServer) -> Iterator[TlsServer]:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: apt-get install openssl")
    with run_server(TlsServer(tls=True)) as server:
        yield server


async def test_tls_is_enabled_by_url(tls: TlsServer) -> None:
    options = f"tls=true&tlsCAFile={quote(str(tls.certificate), safe='')}"
    assert await works(MongoDBStore(url=f"mongodb://localhost:{tls.port}/?{options}", timeout=30))


async def test_an_untrusted_certificate_is_refused(tls: TlsServer) -> None:
    store = MongoDBStore(url=f"mongodb://localhost:{tls.port}/?tls=true", timeout=10)
    with pytest.raises(StoreSetupError, match="the certificate was refused"):
        await store.setup()
    await store.close()
