"""A server, empty secrets engines, and a raw client that inspects what they hold."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

import hvac
import pytest
from hvac.exceptions import InvalidPath
from key_value.aio.stores.vault import VaultStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers.vault import VaultServer

Hvac: Any = hvac.Client  # with untyped methods


class Raw(NamedTuple):
    """The raw client, and the secrets engine under test."""

    client: Any
    mount_point: str

    @property
    def _engine(self) -> Any:
        return self.client.secrets.kv.v2

    def put(self, path: str, **data: Any) -> None:
        self._engine.create_or_update_secret(path, secret=data, mount_point=self.mount_point)

    def read(self, path: str, version: int | None = None) -> dict[str, Any] | None:
        try:
            answer = self._engine.read_secret_version(
                path, version, mount_point=self.mount_point, raise_on_deleted_version=True
            )
        except InvalidPath:
            return None
        return answer["data"]["data"]

    def get(self, path: str) -> str | None:
        found = self.read(path)
        return None if found is None else found["value"]

    def metadata(self, path: str) -> dict[str, Any] | None:
        try:
            return self._engine.read_secret_metadata(path, mount_point=self.mount_point)["data"]
        except InvalidPath:
            return None

    def remove(self, path: str) -> None:
        self._engine.delete_metadata_and_all_versions(path, mount_point=self.mount_point)

    def paths(self, directory: str = "") -> list[str]:
        try:
            return self._engine.list_secrets(directory, mount_point=self.mount_point)["data"]["keys"]
        except InvalidPath:
            return []


def mounted(server: VaultServer) -> str:
    """Mount a new secrets engine, wait until it serves, and return its mount point.

    Removing it earlier makes OpenBao 2.7.2 divide by zero in 1 of 10 000 attempts, and close the connection:
    https://github.com/openbao/openbao/blob/v2.7.2/sdk/logical/storage.go#L271
    """
    mount_point = f"kv-{uuid.uuid4().hex}"
    status, _ = server.ask("POST", f"sys/mounts/{mount_point}", {"type": "kv", "options": {"version": "2"}})
    assert status == 204
    deadline = time.monotonic() + 60
    while server.ask("GET", f"{mount_point}/config")[0] != 200:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    return mount_point


def options_of(server: VaultServer, mount_point: str = "secret") -> dict[str, Any]:
    return {"url": server.endpoint, "token": server.token, "mount_point": mount_point}


def changed(place: dict[str, Any], **options: Any) -> dict[str, Any]:
    return {**place, **options}


def raw_client(server: VaultServer) -> Any:
    return Hvac(url=server.endpoint, token=server.token)


@pytest.fixture(scope="session")
def client(vault_server: VaultServer) -> Any:
    return raw_client(vault_server)


@pytest.fixture
def raw(vault_server: VaultServer, client: Any) -> Iterator[Raw]:
    mount_point = mounted(vault_server)
    yield Raw(client, mount_point)
    vault_server.ask("DELETE", f"sys/mounts/{mount_point}")


@pytest.fixture
def place(vault_server: VaultServer, raw: Raw) -> dict[str, Any]:
    return options_of(vault_server, raw.mount_point)


@pytest.fixture
def store(place: dict[str, Any]) -> VaultStore:
    return VaultStore(**place)
