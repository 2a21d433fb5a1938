"""Filter expressions that the server evaluates before it writes or lists a record."""

from typing import Any

from key_value.aio.core.names import end_of_prefix

__all__ = ["begins_with", "is_unchanged"]


def is_unchanged(name: str, text: Any) -> Any:
    """The bin still has this text. The generation alone is not enough: a new record starts again at 1."""
    exp = _expressions()
    return exp.Eq(exp.StrBin(name), text).compile()


def begins_with(prefix: str) -> Any:
    """The stored name begins with the prefix, or no name is stored."""
    exp, end = _expressions(), end_of_prefix(prefix)
    begins = exp.GE(exp.KeyStr(), prefix)
    inside = begins if end is None else exp.And(begins, exp.LT(exp.KeyStr(), end))
    # Earlier versions stored no names.
    return exp.Or(exp.Not(exp.KeyExists()), inside).compile()


def _expressions() -> Any:
    # The import takes 200 ms, so the first conditional write or listing does it, in its thread.
    from aerospike_helpers import expressions  # pyright: ignore[reportMissingTypeStubs] — no stubs exist

    return expressions
