"""The methods of a typed adapter, over MemoryStore and over an object with only the eight methods."""

import pytest
from key_value.aio.adapters import BaseModelAdapter, DataclassAdapter, PydanticAdapter
from key_value.aio.errors import InvalidKeyError, InvalidTTLError
from key_value.aio.protocols import AsyncKeyValue
from key_value.aio.stores.memory import MemoryStore
from key_value.aio.testing import FakeClock
from key_value.aio.testing.inner_stores import ForeignStore
from pydantic import BaseModel
from pydantic.dataclasses import dataclass


class User(BaseModel):
    name: str
    age: int = 0


@dataclass
class Point:
    x: int
    y: int = 0


ADA, BOB = User(name="Ada", age=36), User(name="Bob")


@pytest.fixture(params=[MemoryStore, ForeignStore])
def store(request: pytest.FixtureRequest) -> AsyncKeyValue:
    return request.param()


@pytest.fixture
def users(store: AsyncKeyValue) -> PydanticAdapter[User]:
    return PydanticAdapter(store, User)


async def test_a_stored_value_is_read(users: PydanticAdapter[User], store: AsyncKeyValue) -> None:
    await users.put("ada", ADA, collection="users")
    assert await users.get("ada", collection="users") == ADA
    assert await store.get("ada", collection="users") == {"name": "Ada", "age": 36}


async def test_arguments_may_be_passed_by_keyword(users: PydanticAdapter[User]) -> None:
    await users.put(key="ada", value=ADA, ttl=None)
    assert await users.get(key="ada") == ADA
    assert await users.delete(key="ada") is True


async def test_an_absent_entry_is_none_or_the_default(users: PydanticAdapter[User]) -> None:
    assert await users.get("ada") is None
    assert await users.get("ada", default=BOB) is BOB
    assert await users.ttl("ada") == (None, None)


async def test_collections_are_separate(users: PydanticAdapter[User]) -> None:
    await users.put("key", ADA, collection="one")
    assert await users.get("key", collection="two") is None
    assert await users.get("key") is None


async def test_a_batch_keeps_its_order(users: PydanticAdapter[User]) -> None:
    await users.put_many(["ada", "bob"], [ADA, BOB], collection="users")
    keys = ["bob", "eve", "ada", "bob"]
    assert await users.get_many(keys, collection="users") == [BOB, None, ADA, BOB]
    assert await users.get_many(keys, collection="users", default=ADA) == [BOB, ADA, ADA, BOB]
    assert await users.ttl_many(keys[:2], collection="users") == [(BOB, None), (None, None)]
    assert await users.get_many([]) == []


async def test_a_batch_needs_a_value_for_each_key(users: PydanticAdapter[User]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 — the message depends on the store
        await users.put_many(["ada", "bob"], [ADA])


async def test_deleting_reports_whether_entries_existed(users: PydanticAdapter[User]) -> None:
    await users.put_many(["a", "b", "c"], [ADA] * 3, collection="users")
    assert await users.delete("a", collection="users") is True
    assert await users.delete("a", collection="users") is False
    assert await users.delete_many(["a", "b", "c"], collection="users") == 2
    assert await users.get_many(["a", "b", "c"], collection="users") == [None, None, None]


async def test_a_value_expires_after_its_ttl() -> None:
    users = PydanticAdapter(MemoryStore(), User)
    with FakeClock() as clock:
        await users.put("ada", ADA, ttl=90)
        await users.put_many(["bob"], [BOB], ttl=90.5)
        clock.advance(30)
        assert await users.ttl("ada") == (ADA, 60.0)
        assert await users.ttl_many(["bob", "eve"]) == [(BOB, 60.5), (None, None)]
        clock.advance(60)
        assert await users.get_many(["ada", "bob"]) == [None, BOB]


async def test_invalid_arguments_are_refused_by_the_store() -> None:
    users = PydanticAdapter(MemoryStore(), User)
    with pytest.raises(InvalidTTLError):
        await users.put("ada", ADA, ttl=0)
    with pytest.raises(InvalidKeyError):
        await users.get("")
    with pytest.raises(InvalidKeyError):
        await users.get("ada", collection="")


async def test_a_stored_none_is_a_value(store: AsyncKeyValue) -> None:
    adapter = PydanticAdapter[User | None](store, User | None)
    await adapter.put("nobody", None)
    assert await adapter.get("nobody", default=ADA) is None
    assert await adapter.get_many(["nobody", "absent"], default=ADA) == [None, ADA]
    assert await store.get("nobody") == {"items": None}


async def test_the_default_collection_is_used_if_none_is_passed(store: AsyncKeyValue) -> None:
    users = PydanticAdapter(store, User, "users")
    await users.put("ada", ADA)
    await users.put_many(["bob", "eve"], [BOB, BOB])
    assert await store.get_many(["ada", "bob"], collection="users") == [{"name": "Ada", "age": 36}, BOB.model_dump()]
    assert await users.get_many(["ada", "bob"]) == [ADA, BOB]
    assert await users.ttl("ada") == (ADA, None)
    assert await users.ttl_many(["ada"]) == [(ADA, None)]
    assert await users.get("ada", collection="others") is None
    assert await users.delete("ada") is True
    assert await users.delete_many(["bob", "eve"]) == 2


async def test_a_value_that_was_read_may_be_modified(store: AsyncKeyValue) -> None:
    adapter = PydanticAdapter(store, dict[str, list[int]])
    mine = {"a": [1]}
    await adapter.put("key", mine)
    mine["a"].append(2)
    (await adapter.get("key") or {})["a"].append(3)
    assert await adapter.get("key") == {"a": [1]}


async def test_base_model_adapter_stores_models_and_lists_of_models(store: AsyncKeyValue) -> None:
    await BaseModelAdapter(store, User).put("one", ADA)
    await BaseModelAdapter(key_value=store, pydantic_model=list[User], default_collection="lists").put("two", [ADA])
    assert await store.get("one") == {"name": "Ada", "age": 36}
    assert await store.get("two", collection="lists") == {"items": [{"name": "Ada", "age": 36}]}
    assert await BaseModelAdapter(store, list[User]).get("two", collection="lists") == [ADA]


async def test_dataclass_adapter_stores_dataclasses_and_lists_of_dataclasses(store: AsyncKeyValue) -> None:
    await DataclassAdapter(store, Point).put("one", Point(1))
    await DataclassAdapter(key_value=store, dataclass_type=list[Point], default_collection="lists").put(
        "two", [Point(2)]
    )
    assert await store.get("one") == {"x": 1, "y": 0}
    assert await store.get("two", collection="lists") == {"items": [{"x": 2, "y": 0}]}
    assert await DataclassAdapter(store, list[Point]).get("two", collection="lists") == [Point(2)]


def test_a_repr_names_the_type_and_the_store() -> None:
    assert repr(PydanticAdapter(MemoryStore(), list[int])) == "PydanticAdapter(MemoryStore(), list[int])"
    assert repr(BaseModelAdapter(MemoryStore(), User)) == "BaseModelAdapter(MemoryStore(), User)"
