"""The store contracts on OpenBao, with options and with a client."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from key_value.aio.stores.vault import VaultStore
from key_value.aio.testing import StoreTests
from key_value.aio.testing.fault_tests import FaultTests
from key_value.aio.testing.stateful import check_against_dict
from service_cases import ServiceClientTests, ServiceContract
from typing_extensions import override

from .conftest import mounted, options_of, raw_client

if TYPE_CHECKING:
    from servers.vault import VaultServer

    from .conftest import Raw


class VaultContract(ServiceContract[VaultStore]):
    store_type = VaultStore
    secrets = ("correct-horse-battery",)
    raw: Raw

    @override
    async def read_stored(self, store: VaultStore, collection: str, key: str) -> str | None:
        return await asyncio.to_thread(self.raw.get, f"{collection}::{key}")

    @override
    async def corrupt_stored(self, store: VaultStore, collection: str, key: str, data: bytes) -> None:
        try:
            text = data.decode()
        except UnicodeDecodeError:
            pytest.skip("a secret is JSON, which holds text")
        await asyncio.to_thread(self.raw.put, f"{collection}::{key}", value=text)

    @override
    async def put_foreign(self, store: VaultStore) -> None:
        await asyncio.to_thread(self.raw.put, "foreign/page", text="hunter2")
        await asyncio.to_thread(self.raw.put, "foreign::key", value="text")

    @override
    async def has_foreign(self, store: VaultStore) -> bool:
        found = self.raw.read("foreign/page"), self.raw.read("foreign::key")
        return found == ({"text": "hunter2"}, {"value": "text"})


class TestVaultStore(VaultContract, StoreTests[VaultStore]):
    # Each operation takes two requests, and the kit's tests have one minute on a busy machine.
    contenders = 8
    increments = 5
    many_keys = 1_200


class TestVaultStoreWithClient(VaultContract, ServiceClientTests[VaultStore]):
    secrets = ()
    keys: ClassVar[list[str]] = [f"key/{number} ✓" for number in range(30)]

    @pytest.fixture
    def store(self, vault_server: VaultServer, raw: Raw) -> VaultStore:
        self.raw, self.server = raw, vault_server
        return self._open()

    @override
    def reopen(self, store: VaultStore) -> VaultStore:
        return self._open()

    def _open(self) -> VaultStore:
        return VaultStore(client=raw_client(self.server), mount_point=self.raw.mount_point)


class TestVaultStoreUnderFaults(FaultTests[VaultStore]):
    secrets = ("correct-horse-battery",)
    time_limit = 200.0
    answer_limit = 30.0
    timeout = 2.5

    @pytest.fixture
    def server_address(self, vault_server: VaultServer, raw: Raw) -> tuple[str, int]:
        self.place = options_of(vault_server, raw.mount_point)
        return vault_server.address

    @pytest.fixture
    @override
    def killable_server(self, private_vault: VaultServer) -> VaultServer:
        self.place = options_of(private_vault)
        # A server that has just started needs seconds to answer all users at once.
        self.timeout = 10.0
        return private_vault

    @override
    def store_at(self, host: str, port: int) -> VaultStore:
        place: dict[str, Any] = {**self.place, "url": f"http://{host}:{port}"}
        return VaultStore(**place, timeout=self.timeout)


def test_a_vault_store_behaves_like_a_dict(vault_server: VaultServer) -> None:
    mount_points: list[str] = []

    def make_store() -> VaultStore:
        mount_points.append(mounted(vault_server))
        return VaultStore(**options_of(vault_server, mount_points[-1]))

    check_against_dict(make_store)
    for mount_point in mount_points:
        vault_server.ask("DELETE", f"sys/mounts/{mount_point}")
