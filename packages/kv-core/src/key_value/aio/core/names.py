"""Valid names of keys and collections, and joining both into one name."""

from collections.abc import Sequence

from key_value.aio.core.type_checks import require
from key_value.aio.errors import InvalidKeyError

__all__ = [
    "MAX_NAME_BYTES",
    "checked_key_prefix",
    "checked_name",
    "checked_names",
    "checked_table_name",
    "collection_prefix",
    "end_of_prefix",
    "join_names",
    "split_names",
]

MAX_NAME_BYTES = 65_536
"""The longest key or collection, in bytes of UTF-8."""

_SEPARATOR = "::"

# No name holds a surrogate.
_BEFORE_SURROGATES, _AFTER_SURROGATES = "\ud7ff", "\ue000"


def checked_name(name: str, what: str) -> str:
    """The name as an exact str; `what` is "key" or "collection".

    Raises TypeError if it is not a str, InvalidKeyError if it is empty, too long or does not encode to UTF-8.
    """
    if type(name) is not str:
        require(name, str, name=what, expected="a str")
        name = str.__str__(name)
    if not name.isascii() or not 0 < len(name) <= MAX_NAME_BYTES:
        _check_unusual_name(name, what)
    return name


def checked_names(names: Sequence[str]) -> list[str]:
    """The keys of a batch as exact str. Raises TypeError unless they are a sequence of str, InvalidKeyError."""
    if not isinstance(names, list):
        if isinstance(names, (str, bytes)):
            message = f"keys must be a sequence of str, not a single {type(names).__name__}"
            raise TypeError(message)
        require(names, Sequence, name="keys", expected="a sequence of str")
    # One look at all of them, which takes a fifth of a look at each.
    usual = {*map(type, names)} == {str} and all(names) and sum(map(len, names)) <= MAX_NAME_BYTES
    if usual and "".join(names).isascii():
        return [*names]
    return [checked_name(name, "key") for name in names]


def checked_key_prefix(prefix: str) -> str:
    """The beginning of a key as an exact str, which may be empty. Raises TypeError and InvalidKeyError."""
    return checked_name(prefix, "prefix") if prefix or type(prefix) is not str else prefix


def _check_unusual_name(name: str, what: str) -> None:
    try:
        size = len(name.encode())
    except UnicodeEncodeError as exc:
        message = f"a {what} must encode to UTF-8; this one holds a lone surrogate at index {exc.start}"
        raise InvalidKeyError(message) from exc
    if not 0 < size <= MAX_NAME_BYTES:
        message = f"a {what} must be 1 to {MAX_NAME_BYTES} bytes long in UTF-8"
        raise InvalidKeyError(message, {"size": size})


def checked_table_name(name: str) -> str:
    """The name of a table, if it can stand in a statement. Raises ValueError."""
    if not name.isascii() or not name.isidentifier():
        message = (
            f"table_name must be ASCII letters, digits and underscores and not begin with a digit, not {name!r:.80}"
        )
        raise ValueError(message)
    return name


def join_names(collection: str, key: str) -> str:
    """One name for the pair, for backends with a flat name space. No two pairs share one; `split_names` undoes it.

    `collection::key`, as in stored format v1. If the collection contains `::` or ends in `:`, that would be ambiguous:
    then the collection is escaped and the name begins with `::`, as no other name does.
    """
    return collection_prefix(collection) + key


def collection_prefix(collection: str, separator: str = _SEPARATOR) -> str:
    """The prefix of all joined names of a collection, and of no others.

    Another separator is any text without `%` and without what can follow it in an escape: digits and letters A to F.
    """
    if (collection + separator).find(separator) == len(collection):
        return collection + separator
    escaped = collection.replace("%", "%25")
    for character in set(separator):
        escaped = escaped.replace(character, _escape(character))
    return f"{separator}{escaped}{separator}"


def end_of_prefix(prefix: str) -> str | None:
    """The first text, in the order of code points, after all that begin with the prefix; None if there is none."""
    head = prefix.rstrip("\U0010ffff")
    if not head:
        return None
    return head[:-1] + (_AFTER_SURROGATES if head[-1] == _BEFORE_SURROGATES else chr(ord(head[-1]) + 1))


def split_names(name: str, separator: str = _SEPARATOR) -> tuple[str, str] | None:
    """The collection and key of a joined name; None for a name that `join_names` cannot return."""
    escaped = name.startswith(separator)
    collection, found, key = name[len(separator) * escaped :].partition(separator)
    if escaped:
        for character in set(separator):
            collection = collection.replace(_escape(character), character)
        collection = collection.replace("%25", "%")
    if not (found and collection and key) or collection_prefix(collection, separator) + key != name:
        return None
    return collection, key


def _escape(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode())
