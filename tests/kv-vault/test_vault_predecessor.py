"""Data that py-key-value-aio 0.5.0 and this store write for each other, in one secrets engine."""

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


async def test_this_store_reads_and_replaces_what_the_predecessor_wrote(
    store: VaultStore, predecessor: Callable[..., list[Any]]
) -> None:
    await exchange.check_ours_reads(store, predecessor, VALUES)


async def test_the_predecessor_reads_what_this_store_wrote(
    store: VaultStore, predecessor: Callable[..., list[Any]]
) -> None:
    await exchange.check_predecessor_reads(store, predecessor, {**VALUES, **exchange.FLOATS})


async def test_a_write_of_the_predecessor_changes_the_version(
    store: VaultStore, predecessor: Callable[..., list[Any]]
) -> None:
    await exchange.check_versions(store, predecessor)


async def test_the_predecessor_finds_no_entry_that_this_store_has_deleted(
    store: VaultStore, predecessor: Callable[..., list[Any]]
) -> None:
    await store.put("key", {"n": 1})
    assert await store.delete("key")
    assert predecessor(("get", {"key": "key"}), ("put", {"key": "key", "value": {"n": 2}})) == [None, None]
    assert await store.get("key") == {"n": 2}
