"""Changing an entry depending on its value, without losing changes: update, increment, take, touch."""

from collections.abc import Callable, Mapping
from inspect import iscoroutinefunction
from typing import Any, SupportsFloat

from key_value.aio.atomic.exchange import Put, Remove, Store, exchange, versioned
from key_value.aio.core import clock
from key_value.aio.core.names import checked_name
from key_value.aio.core.ttl import expiry
from key_value.aio.errors import DeserializationError
from key_value.aio.protocols import Versioned

__all__ = ["increment", "take", "touch", "update"]

_SHORTEST_TTL = 1e-6


async def update(
    store: Store,
    key: str,
    function: Callable[[dict[str, Any] | None], Mapping[str, Any]],
    *,
    collection: str | None = None,
) -> dict[str, Any]:
    """Store the result of `function(value)`, and return it. The entry keeps its remaining ttl; a new one has none.

    `function` gets the value, a dict that it may change and return, or None if there is no entry. It is called again,
    with the newer value, whenever somebody else has written in between, so it must have no side effects. To leave the
    entry unchanged, raise an exception in it, which passes through.

    Raises TypeError for a store without versions and for an asynchronous function, before any I/O, and for a function
    that does not return a mapping, before anything is stored; otherwise the errors of `get_versioned` and
    `put_if_version`. After a StoreConnectionError it is unknown whether the value was stored; it is not stored again.
    """
    inner = versioned(store)
    key, collection = _checked_names(key, collection)
    if not callable(function) or iscoroutinefunction(function):
        message = "function must be a function that returns the new value; it cannot be asynchronous"
        raise TypeError(message)
    value: Mapping[str, Any] = {}

    def decide(found: Versioned) -> Put:
        nonlocal value
        began = clock.now()
        value = _checked_value(function(found.value))
        return Put(value, _remaining(found, (clock.now() - began).total_seconds()))

    await exchange(inner, key, collection, decide)
    return dict(value)


async def increment(
    store: Store, key: str, by: int = 1, *, collection: str | None = None, ttl: SupportsFloat | None = None
) -> int:
    """Add to the counter under the key and return its new count. Without an entry it starts at zero.

    It is stored as `{"count": n}`. `ttl` applies to a new counter; later increments do not prolong it. `by` may be
    negative or zero.

    Raises TypeError for a store without versions or a `by` that is not an int, and InvalidTTLError, before any I/O;
    DeserializationError for an entry that is not a counter, which stays as it is; otherwise the errors of
    `get_versioned` and `put_if_version`. After a StoreConnectionError it is unknown whether it was counted; it is not
    counted again.
    """
    inner = versioned(store)
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

    await exchange(inner, key, collection, decide)
    return count


async def take(store: Store, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
    """Remove the entry and return its value; None if there is none. Of any number of callers one gets it.

    Raises TypeError for a store without versions, before any I/O; otherwise the errors of `get_versioned` and
    `delete_if_version`. After a StoreConnectionError it is unknown whether the entry was removed: it may be gone
    although nobody got it, and nobody gets it twice.
    """
    inner = versioned(store)
    key, collection = _checked_names(key, collection)
    value: dict[str, Any] | None = None

    def decide(found: Versioned) -> Remove | None:
        nonlocal value
        value = found.value
        return None if value is None or found.version is None else Remove(found.version)

    await exchange(inner, key, collection, decide)
    return value


async def touch(store: Store, key: str, ttl: SupportsFloat | None, *, collection: str | None = None) -> bool:
    """Give the entry a new ttl in seconds, from now on, and keep its value; None: it never expires.

    Return False if there is no entry. Raises TypeError for a store without versions, and InvalidTTLError, before any
    I/O; otherwise the errors of `get_versioned` and `put_if_version`.
    """
    inner = versioned(store)
    key, collection = _checked_names(key, collection)
    _check_ttl(ttl)
    return await exchange(inner, key, collection, lambda found: None if found.value is None else Put(found.value, ttl))


def _checked_names(key: str, collection: str | None) -> tuple[str, str | None]:
    return checked_name(key, "key"), None if collection is None else checked_name(collection, "collection")


def _check_ttl(ttl: SupportsFloat | None) -> None:
    if ttl is not None:
        expiry(clock.now(), ttl)


def _checked_value(value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        message = (
            f"function must return the new value, a mapping, not {type(value).__qualname__}; raise an exception in it "
            "to leave the entry as it is"
        )
        raise TypeError(message)
    return value  # pyright: ignore[reportUnknownVariableType] — the store checks what is in it


def _remaining(found: Versioned, elapsed: float = 0.0) -> float | None:
    """The seconds that the entry has left, from those it had when it was read.

    None when it never expires, and for one that reads as absent. One that has expired meanwhile keeps a moment: the
    store refuses to replace it, and what is there now is read.
    """
    if found.value is None or found.ttl is None:
        return None
    return max(found.ttl - elapsed, _SHORTEST_TTL)


def _count(value: dict[str, Any], key: str, collection: str | None) -> int:
    count = value.get("count")
    if type(count) is not int or len(value) > 1:
        message = 'What is stored under the key is no counter, which is {"count": n} with a whole number'
        raise DeserializationError(message, {"key": key, "collection": collection})
    return count
