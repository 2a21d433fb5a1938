"""The one loop of this package: read, decide, write only if nobody has written in between; else start again."""

from asyncio import sleep
from collections.abc import Callable, Mapping
from random import random
from time import monotonic
from typing import Any, NamedTuple, SupportsFloat, cast

from key_value.aio.atomic.turns import turn
from key_value.aio.errors import KeyValueStoreError
from key_value.aio.protocols import AsyncKeyValue, AsyncVersionedProtocol, Versioned

__all__ = ["Put", "Remove", "Store", "exchange", "versioned"]

Store = AsyncKeyValue | AsyncVersionedProtocol
"""A wrapper has versions if its inner store has, which its type does not show; so both are accepted and checked."""

_METHODS = ("get_versioned", "put_if_version", "delete_if_version")
_MOST_DOUBLINGS = 5
_MOST_REFUSALS = 20


class Put(NamedTuple):
    """The decision to store a value; a ttl of None means forever."""

    value: Mapping[str, Any]
    ttl: SupportsFloat | None


class Remove(NamedTuple):
    """The decision to remove the entry."""

    version: str


def versioned(store: Store) -> AsyncVersionedProtocol:
    """The store, typed as one with versions. Raises TypeError if it has none."""
    # Replaces isinstance, which takes half the time of an increment before Python 3.12.
    for method in _METHODS:
        if not hasattr(store, method):
            message = f"{type(store).__qualname__} does not satisfy AsyncVersionedProtocol: no conditional writes"
            raise TypeError(message)
    return cast("AsyncVersionedProtocol", store)


async def exchange(
    store: AsyncVersionedProtocol,
    key: str,
    collection: str | None,
    decide: Callable[[Versioned], Put | Remove | None],
) -> bool:
    """Carry out the decision that `decide` returns for the entry; return False if it is None, which leaves the entry as
    it is.

    `decide` is called again whenever somebody else has written between the read and the write; the last call counts.
    Its exceptions and those of the store pass through: a write of unknown outcome is not repeated. Without contention
    it makes two calls of the store.
    """
    async with turn(store, (collection, key)):
        version, refusals, attempts = None, 0, 0
        while True:
            began = monotonic()
            found = await store.get_versioned(key, collection=collection)
            if attempts:
                refusals = refusals + 1 if found.version == version else 0
                _check_progress(refusals)
            version = found.version
            decision = decide(found)
            if decision is None:
                return False
            if await _write(store, key, collection, version, decision):
                return True
            # Those who met are not to meet again, whether an attempt takes 10 µs or 100 ms.
            longest = (monotonic() - began) * 2 ** min(attempts, _MOST_DOUBLINGS)
            await sleep(longest * random())  # noqa: S311 — no secret
            attempts += 1


async def _write(
    store: AsyncVersionedProtocol, key: str, collection: str | None, version: str | None, decision: Put | Remove
) -> bool:
    if isinstance(decision, Remove):
        return await store.delete_if_version(key, decision.version, collection=collection)
    return await store.put_if_version(key, decision.value, version, collection=collection, ttl=decision.ttl)


def _check_progress(refusals: int) -> None:
    # A wrapper that drops writes in silence refuses for ever. That an entry is made and removed between every read and
    # write, so often in a row, is not chance.
    if refusals >= _MOST_REFUSALS:
        message = f"the store refused {refusals} conditional writes in a row of an entry that nobody has changed"
        raise KeyValueStoreError(message)
