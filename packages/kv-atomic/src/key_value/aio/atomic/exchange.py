"""The loop behind all operations: read, decide, write if the entry has not changed; otherwise start again."""

from asyncio import sleep
from collections.abc import Callable, Mapping
from random import random
from time import monotonic
from typing import Any, NamedTuple, SupportsFloat, cast

from key_value.aio.atomic.turns import turn
from key_value.aio.errors import KeyValueStoreError
from key_value.aio.protocols import AsyncKeyValue, AsyncVersionedProtocol, Versioned

__all__ = ["Put", "Remove", "Store", "exchange", "require_versions"]

Store = AsyncKeyValue | AsyncVersionedProtocol
"""Accepts both types and checks at runtime, because the type of a wrapper does not show whether it has versions."""

_METHODS = ("get_versioned", "put_if_version", "delete_if_version")
_MAX_BACKOFF_DOUBLINGS = 5
_MAX_REFUSALS = 20


class Put(NamedTuple):
    """The decision to store a value; with a ttl of None, it never expires."""

    value: Mapping[str, Any]
    ttl: SupportsFloat | None


class Remove(NamedTuple):
    """The decision to remove the entry."""

    version: str


def require_versions(store: Store) -> AsyncVersionedProtocol:
    """Return the store, typed as one with versions. Raises TypeError if it has none."""
    # Before Python 3.12, isinstance would take half the time of an increment.
    for method in _METHODS:
        if not hasattr(store, method):
            message = f"{type(store).__qualname__} does not satisfy AsyncVersionedProtocol: it has no {method}"
            raise TypeError(message)
    return cast("AsyncVersionedProtocol", store)


async def exchange(
    store: AsyncVersionedProtocol,
    key: str,
    collection: str | None,
    decide: Callable[[Versioned], Put | Remove | None],
) -> bool:
    """Execute the decision that `decide` returns for the entry. Return False if it is None: the entry is unchanged.

    `decide` is called again whenever another writer changes the entry between the read and the write; only the last
    call counts. Its exceptions and those of the store propagate: a write of unknown outcome is not retried. Without
    contention, this makes two calls of the store.
    """
    async with turn(store, (collection, key)):
        version, refusals, attempts = None, 0, 0
        while True:
            started = monotonic()
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
            # Back off relative to the duration of an attempt, which may be 10 µs or 100 ms, to avoid another conflict.
            max_pause = (monotonic() - started) * 2 ** min(attempts, _MAX_BACKOFF_DOUBLINGS)
            await sleep(max_pause * random())  # noqa: S311 — not a secret
            attempts += 1


async def _write(
    store: AsyncVersionedProtocol, key: str, collection: str | None, version: str | None, decision: Put | Remove
) -> bool:
    if isinstance(decision, Remove):
        return await store.delete_if_version(key, decision.version, collection=collection)
    return await store.put_if_version(key, decision.value, version, collection=collection, ttl=decision.ttl)


def _check_progress(refusals: int) -> None:
    # A wrapper that silently drops writes would refuse forever. That other writers create and remove the entry between
    # each read and write, this many times in a row, is implausible.
    if refusals >= _MAX_REFUSALS:
        message = f"the store refused {refusals} conditional writes in a row although the entry did not change"
        raise KeyValueStoreError(message)
