"""The contracts of a store, on Google's emulator of Firestore, through faults, and at random."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from key_value.aio.stores.firestore import FirestoreStore
from key_value.aio.testing import StoreTests
from key_value.aio.testing.contract import StoreContract
from key_value.aio.testing.fault_tests import FaultTests
from key_value.aio.testing.stateful import store_machine
from typing_extensions import override

if TYPE_CHECKING:
    from servers.firestore import FirestoreServer

    from .conftest import Raw


KILLED = "kv-killed"


class FirestoreContract(StoreContract[FirestoreStore]):
    stores_envelopes = False
    raw: Raw
    place: dict[str, Any]
    """What the fixture `store` sets."""

    @pytest.fixture
    def store(self, place: dict[str, Any], raw: Raw) -> FirestoreStore:
        self.raw, self.place = raw, place
        return FirestoreStore(**place)

    @override
    def reopen(self, store: FirestoreStore) -> FirestoreStore:
        return FirestoreStore(**self.place)

    @override
    def address(self, store: FirestoreStore) -> tuple[str, dict[str, Any]]:
        return "key_value.aio.stores.firestore:FirestoreStore", self.place

    @override
    async def read_stored(self, store: FirestoreStore, collection: str, key: str) -> str | None:
        document = self.raw.get(collection, key)
        return None if document is None else document["value"]

    @override
    async def corrupt_stored(self, store: FirestoreStore, collection: str, key: str, data: bytes) -> None:
        try:
            text = data.decode()
        except UnicodeDecodeError:
            pytest.skip("Firestore has no text that is not UTF-8")
        self.raw.client.document(collection, key).update({"value": text})

    @override
    async def put_foreign(self, store: FirestoreStore) -> None:
        self.raw.put("foreign", "text", value="text", version=1)
        self.raw.put("default_collection", "number", number=1)
        self.raw.client.document("default_collection", "a", "below", "b").set({"n": 1})

    @override
    async def has_foreign(self, store: FirestoreStore) -> bool:
        below = self.raw.client.document("default_collection", "a", "below", "b").get().exists
        others = self.raw.get("foreign", "text"), self.raw.get("default_collection", "number")
        return below and None not in others


class TestFirestoreStore(FirestoreContract, StoreTests[FirestoreStore]):
    # An attempt takes three requests of 2 ms of CPU time each.
    contenders = 8
    increments = 4
    many_keys = 25_000
    # For each page the emulator reads all documents of the collection: a third of a second for 25,000.
    time_limit = 200.0


class TestFirestoreStoreUnderFaults(FaultTests[FirestoreStore]):
    load = 30
    # A Java virtual machine that has just started needs seconds for its first answers.
    time_limit = 200.0
    answer_limit = 30.0

    @pytest.fixture
    def server_address(self, firestore_server: FirestoreServer, raw: Raw) -> tuple[str, int]:
        self.project = raw.project
        # The emulator's first answers take longer than the timeouts of these tests.
        raw.put("shelf", "key")
        assert raw.ids() == [("shelf", "key")]
        host, _, port = firestore_server.address.rpartition(":")
        return host, int(port)

    @pytest.fixture
    @override
    def killable_server(self, private_firestore: FirestoreServer) -> FirestoreServer:
        self.project = KILLED
        return private_firestore

    @override
    def store_at(self, host: str, port: int) -> FirestoreStore:
        timeout = 10 if self.project == KILLED else 2.5
        return FirestoreStore(project=self.project, emulator_host=f"{host}:{port}", timeout=timeout)


def test_a_firestore_store_behaves_like_a_dict(firestore_server: FirestoreServer) -> None:
    def make_store() -> FirestoreStore:
        return FirestoreStore(project=f"kv-{uuid.uuid4().hex}", emulator_host=firestore_server.address)

    machine = store_machine(make_store)
    # A step takes a few requests of some milliseconds each.
    run_state_machine_as_test(machine, settings=settings(max_examples=10, stateful_step_count=20, deadline=None))
