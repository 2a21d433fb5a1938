"""Databases with nothing stored, and the raw client that looks into them."""

from __future__ import annotations

import socket
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import firestore
from key_value.aio.stores.firestore import FirestoreStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers.firestore import FirestoreServer

EMULATOR = "FIRESTORE_EMULATOR_HOST"

SyncClient: Any = firestore.Client  # which leaves the types of its methods out
AsyncClient: Any = firestore.AsyncClient  # as above
Credentials: Any = AnonymousCredentials  # as above


class Raw:
    """Google's client, and the project that the test is about."""

    def __init__(self, project: str, address: str) -> None:
        self.project = project
        self.address = address
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(EMULATOR, address)
            self.client: Any = SyncClient(project=project, credentials=Credentials())

    def put(self, collection: str, key: str, /, **fields: Any) -> None:
        self.client.document(collection, key).set(fields)

    def get(self, collection: str, key: str) -> dict[str, Any] | None:
        return self.client.document(collection, key).get().to_dict()

    def ids(self) -> list[tuple[str, str]]:
        """Of all documents, by collection."""
        return [(each.id, document.id) for each in self.client.collections() for document in each.stream()]

    def async_client(self) -> Any:
        """As an application makes it. It belongs to the event loop in which it is used first."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(EMULATOR, self.address)
            return AsyncClient(project=self.project, credentials=Credentials())


@pytest.fixture
def raw(firestore_server: FirestoreServer) -> Iterator[Raw]:
    """A project of its own for each test, which is a database of its own."""
    raw = Raw(f"kv-{uuid.uuid4().hex}", firestore_server.address)
    yield raw
    raw.client.close()


@pytest.fixture
def place(raw: Raw) -> dict[str, Any]:
    return {"project": raw.project, "emulator_host": raw.address}


@pytest.fixture
def store(place: dict[str, Any]) -> FirestoreStore:
    return FirestoreStore(**place)


@pytest.fixture
def unused_port() -> Iterator[int]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]
