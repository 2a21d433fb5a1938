"""Options of a PostgreSQLStore, and the errors when they are wrong."""

from __future__ import annotations

import asyncio
import shutil
import socket
import time
import traceback
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import asyncpg  # pyright: ignore[reportMissingTypeStubs] — without stubs
import pytest
from key_value.aio.errors import BaseKeyValueError, StoreConnectionError, StoreSetupError
from key_value.aio.stores.postgresql import PostgreSQLStore
from key_value.aio.urls import open_store
from servers.postgresql import PostgreSQLServer
from workspace import run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Raw
    from servers.pgbouncer import PgBouncer

    from tests.conftest import RunServer

Driver: Any = asyncpg  # untyped

SECRET = "hunter2"  # noqa: S105 — a role of the test
PASSWORD = f"{SECRET}@:/#%?&é"

BAD_URLS: dict[str, str] = {
    "another scheme": "mysql://user:hunter2@localhost",
    "SQLAlchemy's scheme": "postgresql+asyncpg://user:hunter2@localhost",
    "no scheme": "user:hunter2@localhost:5432",
    "port that is not a number": "postgresql://user:hunter2@localhost:port",
    "password with a slash": "postgresql://user:a/hunter2@localhost",
    "password with a hash": "postgresql://user:a#hunter2@localhost",
    "password with a question mark": "postgresql://user:a?hunter2@localhost",
    "user and password without a host": "postgresql://user:hunter2",
    "no slashes": "postgresql:user:hunter2@localhost",
    "empty": "",
}

SHOWN: dict[str, tuple[dict[str, Any], str]] = {
    "url": ({"url": "postgresql://user:hunter2@example.com:7000/app"}, "postgresql://example.com:7000/app"),
    "short scheme": ({"url": "postgres://user:hunter2@example.com/app"}, "postgresql://example.com:5432/app"),
    "option in the url": ({"url": "postgresql://h/app?password=hunter2&sslmode=require"}, "postgresql://h:5432/app"),
    "hosts": ({"url": "postgresql://u:hunter2@a:1,b:2/app"}, "postgresql://a:1,b:2/app"),
    "socket": ({"url": "postgresql:///app?host=/run/postgresql&user=u"}, "postgresql:///run/postgresql/app"),
    "IPv6": ({"url": "postgresql://u:hunter2@[::1]:7000/app"}, "postgresql://[::1]:7000/app"),
    "IPv6 host": ({"host": "::1", "user": "user"}, "postgresql://[::1]:5432/postgres"),
    "options": ({"host": "example.com", "user": "user", "password": SECRET}, "postgresql://example.com:5432/postgres"),
}


async def serves(store: PostgreSQLStore) -> bool:
    async with store:
        await store.put("key", {"n": 1})
        return await store.get("key") == {"n": 1}


def text_of(error: BaseException) -> str:
    return f"{error!r} {''.join(traceback.format_exception(type(error), error, error.__traceback__))}"


@pytest.fixture
def guarded(url: str, raw: Raw) -> dict[str, Any]:
    """Create a user with a password, and return options for its server."""
    raw.run(
        'DO $$ BEGIN CREATE ROLE "app:user" LOGIN SUPERUSER; EXCEPTION WHEN duplicate_object THEN NULL; END $$',
        f"ALTER ROLE \"app:user\" PASSWORD '{PASSWORD}'",
    )
    place = urlsplit(url)
    return {"host": place.hostname, "port": place.port, "table_name": "kv_test"}


def url_of(
    options: dict[str, Any], user: str = "app:user", password: str = PASSWORD, database: str = "postgres"
) -> str:
    credentials = f"{quote(user, safe='')}:{quote(password, safe='')}"
    return f"postgresql://{credentials}@{options['host']}:{options['port']}/{database}"


# Addresses and credentials


async def test_a_url_accepts_percent_encoded_credentials(guarded: dict[str, Any]) -> None:
    assert await serves(PostgreSQLStore(url=url_of(guarded), table_name="kv_test"))


