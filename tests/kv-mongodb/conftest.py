"""Databases with nothing stored, and the raw client that looks into them."""

from __future__ import annotations

import gc
import socket
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pymongo import MongoClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from servers.mongodb import MongoDBServer


# Where a call is cancelled or a client closed while pymongo connects, it leaves the socket to be closed with the last
# reference. The programs that tests run by themselves are strict.
CLOSED_BY_PYTHON = (
    "ignore:.*socket.socket fd=:pytest.PytestUnraisableExceptionWarning",
    "ignore:.*_SelectorTransport.__del__:pytest.PytestUnraisableExceptionWarning",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            for warning in CLOSED_BY_PYTHON:
                item.add_marker(pytest.mark.filterwarnings(warning))


@pytest.fixture(scope="module", autouse=True)
def _sockets_collected() -> Iterator[None]:
    """Here their warnings are ignored; a later test of another store, or the end of the run, fails by them."""
    yield
    gc.collect()


@pytest.fixture
def url(mongodb_server: MongoDBServer) -> str:
    return mongodb_server.url


@pytest.fixture
def database_at() -> Iterator[Callable[[str], Any]]:
    """Gives a database of the server at a URL, which has another name for each test, and is gone after it."""
    clients: list[tuple[MongoClient[Any], str]] = []

    def database_at(url: str) -> Any:
        client: MongoClient[Any] = MongoClient(url, serverSelectionTimeoutMS=60_000)
        name = f"kv-{uuid.uuid4().hex}"
        clients.append((client, name))
        return client[name]

    yield database_at
    for client, name in clients:
        client.drop_database(name)
        client.close()


@pytest.fixture
def raw(url: str, database_at: Callable[[str], Any]) -> Any:
    """The database that the test is about, by the raw client."""
    return database_at(url)


@pytest.fixture
def unused_port() -> Iterator[int]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]
