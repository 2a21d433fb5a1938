"""Translation of file system errors."""

import errno
from pathlib import Path

from key_value.aio.errors import BaseKeyValueError, StoreConnectionError, StoreSetupError
from key_value.aio.stores.filetree.directory import is_temporary

__all__ = ["translate_error"]

# Errors that persist until someone changes the file system or its permissions.
_SETUP_ERRNOS = {
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


def translate_error(error: OSError, path: Path) -> BaseKeyValueError:
    """Return the library's error for an OSError, with the path and the reason."""
    meaning = StoreSetupError if error.errno in _SETUP_ERRNOS else StoreConnectionError
    names = [Path(name) for name in (error.filename, error.filename2) if isinstance(name, str)]
    shown = [name for name in names if not is_temporary(name.name)]
    # Names relative to a descriptor are shown as path/…/name.
    where = path if not shown else shown[-1] if shown[-1].is_absolute() else path / "…" / shown[-1]
    reason = errno.errorcode.get(error.errno or 0, type(error).__name__)
    return meaning(f"cannot use {where}: {error.strerror or 'the file system failed'} ({reason})")
