"""Names as keys of records: text without NUL, at which the C client would cut them off."""

from collections.abc import Sequence

from key_value.aio.core.names import collection_prefix, split_names

__all__ = ["original_names", "stored_names", "stored_prefix"]

# A noncharacter, which Unicode gives to no text. What follows it says what it stands for.
_MARK = "\uffff"
_NUL, _ITSELF = f"{_MARK}0", f"{_MARK}1"


def stored_names(collection: str, keys: Sequence[str]) -> list[str]:
    """The names of entries: what `join_names` gives, with NUL and U+FFFF escaped."""
    prefix = collection_prefix(collection)
    return [_escaped(prefix + key) for key in keys]


def stored_prefix(collection: str, prefix: str) -> str:
    """What the names of all keys of the collection begin with that have this prefix, and no others."""
    return _escaped(collection_prefix(collection) + prefix)


def original_names(stored: str) -> tuple[str, str] | None:
    """The collection and key behind a name; None for a name that none of them has."""
    if _MARK not in stored:
        return split_names(stored)
    names = split_names(stored.replace(_NUL, "\0").replace(_ITSELF, _MARK))
    return names if names is not None and stored_names(names[0], names[1:]) == [stored] else None


def _escaped(name: str) -> str:
    # Most are ASCII, which takes a third of the time to see.
    if name.isascii() and "\0" not in name:
        return name
    return name.replace(_MARK, _ITSELF).replace("\0", _NUL)
