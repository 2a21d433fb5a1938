"""Empty databases, and the raw client that inspects them."""

from __future__ import annotations

import gc
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pymongo import MongoClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from servers.mongodb import MongoDBServer


# If a call is cancelled or a client closed while pymongo connects, pymongo leaves the socket to the garbage collector.
# Programs that tests run in other processes do not ignore these warnings.
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
    """Collect sockets while their warnings are ignored: they would fail a later test or the end of the run."""
    yield
    gc.collect()


@pytest.fixture
def url(mongodb_server: MongoDBServer) -> str:
    return mongodb_server.url


@pytest.fixture
def database_at() -> Iterator[Callable[[str], Any]]:
    """Yield a function that returns a new database on the server at a URL, and drop the databases afterwards."""
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
    """Return the database under test, by the raw client."""
    return database_at(url)
