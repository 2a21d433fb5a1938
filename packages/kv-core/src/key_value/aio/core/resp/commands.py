"""Entries as strings on the server: their names, and the commands that write and find them."""

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
"""Maximum length of a string on a server with default settings."""

MILLISECOND = 0.001
"""The resolution of native expiry, in seconds."""

_ESCAPED_IN_GLOBS = re.compile(r"[\\*?\[\]^-]")


def set_command(collection: str, key: str, entry: ManagedEntry) -> Command:
    """Return the SET command, with native expiry if the entry expires. Raises ValueTooLargeError."""
    text = text_of(collection, key, entry)
    milliseconds = entry.remaining(MILLISECOND)
    if milliseconds is None:
        return "SET", join_names(collection, key), text
    return "SET", join_names(collection, key), text, "PX", milliseconds


def text_of(collection: str, key: str, entry: ManagedEntry) -> bytes:
    """Return the string to store. Raises ValueTooLargeError."""
    text = dump_entry(entry)
    if len(text) > MAX_VALUE_BYTES:
        raise ValueTooLargeError(len(text), MAX_VALUE_BYTES, collection, key)
    return text


def scan_command(cursor: int, pattern: str, count: int) -> Command:
    """Return the command for one step of a SCAN for strings."""
    return "SCAN", cursor, "MATCH", pattern, "COUNT", count, "TYPE", "string"


def cursor_of(text: str) -> int:
    """Return the SCAN cursor in a position. Raises ValueError for a text that is not a cursor."""
    if not (text.isascii() and text.isdecimal()):
        message = "cursor does not come from a scan of this server"
        raise ValueError(message)
    return int(text)


def glob_of_prefix(prefix: str) -> str:
    """Return the glob pattern that matches exactly the names with the prefix."""
    return _ESCAPED_IN_GLOBS.sub(r"\\\g<0>", prefix) + "*"


def names_of_entries(names: Iterable[bytes]) -> dict[str, tuple[str, str]]:
    """Map each stored name to its collection and key, omitting names that a store cannot have written."""
    found: dict[str, tuple[str, str]] = {}
    for stored in names:
        with suppress(UnicodeDecodeError):  # other applications' names may not be UTF-8
            name = stored.decode()
            pair = split_names(name)
            if pair is not None:
                found[name] = pair
    return found
