"""The store contracts on a fake of Aerospike or on the server of KV_TEST_AEROSPIKE_URL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.stores.aerospike import AerospikeStore
from key_value.aio.testing import StoreTests
from key_value.aio.testing.batches import BatchTests
from key_value.aio.testing.contract import StoreContract
from key_value.aio.testing.destruction import DestructionTests
from key_value.aio.testing.fault_tests import FaultTests
from key_value.aio.testing.lifecycle import LifecycleTests
from key_value.aio.testing.stateful import check_against_dict
from key_value.aio.testing.versioned import VersionedTests
from typing_extensions import override

if TYPE_CHECKING:
    from servers.aerospike import AerospikeServer

    from .conftest import Raw

OTHER_SET = "kv-test-2"


class AerospikeContract(StoreContract[AerospikeStore]):
    time_limit = 200.0
    many_keys = 25_000
    raw: Raw
    """The raw client, set by the fixture `store`."""

    @override
    async def read_stored(self, store: AerospikeStore, collection: str, key: str) -> str | None:
        bins = self.raw.bins(f"{collection}::{key}")
        return None if bins is None else bins["value"]

    @override
    async def corrupt_stored(self, store: AerospikeStore, collection: str, key: str, data: bytes) -> None:
        try:
            text: str | bytes = data.decode()
        except UnicodeDecodeError:
            text = data
        # The client would truncate a text at a NUL.
        self.raw.put(f"{collection}::{key}", {"value": data if b"\0" in data else text})

    @override
    async def put_foreign(self, store: AerospikeStore) -> None:
        self.raw.put("foreign::name", {"value": '{"value": {}}'}, OTHER_SET)

    @override
    async def has_foreign(self, store: AerospikeStore) -> bool:
        return self.raw.bins("foreign::name", OTHER_SET) == {"value": '{"value": {}}'}


class TestAerospikeStore(AerospikeContract, StoreTests[AerospikeStore]):
    @pytest.fixture
    def store(self, raw: Raw) -> AerospikeStore:
        self.raw = raw
        return AerospikeStore(**raw.options)

    @override
    def reopen(self, store: AerospikeStore) -> AerospikeStore:
        return AerospikeStore(**self.raw.options)

    @override
    def address(self, store: AerospikeStore) -> tuple[str, dict[str, Any]]:
        return "key_value.aio.stores.aerospike:AerospikeStore", self.raw.options


class TestAerospikeStoreWithClient(
    AerospikeContract,
    BatchTests[AerospikeStore],
    DestructionTests[AerospikeStore],
    LifecycleTests[AerospikeStore],
    VersionedTests[AerospikeStore],
):
    @pytest.fixture
    def store(self, raw: Raw) -> AerospikeStore:
        self.raw = raw
        return self._with_client()

    @override
    def reopen(self, store: AerospikeStore) -> AerospikeStore:
        return self._with_client()

    def _with_client(self) -> AerospikeStore:
        return AerospikeStore(client=self.raw.client, namespace=self.raw.namespace, set_name=self.raw.set_name)


class TestAerospikeStoreUnderFaults(FaultTests[AerospikeStore]):
    time_limit = 200.0
    answer_limit = 30.0
    timeout = 2.5

    @pytest.fixture
    def server_address(self, raw: Raw) -> tuple[str, int]:
        return raw.host, raw.port

    @pytest.fixture
    @override
    def killable_server(self, private_aerospike: AerospikeServer) -> AerospikeServer:
        # A server that has just started needs seconds to answer all users at once.
        self.timeout = 10.0
        return private_aerospike

    @override
    def store_at(self, host: str, port: int) -> AerospikeStore:
        # Closing waits for the client's own check of the server.
        config = {"connect_timeout": 800}
        return AerospikeStore(hosts=[(host, port)], set_name="kv-test", timeout=self.timeout, client_config=config)


def test_an_aerospike_store_behaves_like_a_dict(raw: Raw) -> None:
    def make_store() -> AerospikeStore:
        raw.truncate()
        return AerospikeStore(**raw.options)

    check_against_dict(make_store)
