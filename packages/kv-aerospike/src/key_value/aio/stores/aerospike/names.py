"""Names as record keys: strings without NUL, at which the C client would truncate them."""

from collections.abc import Sequence

from key_value.aio.core.names import collection_prefix, split_names

__all__ = ["original_names", "stored_names", "stored_prefix"]

# A Unicode noncharacter, used as the escape character.
_ESCAPE = "\uffff"
_ESCAPED_NUL, _ESCAPED_ESCAPE = f"{_ESCAPE}0", f"{_ESCAPE}1"


def stored_names(collection: str, keys: Sequence[str]) -> list[str]:
    """Return the names of entries: the result of `join_names`, with NUL and U+FFFF escaped."""
    prefix = collection_prefix(collection)
    return [_escaped(prefix + key) for key in keys]


def stored_prefix(collection: str, prefix: str) -> str:
    """Return the prefix of the names of exactly those keys of the collection that have this prefix."""
    return _escaped(collection_prefix(collection) + prefix)


def original_names(stored: str) -> tuple[str, str] | None:
    """Return the collection and key of a stored name; None if the name belongs to no entry."""
    if _ESCAPE not in stored:
        return split_names(stored)
    names = split_names(stored.replace(_ESCAPED_NUL, "\0").replace(_ESCAPED_ESCAPE, _ESCAPE))
    return names if names is not None and stored_names(names[0], names[1:]) == [stored] else None


def _escaped(name: str) -> str:
    # Most names are ASCII; this check takes a third of the time of the replacements.
    if name.isascii() and "\0" not in name:
        return name
    return name.replace(_ESCAPE, _ESCAPED_ESCAPE).replace("\0", _ESCAPED_NUL)