async def test_options_accept_credentials(guarded: dict[str, Any]) -> None:
    assert await serves(PostgreSQLStore(**guarded, user="app:user", password=PASSWORD))


async def test_a_password_may_be_a_function_called_for_each_connection(guarded: dict[str, Any]) -> None:
    async def password() -> str:
        return PASSWORD

    assert await serves(PostgreSQLStore(**guarded, user="app:user", password=password))


async def test_options_supply_credentials_missing_from_the_url(guarded: dict[str, Any]) -> None:
    url = f"postgresql://{guarded['host']}:{guarded['port']}/postgres"
    assert await serves(PostgreSQLStore(url=url, user="app:user", password=PASSWORD, table_name="kv_test"))


async def test_a_url_opens_a_store(url: str, raw: Raw) -> None:
    for scheme in ("postgresql", "postgres"):
        place = urlsplit(url)._replace(scheme=scheme).geturl()
        store: Any = open_store(f"{place}?table_name=kv_test&timeout=7&max_connections=3&application_name=opened")
        async with store:
            await store.put("key", {"n": 1})
            assert await raw.value("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'opened'") == 1
        assert await raw.value("SELECT count(*) FROM kv_test") == 1


@pytest.mark.parametrize("option", ["max_connections=many", "timeout=long", "auto_create=perhaps"])
def test_an_option_of_a_wrong_type_is_refused(option: str) -> None:
    with pytest.raises(ValueError, match=option.partition("=")[0]):
        open_store(f"postgresql://user:hunter2@localhost/app?{option}")


@pytest.mark.parametrize("url", BAD_URLS.values(), ids=BAD_URLS)
def test_a_bad_url_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ValueError, match="url must be") as refusal:
        PostgreSQLStore(url=url)
    assert SECRET not in text_of(refusal.value)


@pytest.mark.parametrize(("options", "shown"), SHOWN.values(), ids=SHOWN)
def test_a_repr_shows_the_address_without_credentials(options: dict[str, Any], shown: str) -> None:
    assert repr(PostgreSQLStore(**options)) == f"PostgreSQLStore({shown})"


def test_a_constructor_needs_no_event_loop_and_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("socket", "getaddrinfo", "gethostbyname"):
        monkeypatch.delattr(socket, name)
    assert "host.invalid" in repr(PostgreSQLStore(url="postgresql://host.invalid"))


@pytest.mark.parametrize(
    "limit",
    [
        {"timeout": 0.0},
        {"timeout": float("nan")},
        {"max_connections": 0},
        {"max_idle": -1.0},
        {"auto_cull": 0.0},
        {"statement_cache_size": -1},
    ],
    ids=repr,
)
def test_an_invalid_limit_is_refused(limit: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(limit))} must be"):
        PostgreSQLStore(**limit)


async def test_a_pool_together_with_a_url_is_refused(url: str) -> None:
    pool = Driver.create_pool(url, min_size=0)
    with pytest.raises(ValueError, match="not both"):
        PostgreSQLStore(pool=pool, url=url)


# Reported reasons


@pytest.mark.parametrize(
    ("wrong", "reason", "kind"),
    [
        ({"password": SECRET}, "wrong user name or password", StoreSetupError),
        ({"user": "nobody"}, "wrong user name or password", StoreSetupError),
        ({"database": "hunter3"}, "unknown database", StoreSetupError),
    ],
)
async def test_a_refusal_by_the_server_is_reported_with_its_reason_without_retries(
    guarded: dict[str, Any], wrong: dict[str, str], reason: str, kind: type[BaseKeyValueError]
) -> None:
    store = PostgreSQLStore(url=url_of(guarded, **wrong), table_name="kv_test", timeout=60)
    start = time.monotonic()
    for call in (store.setup(), store.get("key"), store.put_many(["key"], [{"n": 1}])):
        with pytest.raises(kind, match=reason) as refusal:
            await call
        assert not isinstance(refusal.value, StoreConnectionError)
        assert SECRET not in text_of(refusal.value)
    assert time.monotonic() - start < 30
    await store.close()


