"""Whether a file system distinguishes all names."""

import os
import unicodedata
from contextlib import suppress
from pathlib import Path

from key_value.aio.stores.filetree.directory import Directory, temporary_name

__all__ = ["needs_portable_names"]

MARKER = ".portable-names"
"""A file that marks a tree with portable names; a tree moved to another file system keeps them."""

_EXPLANATION = b"The names of files and directories here are spelled so that every file system keeps them apart.\n"


def needs_portable_names(data: Path, *, wanted: bool) -> bool | None:
    """Whether names must be portable; None if no file can be created to find out, or to mark the tree.

    It is found out once: a tree that needs them, or whose owner wants them, is marked.
    """
    with Directory(str(data.resolve())) as directory:
        if directory.status(MARKER) is not None:
            return True
        portable = wanted or _changes_names(directory)
        if portable:
            try:
                directory.write(MARKER, _EXPLANATION, fsync=False)
            except OSError:
                return None
        return portable


def _changes_names(directory: Directory) -> bool | None:
    simple = temporary_name()
    telling = simple.removesuffix(".tmp") + '-aé🌍<>:"|?*.tmp'
    try:
        if _can_create(directory, telling):
            return _takes_for_others(directory, telling)
        # Is it the name, or can nothing be written?
        if _can_create(directory, simple):
            return True
        existing = next((name for name in directory.directories() if name != name.swapcase()), None)
        return None if existing is None else _takes_for_others(directory, existing)
    finally:
        for name in (telling, simple):
            with suppress(OSError, UnicodeEncodeError):
                directory.remove(name)


def _can_create(directory: Directory, name: str) -> bool:
    try:
        directory.create(name)
    except (OSError, UnicodeEncodeError):
        return False
    return True


def _takes_for_others(directory: Directory, name: str) -> bool:
    status = directory.status(name)
    others = {name.swapcase(), unicodedata.normalize("NFD", name)} - {name}
    found = [directory.status(other) for other in others]
    return any(other is not None and status is not None and os.path.samestat(other, status) for other in found)
