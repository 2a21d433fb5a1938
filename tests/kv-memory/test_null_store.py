import pytest
from key_value.aio.errors import InvalidKeyError, InvalidTTLError, SerializationError
from key_value.aio.protocols import AsyncKeyValue
from key_value.aio.stores.null import NullStore


def test_it_is_a_store() -> None:
    assert isinstance(NullStore(), AsyncKeyValue)


async def test_nothing_is_kept() -> None:
    async with NullStore() as store:
        await store.put("key", {"a": 1}, ttl=10)
        await store.put_many(["one", "two"], [{"a": 1}, {"a": 2}])
        assert await store.get("key") is None
        assert await store.ttl("key") == (None, None)
        assert await store.get_many(["key", "one"]) == [None, None]
        assert await store.ttl_many(["two"]) == [(None, None)]


async def test_deleting_finds_no_entries() -> None:
    store = NullStore()
    await store.put("key", {"a": 1})
    assert await store.delete("key") is False
    assert await store.delete_many(["key", "other"]) == 0


async def test_invalid_arguments_are_refused_as_by_other_stores() -> None:
    store = NullStore()
    with pytest.raises(SerializationError):
        await store.put("key", {"when": object()})
    with pytest.raises(InvalidTTLError):
        await store.put("key", {"a": 1}, ttl=0)
    with pytest.raises(InvalidKeyError):
        await store.get("")
