"""The contracts of a store, on a session shared with its owner, and on a directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from key_value.aio.stores.chdb import ChDBStore
from key_value.aio.testing import StoreTests
from key_value.aio.testing.contract import StoreContract
from key_value.aio.testing.lifecycle import LifecycleTests
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from raw_chdb import RawChDB


STORED = """
    FROM kv_entries FINAL
    WHERE collection = unhex({collection:String}) AND key = unhex({key:String}) AND expires_at NOT LIKE '1970-01-01%'
"""


class ChDBContract(StoreContract[ChDBStore]):
    time_limit = 200.0
    stores_envelopes = False
    raw: RawChDB
    """The owner's session, set by the fixture `store`."""

    @override
    async def read_stored(self, store: ChDBStore, collection: str, key: str) -> bytes | None:
        await store.setup()
        rows = self.raw.rows(f"SELECT hex(value) {STORED}", collection=collection, key=key)
        return bytes.fromhex(rows[0][0]) if rows else None

    @override
    async def corrupt_stored(self, store: ChDBStore, collection: str, key: str, data: bytes) -> None:
        changed = "SELECT * REPLACE (unhex({value:String}) AS value, now64(9) AS inserted_at)"
        self.raw.rows(f"INSERT INTO kv_entries {changed} {STORED}", collection=collection, key=key, value=data)

    @override
    async def put_foreign(self, store: ChDBStore) -> None:
        self.raw.rows("CREATE TABLE kv_entries_2 ENGINE = Log AS SELECT 1 AS number")

    @override
    async def has_foreign(self, store: ChDBStore) -> bool:
        return self.raw.rows("SELECT number FROM kv_entries_2") == [(1,)]


class TestChDBStore(ChDBContract, StoreTests[ChDBStore]):
    """On a session shared with its owner, here the raw client."""

    # Each call of these tests takes 5 ms or more.
    contenders = 8
    increments = 4
    many_keys = 25_000

    @pytest.fixture
    async def store(self, raw: RawChDB) -> AsyncIterator[ChDBStore]:
        self.raw = raw
        store = ChDBStore(session=raw.session)
        yield store
        await store.close()

    @override
    def reopen(self, store: ChDBStore) -> ChDBStore:
        return ChDBStore(session=self.raw.session)


class TestChDBStoreOnDirectory(ChDBContract, LifecycleTests[ChDBStore]):
    @pytest.fixture
    async def store(self, raw: RawChDB, path: Path) -> AsyncIterator[ChDBStore]:
        self.raw, self.path = raw, path
        store = ChDBStore(database_path=path)
        yield store
        await store.close()

    @override
    def reopen(self, store: ChDBStore) -> ChDBStore:
        return ChDBStore(database_path=self.path)
