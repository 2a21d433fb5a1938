"""Options of FirestoreStore, and what its repr and errors show of them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import traceback
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.errors import StoreConnectionError, StoreSetupError
from key_value.aio.stores.firestore import FirestoreStore
from key_value.aio.urls import open_store
from workspace import run

from .conftest import EMULATOR

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Raw

SECRET = "hunter2"  # noqa: S105 — looked for in messages

BAD_OPTIONS: dict[str, dict[str, Any]] = {
    "project: a slash": {"project": "a/b"},
    "project: empty": {"project": ""},
    "database: a slash": {"database": "a/b"},
    "database: begins with a digit": {"database": "1a"},
    "emulator: no port": {"emulator_host": "localhost"},
    "emulator: a scheme": {"emulator_host": "http://localhost:8080"},
    "emulator: a user": {"emulator_host": "user:hunter2@localhost:8080"},
    "timeout": {"timeout": 0.0},
    "timeout not a number": {"timeout": float("nan")},
    "client and project": {"client": object(), "project": "p"},
    "client and credentials": {"client": object(), "credentials": SECRET},
}


def text_of(error: BaseException) -> str:
    return f"{error!r} {''.join(traceback.format_exception(type(error), error, error.__traceback__))}"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Remove all credentials and the project from the environment."""
    for name in [name for name in os.environ if name.startswith(("GOOGLE_", "GCLOUD_", "CLOUDSDK_", "FIRESTORE_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    return monkeypatch


# Options


@pytest.mark.parametrize("options", BAD_OPTIONS.values(), ids=BAD_OPTIONS)
def test_invalid_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        FirestoreStore(**options)


def test_the_driver_is_imported_when_a_store_is_constructed_and_not_before() -> None:
    program = """
import asyncio, sys
from key_value.aio.urls import open_store
from key_value.aio.stores.firestore import FirestoreStore, FirestoreV1KeySanitizationStrategy
from key_value.aio.stores.firestore.store import FirestoreStore
print([name for name in sys.modules if name.split(".")[0] in ("google", "grpc")])
FirestoreStore(project="project")
print("google.cloud.firestore_v1" in sys.modules, "grpc" in sys.modules)
"""
    assert run(sys.executable, "-W", "ignore", "-c", program) == "[]\nTrue True\n"


def test_a_constructor_needs_no_event_loop_and_no_server() -> None:
    program = """
import socket
from key_value.aio.stores.firestore import FirestoreStore
FirestoreStore(project="project")
for name in ("socket", "getaddrinfo"):
    delattr(socket, name)
print(FirestoreStore(project="project", emulator_host="localhost:1"))
"""
    shown = "FirestoreStore(project/(default) at localhost:1)\n"
    assert run(sys.executable, "-W", "ignore", "-c", program) == shown


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({}, "default project/(default)"),
        ({"project": "p", "database": "d"}, "p/d"),
        ({"project": "p", "emulator_host": "localhost:8080"}, "p/(default) at localhost:8080"),
        ({"project": "p", "credentials": SECRET}, "p/(default)"),
    ],
)
def test_a_repr_shows_where_and_not_who(options: dict[str, Any], shown: str, environment: pytest.MonkeyPatch) -> None:
    assert environment
    assert repr(FirestoreStore(**options)) == f"FirestoreStore({shown})"


async def test_the_emulator_is_found_as_by_the_google_client(raw: Raw, environment: pytest.MonkeyPatch) -> None:
    environment.setenv(EMULATOR, raw.address)
    environment.setenv("GOOGLE_CLOUD_PROJECT", raw.project)
    store = FirestoreStore()
    environment.delenv(EMULATOR)
    async with store:
        await store.put("key", {"n": 1})
    assert raw.ids() == [("default_collection", "key")]


async def test_databases_with_different_names_are_independent(raw: Raw, place: dict[str, Any]) -> None:
    async with FirestoreStore(**place, database="other") as other, FirestoreStore(**place) as store:
        await other.put("key", {"n": 1})
        assert await store.get("key") is None
        assert await other.get("key") == {"n": 1}
    assert raw.ids() == []


# URLs


async def test_a_url_names_project_and_database(raw: Raw) -> None:
    for url in (f"firestore://{raw.project}", f"firestore://{raw.project}/(default)"):
        async with open_store(f"{url}?emulator_host={raw.address}&timeout=90&default_collection=shelf") as store:
            assert isinstance(store, FirestoreStore)
            await store.put(url, {"n": 1})
    assert {collection for collection, _ in raw.ids()} == {"shelf"}


def test_a_url_may_name_a_domain_scoped_project_or_nothing() -> None:
    assert "example.com:P/(default)" in repr(open_store("firestore://example.com%3AP"))
    assert "default project/db" in repr(open_store("firestore:///db"))
    assert "default project/(default)" in repr(open_store("firestore://"))


@pytest.mark.parametrize(
    "url",
    [
        "firestore://project/database/collection",
        "firestore://project:8080",
        "firestore://user:hunter2@project",
        "firestore://project?region=europe",
        "firestore://project?timeout=hunter2",
        "firestore://project?credentials=hunter2",
    ],
)
def test_an_invalid_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r".") as refusal:
        open_store(url)
    assert SECRET not in str(refusal.value)


# Missing, invalid and unreachable


async def test_no_credentials_are_a_setup_error(environment: pytest.MonkeyPatch) -> None:
    assert environment
    store = FirestoreStore(project="project")
    with pytest.raises(StoreSetupError, match="no credentials"):
        await store.setup()
    await store.close()


async def test_no_project_is_a_setup_error(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    user = {"type": "authorized_user", "client_id": "id", "client_secret": SECRET, "refresh_token": SECRET}
    (tmp_path / "credentials.json").write_text(json.dumps(user))
    environment.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "credentials.json"))
    environment.setenv("PATH", "")  # so that gcloud, which knows a project, is not found
    store = FirestoreStore()
    with pytest.raises(StoreSetupError, match="no project") as failure:
        await store.setup()
    assert SECRET not in text_of(failure.value)
    await store.close()


async def test_an_invalid_credentials_file_is_a_setup_error(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "credentials.json").write_text(f'{{"type": "{SECRET}"}}')
    environment.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "credentials.json"))
    store = FirestoreStore(project="project")
    with pytest.raises(StoreSetupError) as failure:
        await store.setup()
    assert SECRET not in str(failure.value)
    await store.close()


async def test_a_refused_connection_is_reported_at_once_without_secrets(
    unused_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="key_value")
    store = FirestoreStore(project="p", emulator_host=f"localhost:{unused_port}", timeout=60)
    start = time.monotonic()
    for call in (store.get("key"), store.put_many(["key"], [{"password": SECRET}]), store.keys(), store.destroy()):
        with pytest.raises(StoreConnectionError, match="connection refused") as failure:
            await call
        assert SECRET not in text_of(failure.value)
    # Waiting for the timeout would take four times as long.
    assert time.monotonic() - start < 60
    await store.close()
    assert SECRET not in caplog.text


async def test_an_unknown_host_is_a_connection_error_that_says_so() -> None:
    store = FirestoreStore(project="p", emulator_host="host.invalid:8080", timeout=60)
    with pytest.raises(StoreConnectionError, match="unknown host"):
        await store.setup()
    await store.close()


async def test_a_server_that_is_not_firestore_is_reported() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        store = FirestoreStore(project="p", emulator_host=f"127.0.0.1:{port}", timeout=5)
        with pytest.raises((StoreConnectionError, StoreSetupError)):
            await store.setup()
        await store.close()
