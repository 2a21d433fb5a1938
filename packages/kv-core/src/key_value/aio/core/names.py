"""Keys and collections: what may be one, and how two become one."""

from collections.abc import Sequence

from key_value.aio.core.type_checks import require
from key_value.aio.errors import InvalidKeyError

__all__ = ["MAX_NAME_BYTES", "checked_name", "checked_names", "collection_prefix", "join_names", "split_names"]

MAX_NAME_BYTES = 65_536
"""The longest key or collection, in bytes of UTF-8."""

_SEPARATOR = "::"


def checked_name(name: str, what: str) -> str:
    """The name as an exact str; `what` is "key" or "collection".

    Raises TypeError unless it is a str, InvalidKeyError when it is empty, too long or does not encode to UTF-8.
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
    return [checked_name(name, "key") for name in names]


def _check_unusual_name(name: str, what: str) -> None:
    try:
        size = len(name.encode())
    except UnicodeEncodeError as exc:
        message = f"a {what} must encode to UTF-8; this one holds a lone surrogate at index {exc.start}"
        raise InvalidKeyError(message) from exc
    if not 0 < size <= MAX_NAME_BYTES:
        message = f"a {what} must be 1 to {MAX_NAME_BYTES} bytes long in UTF-8"
        raise InvalidKeyError(message, {"size": size})


def join_names(collection: str, key: str) -> str:
    """One name for the pair, for backends with a flat name space. No two pairs share one; `split_names` undoes it.

    `collection::key`, as stored format v1 has it. Where that could be read as another pair, which it can when the
    collection holds `::` or ends in `:`, the collection is escaped and the name begins with `::`, which no other
    name does.
    """
    return collection_prefix(collection) + key


def collection_prefix(collection: str, separator: str = _SEPARATOR) -> str:
    """What the joined names of a collection, and no others, begin with.

    Another separator is any text without `%` and without what can follow it in an escape: digits and letters A to F.
    """
    if (collection + separator).find(separator) == len(collection):
        return collection + separator
    escaped = collection.replace("%", "%25")
    for character in set(separator):
        escaped = escaped.replace(character, _escape(character))
    return f"{separator}{escaped}{separator}"


def split_names(name: str, separator: str = _SEPARATOR) -> tuple[str, str] | None:
    """The collection and key of a joined name; None for a name that `join_names` does not make."""
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
