"""RaiseOnMissingAdapter: reads raise on request if an entry is missing."""

import pytest
from key_value.aio.adapters import PydanticAdapter, RaiseOnMissingAdapter
from key_value.aio.errors import MissingKeyError
from key_value.aio.protocols import AsyncKeyValue
from key_value.aio.stores.memory import MemoryStore
from key_value.aio.testing import StoreTests, WrapperTests
from key_value.aio.testing.inner_stores import ForeignStore


class TestRaiseOnMissingAdapter(WrapperTests):
    def wrap(self, store: AsyncKeyValue) -> RaiseOnMissingAdapter:
        return RaiseOnMissingAdapter(store)


class TestStoreThroughRaiseOnMissingAdapter(StoreTests[RaiseOnMissingAdapter]):
    many_keys = 1_000

    @pytest.fixture
    def store(self) -> RaiseOnMissingAdapter:
        return RaiseOnMissingAdapter(key_value=MemoryStore())


@pytest.fixture(params=[MemoryStore, ForeignStore])
async def adapter(request: pytest.FixtureRequest) -> RaiseOnMissingAdapter:
    adapter = RaiseOnMissingAdapter(request.param())
    await adapter.put("key", {"a": 1}, collection="shelf")
    return adapter


async def test_existing_entries_are_read(adapter: RaiseOnMissingAdapter) -> None:
    assert await adapter.get("key", collection="shelf", raise_on_missing=True) == {"a": 1}
    assert await adapter.ttl("key", collection="shelf", raise_on_missing=True) == ({"a": 1}, None)
    assert await adapter.get_many(["key", "key"], collection="shelf", raise_on_missing=True) == [{"a": 1}] * 2
    assert await adapter.ttl_many(["key"], collection="shelf", raise_on_missing=True) == [({"a": 1}, None)]
    assert await adapter.get_many([], raise_on_missing=True) == []


@pytest.mark.parametrize("method", ["get", "ttl"])
async def test_a_read_raises_for_a_missing_entry(adapter: RaiseOnMissingAdapter, method: str) -> None:
    with pytest.raises(MissingKeyError) as failure:
        await getattr(adapter, method)("absent", collection="shelf", raise_on_missing=True)
    assert failure.value.extra_info == {"operation": method, "collection": "shelf", "key": "absent"}


@pytest.mark.parametrize("method", ["get_many", "ttl_many"])
async def test_a_batch_raises_for_the_first_missing_entry(adapter: RaiseOnMissingAdapter, method: str) -> None:
    with pytest.raises(MissingKeyError) as failure:
        await getattr(adapter, method)(["key", "one", "two"], collection="shelf", raise_on_missing=True)
    assert failure.value.extra_info == {"operation": method, "collection": "shelf", "key": "one"}


async def test_it_returns_none_by_default_like_the_store(adapter: RaiseOnMissingAdapter) -> None:
    for asked in (await adapter.get("absent"), await adapter.get("absent", raise_on_missing=False)):
        assert asked is None
    assert await adapter.ttl("absent") == (None, None)
    assert await adapter.get_many(["absent"], raise_on_missing=False) == [None]
    assert await adapter.ttl_many(["absent"]) == [(None, None)]


async def test_a_missing_key_is_a_key_error_too(adapter: RaiseOnMissingAdapter) -> None:
    with pytest.raises(KeyError):
        await adapter.get("absent", raise_on_missing=True)


async def test_a_typed_adapter_works_over_it(adapter: RaiseOnMissingAdapter) -> None:
    typed = PydanticAdapter(adapter, dict[str, int])
    assert await typed.get("key", collection="shelf") == {"a": 1}
    assert await typed.get("absent") is None
