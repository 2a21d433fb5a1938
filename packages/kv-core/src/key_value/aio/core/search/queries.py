"""Query clauses for listing and removing."""

from typing import Any, Literal

from key_value.aio.core import clock
from key_value.aio.core.names import end_of_prefix

__all__ = ["expired", "key_range"]

_MICROSECONDS_PER_MILLISECOND = 1000


def key_range(prefix: str) -> dict[str, Any]:
    """Match entries with stored keys that begin with the prefix."""
    if not prefix:
        return {"exists": {"field": "key"}}
    end = end_of_prefix(prefix)
    return {"range": {"key": {"gte": prefix} if end is None else {"gte": prefix, "lt": end}}}


def expired(operator: Literal["lt", "lte"]) -> dict[str, Any]:
    """Match entries that have certainly expired ("lt") or expire within this millisecond ("lte").

    An index stores times in milliseconds.
    """
    now = clock.microseconds_now() // _MICROSECONDS_PER_MILLISECOND
    return {"range": {"expires_at": {operator: now, "format": "epoch_millis"}}}
