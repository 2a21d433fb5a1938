"""An application that stores values of its own types, for type checkers; it also runs."""

import asyncio
import datetime as dt
from dataclasses import dataclass
from typing import Annotated, Any

from key_value.aio.adapters import (
    BaseModelAdapter,
    DataclassAdapter,
    PydanticAdapter,
    RaiseOnMissingAdapter,
    TypedVersioned,
)
from key_value.aio.protocols import AsyncKeyValue, AsyncVersionedProtocol, KeyPage
from key_value.aio.stores.memory import MemoryStore
from pydantic import BaseModel, Field
from typing_extensions import TypedDict, assert_type


class User(BaseModel):
    name: str


class Movie(TypedDict):
    title: str


@dataclass
class Point:
    x: int


ADA = User(name="Ada")


async def with_an_explicit_type(store: AsyncKeyValue) -> None:
    users = PydanticAdapter[list[User]](key_value=store, pydantic_model=list[User])
    await users.put("all", [ADA], collection="users", ttl=60)
    await users.put_many(keys=["one", "two"], values=[[], [ADA]], ttl=1.5)
    assert_type(await users.get("all"), list[User] | None)
    assert_type(await users.get(key="all", collection="users", default=None), list[User] | None)
    assert_type(await users.get("all", default=[ADA]), list[User])
    assert_type(await users.get_many(["one", "two"]), list[list[User] | None])
    assert_type(await users.get_many(["one", "two"], default=[ADA]), list[list[User]])
    assert_type(await users.ttl("all"), tuple[list[User] | None, float | None])
    assert_type(await users.ttl_many(["all"]), list[tuple[list[User] | None, float | None]])
    assert_type(await users.delete("all"), bool)
    assert_type(await users.delete_many(["all"]), int)
    either = PydanticAdapter[User | int](store, User | int, "either", raise_on_validation_error=True)
    assert_type(await either.get("key", default=5), User | int)
    perhaps = PydanticAdapter[User | None](store, User | None)
    assert_type(await perhaps.get("key"), User | None)
    anything = PydanticAdapter[Any](store, Annotated[User | Movie, Field()])
    await anything.put("key", ADA)


async def with_an_inferred_type(store: AsyncKeyValue) -> None:
    assert_type(PydanticAdapter(store, User), PydanticAdapter[User])
    assert_type(PydanticAdapter(key_value=store, pydantic_model=User), PydanticAdapter[User])
    assert_type(PydanticAdapter[User](key_value=store, pydantic_model=User), PydanticAdapter[User])
    assert_type(PydanticAdapter(store, list[User]), PydanticAdapter[list[User]])
    assert_type(PydanticAdapter(store, dt.datetime), PydanticAdapter[dt.datetime])
    assert_type(PydanticAdapter(store, Movie), PydanticAdapter[Movie])
    assert_type(PydanticAdapter(store, Point), PydanticAdapter[Point])
    assert_type(PydanticAdapter(store, dict[str, int]), PydanticAdapter[dict[str, int]])
    assert_type(PydanticAdapter(store, User | Movie), PydanticAdapter[User | Movie])
    assert_type(PydanticAdapter(store, Annotated[User, "note"]), PydanticAdapter[User])
    assert_type(await PydanticAdapter(store, User).get("key"), User | None)
    assert_type(await PydanticAdapter(store, User).get("key", default=ADA), User)
    assert_type(await BaseModelAdapter(store, User).get("key", default=ADA), User)
    assert_type(await BaseModelAdapter(store, pydantic_model=list[User]).get("list"), list[User] | None)
    assert_type(await BaseModelAdapter[User](store, User).ttl("key"), tuple[User | None, float | None])
    assert_type(await DataclassAdapter(store, Point).get("point"), Point | None)
    assert_type(await DataclassAdapter(store, dataclass_type=list[Point]).get("points"), list[Point] | None)


async def with_optional_protocols(store: AsyncKeyValue) -> None:
    async with PydanticAdapter(store, User, "users") as users:
        assert_type(users, PydanticAdapter[User])
        if not isinstance(store, AsyncVersionedProtocol):
            return
        found = await users.get_versioned("ada")
        assert_type(found, TypedVersioned[User])
        assert_type(found.value, User | None)
        value, ttl, version = found
        assert_type((value, ttl, version), tuple[User | None, float | None, str | None])
        assert_type(await users.put_if_version("ada", ADA, version, ttl=ttl), bool)
        assert_type(await users.put_if_absent("ada", ADA), bool)
        assert_type(await users.update("ada", lambda user: user or ADA), User)
        assert_type(await users.keys(), list[str])
        assert_type(await users.scan(prefix="a"), KeyPage)


async def with_missing_entries(store: AsyncKeyValue, strict: bool) -> None:  # noqa: FBT001 — passed on
    adapter = RaiseOnMissingAdapter(key_value=store)
    await adapter.put("key", {"name": "Ada"})
    assert_type(await adapter.get("key"), dict[str, Any] | None)
    assert_type(await adapter.get("key", raise_on_missing=True), dict[str, Any])
    assert_type(await adapter.get("key", raise_on_missing=strict), dict[str, Any] | None)
    assert_type(await adapter.get_many(["key"], raise_on_missing=True), list[dict[str, Any]])
    assert_type(await adapter.ttl("key", raise_on_missing=True), tuple[dict[str, Any], float | None])
    assert_type(await adapter.ttl_many(["key"], raise_on_missing=True), list[tuple[dict[str, Any], float | None]])
    as_store: AsyncKeyValue = adapter
    await with_an_inferred_type(as_store)


async def main() -> None:
    store = MemoryStore()
    await with_an_explicit_type(store)
    await with_an_inferred_type(MemoryStore())
    await with_optional_protocols(MemoryStore())
    await with_missing_entries(MemoryStore(), strict=True)
    print(await store.keys("users"))  # noqa: T201 — the result of the program


if __name__ == "__main__":
    asyncio.run(main())
