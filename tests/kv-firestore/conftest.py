"""Empty databases, and the raw client that inspects them."""

from __future__ import annotations

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

SyncClient: Any = firestore.Client  # its methods are untyped
AsyncClient: Any = firestore.AsyncClient  # as above
Credentials: Any = AnonymousCredentials  # as above


class Raw:
    """Google's client, on the project under test."""

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
        """Return the ids of all documents, with their collections."""
        return [(each.id, document.id) for each in self.client.collections() for document in each.stream()]

    def async_client(self) -> Any:
        """Return a client as an application creates it. It belongs to the event loop that first uses it."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(EMULATOR, self.address)
            return AsyncClient(project=self.project, credentials=Credentials())


@pytest.fixture
def raw(firestore_server: FirestoreServer) -> Iterator[Raw]:
    """Yield a client for a new project, and thus a separate database, for each test."""
    raw = Raw(f"kv-{uuid.uuid4().hex}", firestore_server.address)
    yield raw
    raw.client.close()


@pytest.fixture
def place(raw: Raw) -> dict[str, Any]:
    return {"project": raw.project, "emulator_host": raw.address}


@pytest.fixture
def store(place: dict[str, Any]) -> FirestoreStore:
    return FirestoreStore(**place)
