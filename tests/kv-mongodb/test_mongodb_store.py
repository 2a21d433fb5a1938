"""The contracts of a store, on MongoDB, through faults, and at random."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.stores.mongodb import MongoDBStore
from key_value.aio.testing import StoreTests
from key_value.aio.testing.contract import StoreContract
from key_value.aio.testing.fault_tests import FaultTests
from key_value.aio.testing.stateful import check_against_dict
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Callable

    from servers.mongodb import MongoDBServer


class MongoDBContract(StoreContract[MongoDBStore]):
    # A write takes SecantusDB 1 ms, and several on a busy machine.
    time_limit = 280.0
    stores_envelopes = False
    ttl_granularity = 0.001
    # MongoDB itself removes expired documents once a minute.
    native_expiry_wait = 90.0
    raw: Any
    url: str
    """Set by the fixture `store`."""

    @pytest.fixture
    def store(self, url: str, raw: Any) -> MongoDBStore:
        self.url, self.raw = url, raw
        return self._open()

    def _open(self) -> MongoDBStore:
        return MongoDBStore(url=self.url, db_name=self.raw.name, timeout=120)

    @override
    def reopen(self, store: MongoDBStore) -> MongoDBStore:
        return self._open()

    @override
    def address(self, store: MongoDBStore) -> tuple[str, dict[str, Any]]:
        options = {"url": self.url, "db_name": self.raw.name, "timeout": 120}
        return "key_value.aio.stores.mongodb:MongoDBStore", options

    @override
    async def read_stored(self, store: MongoDBStore, collection: str, key: str) -> str | None:
        document = self.raw[collection].find_one({"key": key})
        if document is None:
            return None
        value = document["value"]["object"]
        return value if isinstance(value, str) else json.dumps(value)

    @override
    async def corrupt_stored(self, store: MongoDBStore, collection: str, key: str, data: bytes) -> None:
        try:
            text = data.decode()
        except UnicodeDecodeError:
            pytest.skip("MongoDB holds no text that is not UTF-8")
        value: Any = text
        with suppress(ValueError, RecursionError):
            value = json.loads(text)
        self.raw[collection].update_one({"key": key}, {"$set": {"value": {"object": value}}})

    @override
    async def put_foreign(self, store: MongoDBStore) -> None:
        self.raw["foreign"].insert_one({"_id": 1, "key": "key", "n": 1})
        await store.put("key", {"a": 1}, collection="shared")
        self.raw["shared"].insert_one({"_id": 1, "n": 1})

    @override
    async def has_foreign(self, store: MongoDBStore) -> bool:
        return all(self.raw[name].count_documents({"_id": 1}) == 1 for name in ("foreign", "shared"))


class TestMongoDBStore(MongoDBContract, StoreTests[MongoDBStore]):
    # Several pages. For each, SecantusDB sorts the rest of the collection; 25 000 keys have a separate test.
    many_keys = 2500


class TestMongoDBStoreUnderFaults(FaultTests[MongoDBStore]):
    time_limit = 200.0
    answer_limit = 30.0
    timeout = 3.0

    @pytest.fixture
    def server_address(self, mongodb_server: MongoDBServer, raw: Any) -> tuple[str, int]:
        self.database = raw.name
        return mongodb_server.address

    @pytest.fixture
    @override
    def killable_server(self, private_mongodb: MongoDBServer) -> MongoDBServer:
        self.database = "killed"
        # A server that has just started needs seconds for all users at once.
        self.timeout = 10.0
        return private_mongodb

    @override
    def store_at(self, host: str, port: int) -> MongoDBStore:
        return MongoDBStore(url=f"mongodb://{host}:{port}", db_name=self.database, timeout=self.timeout)


def test_a_mongodb_store_behaves_like_a_dict(url: str, database_at: Callable[[str], Any]) -> None:
    check_against_dict(lambda: MongoDBStore(url=url, db_name=database_at(url).name, timeout=60), ttl_granularity=0.001)
