"""Read-modify-write operations that lose no concurrent change: update, increment, take, touch."""

from collections.abc import Callable, Mapping
from inspect import iscoroutinefunction
from typing import Any, SupportsFloat

from key_value.aio.atomic.exchange import Put, Remove, Store, exchange, require_versions
from key_value.aio.core import clock
from key_value.aio.core.names import checked_name
from key_value.aio.core.ttl import expiry
from key_value.aio.errors import DeserializationError
from key_value.aio.protocols import Versioned

__all__ = ["increment", "take", "touch", "update"]

_MIN_TTL_SECONDS = 1e-6


async def update(
    store: Store,
    key: str,
    function: Callable[[dict[str, Any] | None], Mapping[str, Any]],
    *,
    collection: str | None = None,
) -> dict[str, Any]:
    """Store the result of `function(value)` and return it. The entry keeps its remaining ttl; a new one has none.

    `function` receives the value, a dict that it may change and return, or None if there is no entry. It is called
    again with the newer value whenever another writer changes the entry in between, so it must have no side effects.
    To leave the entry unchanged, raise an exception in it; the exception propagates to the caller.

    Raises TypeError for a store without versions and for an asynchronous function, before any I/O, and for a function
    that does not return a mapping, before anything is stored; otherwise the errors of `get_versioned` and
    `put_if_version`. After a StoreConnectionError it is unknown whether the value was stored; the write is not retried.
    """
    versioned_store = require_versions(store)
    key, collection = _checked_names(key, collection)
    if not callable(function) or iscoroutinefunction(function):
        message = "function must be a synchronous function that returns the new value"
        raise TypeError(message)
    value: Mapping[str, Any] = {}

    def decide(found: Versioned) -> Put:
        nonlocal value
        started = clock.now()
        value = _checked_value(function(found.value))
        return Put(value, _remaining(found, (clock.now() - started).total_seconds()))

    await exchange(versioned_store, key, collection, decide)
    return dict(value)


async def increment(
    store: Store, key: str, by: int = 1, *, collection: str | None = None, ttl: SupportsFloat | None = None
) -> int:
    """Add `by` to the counter under the key and return the new count. A new counter starts at zero.

    It is stored as `{"count": n}`. `ttl` applies to a new counter; later increments do not extend it. `by` may be
    negative or zero.

    Raises TypeError for a store without versions or a `by` that is not an int, and InvalidTTLError, before any I/O;
    DeserializationError for an entry that is not a counter, leaving it unchanged; otherwise the errors of
    `get_versioned` and `put_if_version`. After a StoreConnectionError it is unknown whether the counter was changed;
    the write is not retried.
    """
    versioned_store = require_versions(store)
    key, collection = _checked_names(key, collection)
    if type(by) is not int:
        message = f"by must be an int, not {type(by).__qualname__}"
        raise TypeError(message)
    _check_ttl(ttl)
    count = 0

    def decide(found: Versioned) -> Put:
        nonlocal count
        if found.value is None:
            count = by
            return Put({"count": count}, ttl)
        count = _count(found.value, key, collection) + by
        return Put({"count": count}, _remaining(found))

    await exchange(versioned_store, key, collection, decide)
    return count


async def take(store: Store, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
    """Remove the entry and return its value, or None if there is none. Only one of several callers gets the value.

    Raises TypeError for a store without versions, before any I/O; otherwise the errors of `get_versioned` and
    `delete_if_version`. After a StoreConnectionError it is unknown whether the entry was removed: its value may be
    lost, but is never returned twice.
    """
    versioned_store = require_versions(store)
    key, collection = _checked_names(key, collection)
    value: dict[str, Any] | None = None

    def decide(found: Versioned) -> Remove | None:
        nonlocal value
        value = found.value
        return None if value is None or found.version is None else Remove(found.version)

    await exchange(versioned_store, key, collection, decide)
    return value


async def touch(store: Store, key: str, ttl: SupportsFloat | None, *, collection: str | None = None) -> bool:
    """Set the ttl of the entry, in seconds from now, and keep its value; with None, it never expires.

    Returns False if there is no entry. Raises TypeError for a store without versions, and InvalidTTLError, before any
    I/O; otherwise the errors of `get_versioned` and `put_if_version`.
    """
    versioned_store = require_versions(store)
    key, collection = _checked_names(key, collection)
    _check_ttl(ttl)
    return await exchange(
        versioned_store, key, collection, lambda found: None if found.value is None else Put(found.value, ttl)
    )


def _checked_names(key: str, collection: str | None) -> tuple[str, str | None]:
    return checked_name(key, "key"), None if collection is None else checked_name(collection, "collection")


def _check_ttl(ttl: SupportsFloat | None) -> None:
    if ttl is not None:
        expiry(clock.now(), ttl)


def _checked_value(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        message = (
            f"function must return the new value, a mapping, not {type(value).__qualname__}; to leave the entry "
            "unchanged, raise an exception in it"
        )
        raise TypeError(message)
    return value  # pyright: ignore[reportUnknownVariableType] — the store checks what is in it


def _remaining(found: Versioned, elapsed: float = 0.0) -> float | None:
    """Return the entry's remaining seconds, `elapsed` seconds after it was read.

    Returns None if it never expires, and for an entry that reads as absent. An entry that has expired in the meantime
    gets a minimal ttl: the store refuses to replace it, and it is read again.
    """
    if found.value is None or found.ttl is None:
        return None
    return max(found.ttl - elapsed, _MIN_TTL_SECONDS)


def _count(value: dict[str, Any], key: str, collection: str | None) -> int:
    count = value.get("count")
    if type(count) is not int or len(value) > 1:
        message = 'The entry under the key is not a counter, which must be {"count": n} with a whole number'
        raise DeserializationError(message, {"key": key, "collection": collection})
    return count
