"""Copies of stores and wrappers, by pickle and by deepcopy."""

from __future__ import annotations

import asyncio
import copy
import pickle
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.stores.memory import MemoryStore
from key_value.aio.stores.simple import SimpleStore
from key_value.aio.urls import open_store
from key_value.aio.wrappers.compression import CompressionWrapper
from key_value.aio.wrappers.encryption import FernetEncryptionWrapper
from key_value.aio.wrappers.passthrough_cache import PassthroughCacheWrapper
from key_value.aio.wrappers.routing import CollectionRoutingWrapper
from key_value.aio.wrappers.statistics import StatisticsWrapper

from .local_stores import URLS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from key_value.aio.protocols import AsyncKeyValue


def pickled(store: Any) -> Any:
    return pickle.loads(pickle.dumps(store))  # noqa: S301 — our own


@pytest.mark.parametrize("copied", [pickled, copy.deepcopy])
@pytest.mark.parametrize("name", URLS.keys() - {"duckdb in memory", "duckdb", "rocksdb", "keyring", "memory", "simple"})
def test_a_copy_opens_the_same_data_independently(name: str, copied: Callable[[Any], Any], tmp_path: Path) -> None:
    store: Any = open_store(URLS[name].format(tmp_path), default_collection="shelf")

    async def use() -> None:
        await store.put("key", {"n": 1})
        same = copied(store)
        assert type(same) is type(store)
        assert repr(same) == repr(store)
        assert await same.get("key", collection="shelf") == {"n": 1}
        await same.close()
        await store.close()

    asyncio.run(use())


async def test_a_copy_of_a_memory_store_has_only_its_options_and_its_seed() -> None:
    store = MemoryStore(max_entries_per_collection=1, default_collection="shelf", seed={"shelf": {"key": {"n": 1}}})
    await store.put("other", {"n": 2})
    same: MemoryStore = pickled(store)
    assert await same.get_many(["key", "other"]) == [{"n": 1}, None]
    await same.put("third", {"n": 3})
    assert await same.get_many(["key", "third"], collection="shelf") == [None, {"n": 3}]
    assert await store.get_many(["other", "third"]) == [{"n": 2}, None]


class Shelf(SimpleStore):
    """A third-party store with additional constructor arguments."""

    def __init__(self, label: str, /, *pages: int, owner: str = "me", **options: Any) -> None:
        self.description = (label, pages, owner)
        super().__init__(**options)


def test_a_third_party_store_is_copied_with_its_own_arguments() -> None:
    store: Any = Shelf("first", 1, 2, owner="you", max_entries=3)
    for same in (pickled(store), copy.deepcopy(store), pickled(pickled(store))):
        assert same.description == ("first", (1, 2), "you")


class Client:
    """A client of the caller, bound to this process."""

    def __reduce__(self) -> tuple[Any, ...]:
        message = "cannot pickle a socket"
        raise TypeError(message)


class ClientStore(SimpleStore):
    def __init__(self, *, client: Any) -> None:
        self.client = client
        super().__init__()


@pytest.mark.parametrize("copied", [pickled, copy.deepcopy])
def test_copying_a_store_with_a_client_is_a_clear_error(copied: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError, match="cannot be pickled or copied: its client is a Client"):
        copied(ClientStore(client=Client()))


@pytest.mark.parametrize("copied", [pickled, copy.deepcopy])
def test_a_picklable_client_is_not_copied_either(copied: Callable[[Any], Any]) -> None:
    """Some drivers' clients can be pickled, unconnected and with their passwords."""
    with pytest.raises(TypeError, match="cannot be pickled or copied: its client is a dict"):
        copied(ClientStore(client={"password": "hunter2"}))
    assert copied(ClientStore(client=None)).client is None


WRAPPED: dict[str, Callable[[AsyncKeyValue], AsyncKeyValue]] = {
    "compressed": CompressionWrapper,
    "routed": lambda store: CollectionRoutingWrapper({"shelf": store}, store),
    "encrypted": lambda store: FernetEncryptionWrapper(store, source_material="secret", salt="salt"),
    "cached": lambda store: PassthroughCacheWrapper(store, MemoryStore()),
    "counted": StatisticsWrapper,
}


@pytest.mark.parametrize("copied", [pickled, copy.deepcopy])
@pytest.mark.parametrize("name", WRAPPED)
async def test_a_wrapper_is_copied_with_its_store(name: str, copied: Callable[[Any], Any], tmp_path: Path) -> None:
    store: Any = WRAPPED[name](open_store(f"disk://{tmp_path}"))
    await store.put("key", {"text": "x" * 5000})
    same = copied(store)
    assert await same.get("key") == {"text": "x" * 5000}
    await same.close()
    await store.close()
