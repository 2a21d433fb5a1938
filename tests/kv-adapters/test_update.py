"""Updating a typed value without losing changes."""

import asyncio
import sys

import pytest
from key_value.aio.adapters import PydanticAdapter
from key_value.aio.errors import DeserializationError, SerializationError
from key_value.aio.stores.memory import MemoryStore
from key_value.aio.testing import FakeClock
from pydantic import BaseModel


class Account(BaseModel):
    balance: int = 0


def deposit(found: Account | None) -> Account:
    return Account(balance=(found or Account()).balance + 1)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def accounts(store: MemoryStore) -> PydanticAdapter[Account]:
    return PydanticAdapter(store, Account, "accounts")


async def test_a_value_is_replaced_by_the_result_of_the_function(
    accounts: PydanticAdapter[Account], store: MemoryStore
) -> None:
    assert await accounts.update("ada", deposit) == Account(balance=1)
    assert await accounts.update("ada", deposit) == Account(balance=2)
    assert await store.get("ada", collection="accounts") == {"balance": 2}
    assert await accounts.update("ada", deposit, collection="others") == Account(balance=1)


async def test_the_ttl_is_kept(accounts: PydanticAdapter[Account]) -> None:
    with FakeClock() as clock:
        await accounts.put("ada", Account(), ttl=60)
        clock.advance(20)
        await accounts.update("ada", deposit)
        assert await accounts.ttl("ada") == (Account(balance=1), 40.0)


async def test_no_update_is_lost(accounts: PydanticAdapter[Account]) -> None:
    async def many() -> None:
        for _ in range(20):
            await accounts.update("ada", deposit)

    await asyncio.gather(*(many() for _ in range(20)))
    assert await accounts.get("ada") == Account(balance=400)


async def test_an_invalid_result_leaves_the_entry_unchanged(accounts: PydanticAdapter[Account]) -> None:
    await accounts.put("ada", Account(balance=5))
    with pytest.raises(SerializationError, match=r"value\.balance: int_parsing"):
        await accounts.update("ada", lambda _: Account.model_construct(balance="much"))  # type: ignore[arg-type]
    assert await accounts.get("ada") == Account(balance=5)


async def test_an_exception_in_the_function_leaves_the_entry_unchanged(accounts: PydanticAdapter[Account]) -> None:
    def refuse(_: Account | None) -> Account:
        raise PermissionError

    await accounts.put("ada", Account(balance=5))
    with pytest.raises(PermissionError):
        await accounts.update("ada", refuse)
    assert await accounts.get("ada") == Account(balance=5)


async def test_an_invalid_payload_is_replaced_or_an_error(
    accounts: PydanticAdapter[Account], store: MemoryStore
) -> None:
    await store.put("ada", {"balance": None}, collection="accounts")
    strict = PydanticAdapter(store, Account, "accounts", raise_on_validation_error=True)
    with pytest.raises(DeserializationError, match="collection='accounts', key='ada'"):
        await strict.update("ada", deposit)
    assert await accounts.update("ada", deposit) == Account(balance=1)


async def test_an_asynchronous_function_is_a_type_error(accounts: PydanticAdapter[Account]) -> None:
    async def later(_: Account | None) -> Account:
        return Account()

    with pytest.raises(TypeError, match="it cannot be asynchronous"):
        await accounts.update("ada", later)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert await accounts.get("ada") is None


async def test_without_kv_atomic_the_error_says_what_to_install(
    accounts: PydanticAdapter[Account], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "key_value.aio.atomic", None)
    with pytest.raises(ImportError, match=r"pip install 'kv-adapters\[atomic\]'"):
        await accounts.update("ada", deposit)
