"""A real Secret Service, the raw client that inspects it, and keyring's backends without one."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
import secretstorage
from keyring.backends.SecretService import Keyring
from secretstorage.util import open_session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from servers.keyring import KeyringServer

# Kept in memory by gnome-keyring. It rewrites the whole file of any other collection at each change.
SESSION_COLLECTION = "/org/freedesktop/secrets/collection/session"
LOGIN_COLLECTION = "/org/freedesktop/secrets/aliases/default"


class RawKeyring:
    """The passwords of one service in one collection, accessed without keyring."""

    def __init__(self, collection: Any) -> None:
        self.service = f"kv-tests-{uuid.uuid4().hex}"
        self._collection = collection

    def read(self, name: str) -> bytes | None:
        secrets = [item.get_secret() for item in self._items(username=name)]
        return secrets[0] if secrets else None

    def write(self, name: str, data: bytes) -> None:
        attributes = {"application": Keyring.appid, "service": self.service, "username": name}
        self._collection.create_item("of a test", attributes, data, replace=True)

    def names(self) -> list[str]:
        return sorted(item.get_attributes()["username"] for item in self._items())

    def lock(self) -> None:
        self._collection.lock()

    def clear(self) -> None:
        for item in self._items():
            item.delete()

    def _items(self, **attributes: str) -> list[Any]:
        return list(self._collection.search_items({"service": self.service, **attributes}))


class KeptKeyring(Keyring):
    """keyring's own backend on one connection: opening one takes 12 of the 14 ms of a read."""

    _kept: Any = None

    def get_preferred_collection(self) -> Any:
        if self._kept is None:
            connection: Any = secretstorage.dbus_init()
            self._close, connection.close = connection.close, lambda: None
            self._kept = secretstorage.Collection(connection, SESSION_COLLECTION, session=open_session(connection))
        return self._kept

    def disconnect(self) -> None:
        if self._kept is not None:
            self._close()


@pytest.fixture
def private_keyring(private_keyring: KeyringServer, monkeypatch: pytest.MonkeyPatch) -> KeyringServer:
    """Return a keyring that the test may lock, kill and restart, on the default session bus."""
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", private_keyring.url)
    return private_keyring


@pytest.fixture
def session_bus(keyring_server: KeyringServer, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", keyring_server.url)
    return keyring_server.url


@pytest.fixture(scope="session")
def open_collection() -> Iterator[Callable[[str, str], Any]]:
    """Yield a function that returns a collection by address and path, on a connection shared by all tests."""
    connections: dict[str, tuple[Any, Any]] = {}

    def get(address: str, path: str) -> Any:
        if address not in connections:
            connection: Any = secretstorage.dbus_init()
            connections[address] = connection, open_session(connection)
        connection, session = connections[address]
        return secretstorage.Collection(connection, path, session=session)

    yield get
    for connection, _ in connections.values():
        connection.close()


@pytest.fixture
def raw(session_bus: str, open_collection: Callable[[str, str], Any]) -> Iterator[RawKeyring]:
    raw = RawKeyring(open_collection(session_bus, LOGIN_COLLECTION))
    yield raw
    raw.clear()


@pytest.fixture
def raw_session(session_bus: str, open_collection: Callable[[str, str], Any]) -> Iterator[RawKeyring]:
    raw = RawKeyring(open_collection(session_bus, SESSION_COLLECTION))
    yield raw
    raw.clear()


@pytest.fixture
def raw_private(private_keyring: KeyringServer, open_collection: Callable[[str, str], Any]) -> RawKeyring:
    return RawKeyring(open_collection(private_keyring.url, LOGIN_COLLECTION))


@pytest.fixture(scope="session")
def idle_keyrings() -> Iterator[list[KeptKeyring]]:
    idle: list[KeptKeyring] = []
    yield idle
    for keyring in idle:
        keyring.disconnect()


@pytest.fixture
def kept_keyring(idle_keyrings: list[KeptKeyring]) -> Iterator[Callable[[], KeptKeyring]]:
    """Yield a function that returns a keyring no other store is using."""
    taken: list[KeptKeyring] = []

    def take() -> KeptKeyring:
        taken.append(idle_keyrings.pop() if idle_keyrings else KeptKeyring())
        return taken[-1]

    yield take
    idle_keyrings += taken
