"""Optional protocols with typed values: versions, pages of keys, lifecycle."""

from collections.abc import Callable
from typing import Any

import pytest
from key_value.aio.adapters import BaseModelAdapter, DataclassAdapter, PydanticAdapter, TypedVersioned
from key_value.aio.core.capabilities import Capabilities
from key_value.aio.errors import DeserializationError, SerializationError
from key_value.aio.stores.memory import MemoryStore
from key_value.aio.testing import FakeClock
from key_value.aio.testing.inner_stores import ForeignStore
from pydantic import BaseModel
from pydantic.dataclasses import dataclass


class User(BaseModel):
    name: str
    visits: int = 0


@dataclass
class Point:
    x: int


ADA, BOB = User(name="Ada"), User(name="Bob")


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def users(store: MemoryStore) -> PydanticAdapter[User]:
    return PydanticAdapter(store, User, "users")


async def test_a_version_comes_with_a_typed_value_and_its_ttl(users: PydanticAdapter[User]) -> None:
    with FakeClock():
        await users.put("ada", ADA, ttl=60)
        value, ttl, version = await users.get_versioned("ada")
    assert (value, ttl) == (ADA, 60.0)
    assert version


async def test_an_absent_entry_has_no_version(users: PydanticAdapter[User]) -> None:
    assert await users.get_versioned("ada") == TypedVersioned(None, None, None)


async def test_a_value_is_put_or_deleted_only_if_its_version_is_current(
    users: PydanticAdapter[User], store: MemoryStore
) -> None:
    assert await users.put_if_version("ada", ADA, None) is True
    assert await users.put_if_version("ada", BOB, None) is False
    version = (await users.get_versioned("ada")).version
    assert version is not None
    await users.put("ada", BOB)
    assert await users.put_if_version("ada", ADA, version) is False
    assert await users.delete_if_version("ada", version) is False
    assert await store.get("ada", collection="users") == {"name": "Bob", "visits": 0}
    version = (await users.get_versioned("ada")).version
    assert version is not None
    with FakeClock():
        assert await users.put_if_version("ada", ADA, version, ttl=5) is True
        assert await users.ttl("ada") == (ADA, 5.0)
    version = (await users.get_versioned("ada")).version
    assert version is not None
    assert await users.delete_if_version("ada", version) is True
    assert await store.get("ada", collection="users") is None


async def test_put_if_absent_stores_only_the_first_value(users: PydanticAdapter[User]) -> None:
    with FakeClock():
        assert await users.put_if_absent("ada", ADA, ttl=5) is True
        assert await users.put_if_absent("ada", BOB) is False
        assert await users.ttl("ada") == (ADA, 5.0)
    assert await users.put_if_absent("ada", BOB, collection="others") is True


async def test_an_invalid_payload_has_a_version_and_can_be_replaced(
    users: PydanticAdapter[User], store: MemoryStore
) -> None:
    await store.put("ada", {"name": 5}, collection="users")
    value, _, version = await users.get_versioned("ada")
    assert value is None
    assert version is not None
    assert await users.put_if_absent("ada", ADA) is False
    strict = PydanticAdapter(store, User, "users", raise_on_validation_error=True)
    with pytest.raises(DeserializationError, match="name: string_type"):
        await strict.get_versioned("ada")
    assert await users.put_if_version("ada", ADA, version) is True
    assert await users.get("ada") == ADA


async def test_conditional_writes_refuse_an_invalid_value_too(users: PydanticAdapter[Any], store: MemoryStore) -> None:
    for put in (lambda: users.put_if_absent("ada", 5), lambda: users.put_if_version("ada", 5, None)):
        with pytest.raises(SerializationError, match="must be of type User, not int"):
            await put()
    assert await store.collections() == []


async def test_keys_are_listed_at_once_and_in_pages(store: MemoryStore) -> None:
    users = BaseModelAdapter(store, User, "users")
    await users.put_many(["a1", "a2", "b1"], [ADA] * 3)
    await users.put("c1", ADA, collection="others")
    assert sorted(await users.keys()) == ["a1", "a2", "b1"]
    assert len(await users.keys(limit=2)) == 2
    assert await users.keys("others") == ["c1"]
    found: list[str] = []
    page = await users.scan(prefix="a", limit=1)
    found += page.keys
    while page.cursor is not None:
        page = await users.scan(prefix="a", cursor=page.cursor, limit=1)
        found += page.keys
    assert sorted(found) == ["a1", "a2"]
    assert (await users.scan("others")).keys == ["c1"]


CALLS: list[tuple[str, Callable[[PydanticAdapter[User]], Any]]] = [
    ("AsyncVersionedProtocol", lambda users: users.get_versioned("ada")),
    ("AsyncVersionedProtocol", lambda users: users.put_if_version("ada", ADA, None)),
    ("AsyncVersionedProtocol", lambda users: users.delete_if_version("ada", "1")),
    ("AsyncVersionedProtocol", lambda users: users.update("ada", lambda _: ADA)),
    ("AsyncPutIfAbsentProtocol", lambda users: users.put_if_absent("ada", ADA)),
    ("AsyncEnumerateKeysProtocol", lambda users: users.keys()),
    ("AsyncScanProtocol", lambda users: users.scan()),
]


@pytest.mark.parametrize(("protocol", "call"), CALLS)
async def test_a_missing_protocol_is_a_type_error_that_names_it(
    protocol: str, call: Callable[[PydanticAdapter[User]], Any]
) -> None:
    with pytest.raises(TypeError, match=f"ForeignStore.* does not satisfy {protocol}"):
        await call(PydanticAdapter(ForeignStore(), User))


class RecordingStore(MemoryStore):
    """Records when it is opened and closed."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[str] = []

    async def setup(self) -> None:
        self.events.append("setup")

    async def close(self) -> None:
        self.events.append("close")


async def test_an_adapter_opens_and_closes_its_store() -> None:
    store = RecordingStore()
    async with DataclassAdapter(store, Point) as points:
        assert isinstance(points, DataclassAdapter)
        assert store.events == ["setup"]
    assert store.events == ["setup", "close"]
    await points.setup()
    await points.close()
    assert store.events == ["setup", "close"] * 2


async def test_a_store_without_lifecycle_is_always_open() -> None:
    async with PydanticAdapter(ForeignStore(), User) as users:
        await users.put("ada", ADA)
        assert await users.get("ada") == ADA
        assert users.capabilities == Capabilities()


def test_the_capabilities_are_those_of_the_store(users: PydanticAdapter[User], store: MemoryStore) -> None:
    assert users.capabilities == store.capabilities
