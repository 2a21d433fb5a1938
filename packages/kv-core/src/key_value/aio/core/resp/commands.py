"""How entries become strings of the server: their names, the commands that write and find them."""

import re
from collections.abc import Iterable
from contextlib import suppress

from key_value.aio.core.entry import ManagedEntry
from key_value.aio.core.envelope import dump_entry
from key_value.aio.core.names import join_names, split_names
from key_value.aio.errors import ValueTooLargeError

__all__ = [
    "MAX_VALUE_BYTES",
    "MILLISECOND",
    "Command",
    "cursor_of",
    "glob_of_prefix",
    "names_of_entries",
    "scan_command",
    "set_command",
    "text_of",
]

Command = tuple[str | bytes | int, ...]

MAX_VALUE_BYTES = 512 * 1024 * 1024  # https://redis.io/docs/latest/develop/data-types/strings/
"""The longest string of a server with default settings."""

MILLISECOND = 0.001
"""The resolution of native expiry, in seconds."""

_ESCAPED_IN_GLOBS = re.compile(r"[\\*?\[\]^-]")


def set_command(collection: str, key: str, entry: ManagedEntry) -> Command:
    """Name, text and, where the entry expires, native expiry. Raises ValueTooLargeError before anything is sent."""
    text = text_of(collection, key, entry)
    milliseconds = entry.remaining(MILLISECOND)
    if milliseconds is None:
        return "SET", join_names(collection, key), text
    return "SET", join_names(collection, key), text, "PX", milliseconds


def text_of(collection: str, key: str, entry: ManagedEntry) -> bytes:
    """What is stored. Raises ValueTooLargeError."""
    text = dump_entry(entry)
    if len(text) > MAX_VALUE_BYTES:
        raise ValueTooLargeError(len(text), MAX_VALUE_BYTES, collection, key)
    return text


def scan_command(cursor: int, pattern: str, count: int) -> Command:
    """A step of a SCAN for strings."""
    return "SCAN", cursor, "MATCH", pattern, "COUNT", count, "TYPE", "string"


def cursor_of(text: str) -> int:
    """Where a SCAN goes on. Raises ValueError for a text that no SCAN has given."""
    if not (text.isascii() and text.isdecimal()):
        message = "the position is none of a scan of this server"
        raise ValueError(message)
    return int(text)


def glob_of_prefix(prefix: str) -> str:
    """The pattern that all names with the prefix match, and no others."""
    return _ESCAPED_IN_GLOBS.sub(r"\\\g<0>", prefix) + "*"


def names_of_entries(names: Iterable[bytes]) -> dict[str, tuple[str, str]]:
    """Stored name → collection and key, without the names that no store gives."""
    found: dict[str, tuple[str, str]] = {}
    for stored in names:
        with suppress(UnicodeDecodeError):  # another application's
            name = stored.decode()
            pair = split_names(name)
            if pair is not None:
                found[name] = pair
    return found