@pytest.mark.parametrize(
    ("place", "reason"), [("host.invalid", "unknown host"), ("localhost:{port}", "connection refused")]
)
async def test_an_unreachable_server_is_a_connection_error(unused_port: int, place: str, reason: str) -> None:
    store = PostgreSQLStore(url=f"postgresql://user:hunter2@{place.format(port=unused_port)}/app")
    for call in (store.setup(), store.get("key")):
        with pytest.raises(StoreConnectionError, match=reason) as failure:
            await call
        assert SECRET not in text_of(failure.value)
    await store.close()


async def test_an_option_unknown_to_driver_and_server_is_a_setup_error(url: str) -> None:
    for option in ("colour=red", "sslmode=perhaps"):
        store = PostgreSQLStore(url=f"{url}?{option}")
        with pytest.raises(StoreSetupError) as refusal:
            await store.setup()
        assert not isinstance(refusal.value, StoreConnectionError)
        await store.close()


async def test_a_closed_pool_is_reported(url: str) -> None:
    async with Driver.create_pool(url, min_size=0) as pool:
        store = PostgreSQLStore(pool=pool, table_name="kv_test")
        assert await serves(store)
    with pytest.raises(StoreSetupError, match="pool that was passed in has been closed"):
        await store.get("key")


async def test_prepared_statements_through_a_pooler_are_an_error_that_names_the_option(pgbouncer: PgBouncer) -> None:
    async with PostgreSQLStore(url=pgbouncer.url, max_connections=16) as store:
        calls = [store.put(f"{number}", {"n": number}) for number in range(200)]
        errors = [error for error in await asyncio.gather(*calls, return_exceptions=True) if error is not None]
    assert errors
    assert all(isinstance(error, StoreSetupError) and "statement_cache_size=0" in str(error) for error in errors)


# TLS

OPENSSL_CONFIG = """
[req]
distinguished_name = name
[name]
[server]
basicConstraints = critical, CA:TRUE
subjectAltName = DNS:localhost
"""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for `localhost`, next to its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: apt-get install openssl")
    folder = tmp_path_factory.mktemp("certificate")
    (folder / "openssl.cnf").write_text(OPENSSL_CONFIG)
    run(
        *("openssl", "req", "-x509", "-config", folder / "openssl.cnf", "-days", "2", "-subj", "/CN=localhost"),
        *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-extensions", "server"),
        *("-keyout", folder / "server.key", "-out", folder / "server.crt"),
    )
    return folder / "server.crt"


class TlsServer(PostgreSQLServer):
    def __init__(self, certificate: Path) -> None:
        super().__init__("-c", "ssl=on", private=True)
        self._certificate = certificate

    def prepare(self) -> None:
        super().prepare()
        for name in ("server.crt", "server.key"):
            file = self.directory / "data" / name
            shutil.copy(self._certificate.with_name(name), file)
            file.chmod(0o600)
            owner = self.directory.stat()
            shutil.chown(file, owner.st_uid, owner.st_gid)


@pytest.fixture(scope="module")
def tls(run_server: RunServer, certificate: Path) -> Iterator[TlsServer]:
    with run_server(TlsServer(certificate)) as server:
        yield server


async def test_tls_is_enabled_by_url_or_option(tls: TlsServer, certificate: Path) -> None:
    url = f"postgresql://kv@localhost:{tls.port}/postgres"
    assert await serves(PostgreSQLStore(url=f"{url}?sslmode=verify-full&sslrootcert={quote(str(certificate))}"))
    assert await serves(PostgreSQLStore(url=url, ssl="require"))


async def test_an_untrusted_certificate_is_refused(tls: TlsServer) -> None:
    store = PostgreSQLStore(url=f"postgresql://kv@localhost:{tls.port}/postgres", ssl=True)
    with pytest.raises(StoreSetupError, match="the certificate was refused"):
        await store.setup()
    await store.close()


async def test_tls_to_a_server_without_tls_is_a_setup_error(url: str) -> None:
    store = PostgreSQLStore(url=url, ssl="require")
    with pytest.raises(StoreSetupError, match="does not offer TLS"):
        await store.setup()
    await store.close()
