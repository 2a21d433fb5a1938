"""Stores that wait, fail or hang, as primary or cache, and writes that must leave no stale entries."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from key_value.aio.errors import StoreConnectionError
from key_value.aio.stores.base import ManagedEntry
from key_value.aio.stores.memory import MemoryStore
from key_value.aio.testing.inner_stores import FullStore

DOWN = StoreConnectionError("the server is down")


class Gated(FullStore):
    """Records reads; holds each operation at a gate: reads after their lookup, writes before they store."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[list[str]] = []
        self.cancelled = 0
        self.read_gate = asyncio.Event()
        self.write_gate = asyncio.Event()
        self.write_gate.set()
        self.writing = asyncio.Event()
        self.error: Exception | None = None
        self.write_error: Exception | None = None

    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
        return (await self._get_managed_entries(collection=collection, keys=[key]))[0]

    async def _get_managed_entries(self, *, collection: str, keys: Sequence[str]) -> list[ManagedEntry | None]:
        self.reads.append(list(keys))
        found = [self.entries.get((collection, key)) for key in keys]
        try:
            await self.read_gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        return found

    async def _before_write(self) -> None:
        self.writing.set()
        await self.write_gate.wait()
        if self.write_error is not None:
            raise self.write_error

    async def _put_managed_entry(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        await self._before_write()
        await super()._put_managed_entry(collection=collection, key=key, managed_entry=managed_entry)

    async def _delete_managed_entry(self, *, collection: str, key: str) -> bool:
        await self._before_write()
        return await super()._delete_managed_entry(collection=collection, key=key)

    async def _delete_store(self) -> bool:
        await self._before_write()
        return await super()._delete_store()

    async def _delete_collection(self, *, collection: str) -> bool:
        await self._before_write()
        return await super()._delete_collection(collection=collection)

    async def fill(self, **values: int) -> None:
        for key, number in values.items():
            await super()._put_managed_entry(
                collection="shelf", key=key, managed_entry=ManagedEntry(value={"n": number}, key=key)
            )


class Faulty(MemoryStore):
    """Fails with a message that contains a value, or hangs, while the flag is set."""

    def __init__(self, *, failing: bool = False, hanging: bool = False) -> None:
        super().__init__()
        self.failing = failing
        self.hanging = hanging

    async def _prepare(self, collection: str) -> None:
        await self._fault()
        await super()._prepare(collection)

    async def _open(self) -> None:
        await self._fault()
        await super()._open()

    async def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
        await self._fault()
        return await super().get(key, collection=collection)

    async def put(self, key: str, value: Any, **options: Any) -> None:
        await self._fault()
        await super().put(key, value, **options)

    async def close(self) -> None:
        await self._fault()
        await super().close()

    async def _fault(self) -> None:
        if self.hanging:
            await asyncio.Event().wait()
        if self.failing:
            message = "could not store hunter2"
            raise ValueError(message)


async def steps(count: int = 20) -> None:
    """Let all tasks that are ready run."""
    for _ in range(count):
        await asyncio.sleep(0)


def started(*calls: Awaitable[Any]) -> list["asyncio.Future[Any]"]:
    return [asyncio.ensure_future(call) for call in calls]


Write = Callable[[Any], Awaitable[object]]

WRITES_TO_SHELF: dict[str, tuple[Write, Any]] = {
    "put": (lambda store: store.put("key", {"n": 2}, collection="shelf"), {"n": 2}),
    "put_many": (lambda store: store.put_many(["a", "key"], [{"n": 2}] * 2, collection="shelf"), {"n": 2}),
    "delete": (lambda store: store.delete("key", collection="shelf"), None),
    "delete_many": (lambda store: store.delete_many(["a", "key"], collection="shelf"), None),
    "destroy": (lambda store: store.destroy(), None),
    "destroy_collection": (lambda store: store.destroy_collection("shelf"), None),
}

each_write = pytest.mark.parametrize(("write", "after"), WRITES_TO_SHELF.values(), ids=WRITES_TO_SHELF)
