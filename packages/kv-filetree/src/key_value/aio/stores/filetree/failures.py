"""Our errors for those of the file system."""

import errno
from pathlib import Path

from key_value.aio.errors import BaseKeyValueError, StoreConnectionError, StoreSetupError
from key_value.aio.stores.filetree.directory import is_temporary

__all__ = ["meaning_of"]

# Trying again does not help until someone does something about them.
_TO_BE_SET_RIGHT = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
}


def meaning_of(error: OSError, path: Path) -> BaseKeyValueError:
    """Our error for one of the file system, with the place and the reason."""
    meaning = StoreSetupError if error.errno in _TO_BE_SET_RIGHT else StoreConnectionError
    names = [Path(name) for name in (error.filename, error.filename2) if isinstance(name, str)]
    told = [name for name in names if not is_temporary(name.name)]
    # Relative to a descriptor, of which only the name is known.
    where = path if not told else told[-1] if told[-1].is_absolute() else path / "…" / told[-1]
    reason = errno.errorcode.get(error.errno or 0, type(error).__name__)
    return meaning(f"cannot use {where}: {error.strerror or 'the file system failed'} ({reason})")
