"""The store contracts on DynamoDB, and its behaviour under faults."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.stores.dynamodb import DynamoDBStore
from key_value.aio.testing import StoreTests
from key_value.aio.testing.contract import StoreContract
from key_value.aio.testing.fault_tests import FaultTests
from key_value.aio.testing.stateful import check_against_dict
from typing_extensions import override

from .conftest import CREDENTIALS, REGION

if TYPE_CHECKING:
    from servers.dynamodb import DynamoDBServer

    from .conftest import Raw


class DynamoDBContract(StoreContract[DynamoDBStore]):
    time_limit = 200.0
    secrets = ("hunter2",)
    raw: Raw
    place: dict[str, Any]
    """The options of the store, set by the fixture `store`."""

    @pytest.fixture
    def store(self, place: dict[str, Any], raw: Raw) -> DynamoDBStore:
        self.raw, self.place = raw, place
        return DynamoDBStore(**place)

    @override
    def reopen(self, store: DynamoDBStore) -> DynamoDBStore:
        return DynamoDBStore(**self.place)

    @override
    def address(self, store: DynamoDBStore) -> tuple[str, dict[str, Any]]:
        return "key_value.aio.stores.dynamodb:DynamoDBStore", self.place

    @override
    async def read_stored(self, store: DynamoDBStore, collection: str, key: str) -> str | None:
        item = self.raw.get(collection, key)
        return None if item is None else item["value"]["S"]

    @override
    async def corrupt_stored(self, store: DynamoDBStore, collection: str, key: str, data: bytes) -> None:
        try:
            text = data.decode()
        except UnicodeDecodeError:
            pytest.skip("DynamoDB has no string that is not UTF-8")
        self.raw.put(collection, key, value={"S": text})

    @override
    async def put_foreign(self, store: DynamoDBStore) -> None:
        await store.setup()
        self.raw.put("foreign", "text", value={"S": "text"})
        self.raw.put("foreign", "number", number={"N": "1"})

    @override
    async def has_foreign(self, store: DynamoDBStore) -> bool:
        return None not in (self.raw.get("foreign", "text"), self.raw.get("foreign", "number"))


class TestDynamoDBStore(DynamoDBContract, StoreTests[DynamoDBStore]):
    # Each attempt is three requests, each taking two milliseconds of CPU.
    contenders = 8
    increments = 4
    many_keys = 25_000

    @override
    async def test_the_backend_removes_an_expired_entry(self, store: DynamoDBStore) -> None:
        """Check the table's TTL rule and the item's time: Amazon's service acts on them, the emulator does not."""
        before = time.time()
        await store.put("key", {"n": 1}, ttl=1)
        after = time.time()
        rule = self.raw.client.describe_time_to_live(TableName=self.raw.table)["TimeToLiveDescription"]
        assert rule == {"TimeToLiveStatus": "ENABLED", "AttributeName": "ttl"}
        item = self.raw.get("default_collection", "key")
        assert item is not None
        assert before + 1 <= int(item["ttl"]["N"]) < after + 2


class TestDynamoDBStoreUnderFaults(FaultTests[DynamoDBStore]):
    # botocore takes two milliseconds of CPU per request.
    load = 100
    time_limit = 200.0
    answer_limit = 30.0
    timeout = 4.0
    secrets = ("hunter2",)

    @pytest.fixture
    def server_address(self, dynamodb_server: DynamoDBServer, raw: Raw) -> tuple[str, int]:
        self.table = raw.table
        return dynamodb_server.address

    @pytest.fixture
    @override
    def killable_server(self, private_dynamodb: DynamoDBServer) -> DynamoDBServer:
        self.table = "kv-killed"
        # A server that has just started needs seconds to answer all users at once.
        self.timeout = 10.0
        return private_dynamodb

    @override
    def store_at(self, host: str, port: int) -> DynamoDBStore:
        options: dict[str, Any] = {"table_name": self.table, "region_name": REGION, **CREDENTIALS}
        return DynamoDBStore(endpoint_url=f"http://{host}:{port}", timeout=self.timeout, **options)


def test_a_dynamodb_store_behaves_like_a_dict(place: dict[str, Any], raw: Raw) -> None:
    def make_store() -> DynamoDBStore:
        if raw.table in raw.client.list_tables()["TableNames"]:
            raw.client.delete_table(TableName=raw.table)
        return DynamoDBStore(**place)

    check_against_dict(make_store)
