"""Conditions that the server checks on a record, before it writes or lists it."""

from typing import Any

from key_value.aio.core.names import end_of_prefix

__all__ = ["begins_with", "is_still"]


def is_still(name: str, text: Any) -> Any:
    """The bin of this name still has the text. The number of writes is not enough, it starts anew with a new record."""
    exp = _expressions()
    return exp.Eq(exp.StrBin(name), text).compile()


def begins_with(prefix: str) -> Any:
    """The stored key begins with the prefix, or none is stored."""
    exp, end = _expressions(), end_of_prefix(prefix)
    begins = exp.GE(exp.KeyStr(), prefix)
    inside = begins if end is None else exp.And(begins, exp.LT(exp.KeyStr(), end))
    # Earlier versions stored no names.
    return exp.Or(exp.Not(exp.KeyExists()), inside).compile()


def _expressions() -> Any:
    # 200 ms to import, which the first conditional write or listing takes, in its thread.
    from aerospike_helpers import expressions  # pyright: ignore[reportMissingTypeStubs] — it has none

    return expressions
