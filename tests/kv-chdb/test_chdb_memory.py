"""Stores without a directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from key_value.aio.stores.chdb import ChDBStore
from key_value.aio.testing.lifecycle import LifecycleTests
from key_value.aio.testing.stateful import check_against_dict

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture(scope="module")
def module_path() -> str:
    return ":memory:"


@pytest.fixture(autouse=True)
def _engine_in_memory(module_session: object) -> None:
    """Keep the engine running: stopping it takes longer than a test."""


class TestChDBStoreInMemory(LifecycleTests[ChDBStore]):
    stores_envelopes = False

    @pytest.fixture
    async def store(self) -> AsyncIterator[ChDBStore]:
        store = ChDBStore()
        yield store
        await store.close()


def test_a_chdb_store_behaves_like_a_dict() -> None:
    check_against_dict(ChDBStore)


@pytest.mark.parametrize("database_path", [None, ":memory:"])
async def test_stores_in_memory_are_independent(database_path: str | None) -> None:
    async with ChDBStore(database_path=database_path) as store, ChDBStore(database_path=database_path) as other:
        await store.put("a", {"n": 1})
        assert await other.get("a") is None
        assert store.capabilities.durable is False


async def test_entries_in_memory_are_gone_after_closing() -> None:
    store = ChDBStore()
    await store.put("a", {"n": 1})
    await store.close()
    assert await store.get("a") is None
    await store.close()
