"""Reads directories written by py-key-value-aio with diskcache: SQLite and text files. Never loads pickles."""

import json
import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path

from key_value.aio.core import clock
from key_value.aio.core.clock import to_microseconds
from key_value.aio.core.entry import ManagedEntry
from key_value.aio.core.envelope import load_entry
from key_value.aio.errors import DeserializationError
from key_value.aio.stores.disk.database import Row

__all__ = ["FILE_NAME", "read_rows"]

FILE_NAME = "cache.db"

_MODE_TEXT, _MODE_TEXT_FILE = 1, 3  # the diskcache modes that store text

_SELECT = "SELECT key, expire_time, mode, filename, value FROM Cache WHERE raw = 1"
"""Keys that are not raw are pickles."""


def read_rows(directory: Path) -> Iterator[Row]:
    """Yield the live entries of the directory.

    If the envelope has no names, they come from a key `collection::key`, or else from the directory name and the key.
    Data that is not an envelope, such as a pickle, yields a row without a value.
    """
    with closing(sqlite3.connect(f"{(directory / FILE_NAME).absolute().as_uri()}?mode=ro", uri=True)) as connection:
        for key, expire_time, mode, filename, value in connection.execute(_SELECT):
            if type(key) is not str:
                continue
            text = value if mode == _MODE_TEXT else _read_file(directory, filename) if mode == _MODE_TEXT_FILE else None
            entry = _envelope(text)
            expires_at = _expires_at(expire_time, entry)
            if expires_at is None or expires_at > clock.now():
                yield _row(directory, key, expires_at, entry)


def _expires_at(expire_time: float | None, entry: ManagedEntry | None) -> datetime | None:
    if entry is not None and entry.expires_at is not None:
        return entry.expires_at
    return None if expire_time is None else datetime.fromtimestamp(expire_time, timezone.utc)


def _row(directory: Path, key: str, expires_at: datetime | None, entry: ManagedEntry | None) -> Row:
    collection, bare_key = _names(directory, key, entry)
    if entry is None:
        return collection, bare_key, None, to_microseconds(expires_at), None
    # Encoded by the standard library, because the value may contain NaN.
    value = json.dumps(entry.value)
    return collection, bare_key, to_microseconds(entry.created_at), to_microseconds(expires_at), value


def _names(directory: Path, key: str, entry: ManagedEntry | None) -> tuple[str, str]:
    if entry is not None and entry.collection and entry.key:
        return entry.collection, entry.key
    collection, separator, bare_key = key.partition("::")
    return (collection, bare_key) if separator else (directory.name, key)


def _envelope(text: object) -> ManagedEntry | None:
    if not isinstance(text, str):
        return None
    try:
        return load_entry(text)
    except DeserializationError:
        return None


def _read_file(directory: Path, name: object) -> str | None:
    """Return the text of a side file; None unless it is a readable regular file in this directory."""
    try:
        path = (directory / str(name)).resolve(strict=True)
        if directory.resolve() not in path.parents or not stat.S_ISREG(os.lstat(path).st_mode):
            return None
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
