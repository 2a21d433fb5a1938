"""Data exchanged with py-key-value-aio 0.5.0 in one secrets engine."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import exchange
import pytest
from key_value.aio.stores.vault import VaultStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from predecessor import Predecessor

NAMES = exchange.named("höme/é 🌍", "a::b", "client?id=1#x", "A", "a%2Fb", "..a", "n" * 900)
VALUES = {**exchange.VALUES, **NAMES, "large": {"integer": 2**70}}


@pytest.fixture
def predecessor(predecessor_of: Callable[[str], Predecessor], place: dict[str, Any]) -> Callable[..., list[Any]]:
    return partial(predecessor_of("vault").call, f"VaultStore(**{place!r})")


@pytest.fixture
async def store(place: dict[str, Any]) -> AsyncIterator[VaultStore]:
    async with VaultStore(**place) as store:
        yield store


async def test_this_store_reads_and_replaces_entries_of_the_predecessor(
    store: VaultStore, predecessor: Callable[..., list[Any]]
) -> None:
    await exchange.check_ours_reads(store, predecessor, VALUES)


async def test_the_predecessor_reads_entries_of_this_store(
    store: VaultStore, predecessor: Callable[..., list[Any]]
) -> None:
    await exchange.check_predecessor_reads(store, predecessor, {**VALUES, **exchange.FLOATS})


async def test_a_write_by_the_predecessor_changes_the_version(
    store: VaultStore, predecessor: Callable[..., list[Any]]
) -> None:
    await exchange.check_versions(store, predecessor)


async def test_an_entry_deleted_by_this_store_is_absent_for_the_predecessor(
    store: VaultStore, predecessor: Callable[..., list[Any]]
) -> None:
    await store.put("key", {"n": 1})
    assert await store.delete("key")
    assert predecessor(("get", {"key": "key"}), ("put", {"key": "key", "value": {"n": 2}})) == [None, None]
    assert await store.get("key") == {"n": 2}
