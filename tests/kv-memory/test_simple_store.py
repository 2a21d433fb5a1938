import pytest
from key_value.aio.protocols import AsyncCullProtocol, AsyncDestroyCollectionProtocol
from key_value.aio.stores.simple import SimpleStore
from key_value.aio.testing import StoreTests


class TestSimpleStore(StoreTests[SimpleStore]):
    @pytest.fixture
    def store(self) -> SimpleStore:
        return SimpleStore()

    async def read_stored(self, store: SimpleStore, collection: str, key: str) -> str | None:
        entry = vars(store)["_entries"].get((collection, key))
        return None if entry is None else entry.value_as_json


async def test_the_oldest_entry_is_evicted_beyond_the_maximum() -> None:
    store = SimpleStore(max_entries=2)
    for key in ("a", "b", "c"):
        await store.put(key, {"n": 1})
    assert await store.get_many(["a", "b", "c"]) == [None, {"n": 1}, {"n": 1}]


async def test_the_maximum_counts_the_entries_of_all_collections() -> None:
    store = SimpleStore(2)
    for collection in ("one", "two", "three"):
        await store.put("key", {"n": 1}, collection=collection)
    assert await store.collections() == ["two", "three"]


@pytest.mark.parametrize("maximum", [0, -1])
def test_a_maximum_below_one_is_refused(maximum: int) -> None:
    with pytest.raises(ValueError, match="max_entries"):
        SimpleStore(max_entries=maximum)


async def test_the_default_collection_can_be_chosen() -> None:
    store = SimpleStore(default_collection="shelf")
    await store.put("key", {"n": 1})
    assert await store.collections() == ["shelf"]


def test_it_omits_the_optional_protocols_that_a_small_store_does_not_need() -> None:
    assert not isinstance(SimpleStore(), (AsyncCullProtocol, AsyncDestroyCollectionProtocol))
