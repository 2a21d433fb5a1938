"""Detection of file systems that do not distinguish all names."""

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
    """Whether names must be portable. None if no file can be created to test that, or to mark the tree.

    A tree that needs portable names, or whose owner wants them, is marked, so that it is tested only once.
    """
    with Directory(str(data.resolve())) as directory:
        if directory.status(MARKER) is not None:
            return True
        portable = wanted or _conflates_names(directory)
        if portable:
            try:
                directory.write(MARKER, _EXPLANATION, fsync=False)
            except OSError:
                return None
        return portable


def _conflates_names(directory: Directory) -> bool | None:
    simple_name = temporary_name()
    probe_name = simple_name.removesuffix(".tmp") + '-aé🌍<>:"|?*.tmp'
    try:
        if _can_create(directory, probe_name):
            return _is_found_as_variant(directory, probe_name)
        # Distinguish a rejected name from a directory that is not writable.
        if _can_create(directory, simple_name):
            return True
        existing = next((name for name in directory.directories() if name != name.swapcase()), None)
        return None if existing is None else _is_found_as_variant(directory, existing)
    finally:
        for name in (probe_name, simple_name):
            with suppress(OSError, UnicodeEncodeError):
                directory.remove(name)


def _can_create(directory: Directory, name: str) -> bool:
    try:
        directory.create(name)
    except (OSError, UnicodeEncodeError):
        return False
    return True


def _is_found_as_variant(directory: Directory, name: str) -> bool:
    status = directory.status(name)
    variants = {name.swapcase(), unicodedata.normalize("NFD", name)} - {name}
    found = [directory.status(variant) for variant in variants]
    return any(each is not None and status is not None and os.path.samestat(each, status) for each in found)
