"""A framework that depends only on AsyncKeyValue, whichever store its user passes."""

from collections.abc import Mapping
from typing import Any

from key_value.aio.errors import KeyValueStoreError
from key_value.aio.protocols import (
    AsyncEnumerateKeysProtocol,
    AsyncKeyValue,
    AsyncLifecycleProtocol,
    AsyncScanProtocol,
    AsyncVersionedProtocol,
    CapabilitiesProtocol,
    KeyPage,
    Versioned,
)

COLLECTION = "sessions"


async def save(store: AsyncKeyValue, session: str, state: Mapping[str, Any]) -> None:
    await store.put(session, state, collection=COLLECTION, ttl=3600)


async def load(store: AsyncKeyValue, session: str) -> dict[str, Any]:
    try:
        state: dict[str, Any] | None = await store.get(session, collection=COLLECTION)
    except KeyValueStoreError:
        state = None
    return {} if state is None else state


async def exercise(store: AsyncKeyValue) -> int:
    """Call each of the eight methods; return the number of deleted entries."""
    await save(store, "one", {"user": "ada", "roles": ["admin"]})
    await store.put_many(keys=["two", "three"], values=[{"user": "bob"}, {}], collection=COLLECTION, ttl=1.5)
    value: dict[str, Any] | None = await store.get(key="one", collection=COLLECTION)
    remaining: tuple[dict[str, Any] | None, float | None] = await store.ttl("one", collection=COLLECTION)
    values: list[dict[str, Any] | None] = await store.get_many(["one", "two"], collection=COLLECTION)
    with_ttl: list[tuple[dict[str, Any] | None, float | None]] = await store.ttl_many(("one",), collection=COLLECTION)
    existed: bool = await store.delete("one", collection=COLLECTION)
    deleted: int = await store.delete_many(["two", "three"], collection=COLLECTION)
    consistent = value == remaining[0] == values[0] == with_ttl[0][0]
    return deleted + existed if consistent else 0


async def sessions(store: AsyncKeyValue) -> list[str]:
    if isinstance(store, AsyncEnumerateKeysProtocol):
        keys: list[str] = await store.keys(COLLECTION)
        return keys
    return []


async def start(store: AsyncKeyValue) -> bool:
    """Open the store; return whether sessions survive the process."""
    if isinstance(store, AsyncLifecycleProtocol):
        await store.setup()
    return store.capabilities.durable if isinstance(store, CapabilitiesProtocol) else False


async def stop(store: AsyncKeyValue) -> None:
    if isinstance(store, AsyncLifecycleProtocol):
        await store.close()


async def page(store: AsyncKeyValue, cursor: str | None) -> KeyPage:
    if isinstance(store, AsyncScanProtocol):
        return await store.scan(COLLECTION, prefix="s", cursor=cursor, limit=10)
    return KeyPage([], None)


async def count_visit(store: AsyncKeyValue, session: str) -> int | None:
    if not isinstance(store, AsyncVersionedProtocol):
        return None
    found: Versioned = await store.get_versioned(session, collection=COLLECTION)
    visits: int = 1 if found.value is None else found.value["visits"] + 1
    stored: bool = await store.put_if_version(session, {"visits": visits}, found.version, collection=COLLECTION)
    return visits if stored else None
