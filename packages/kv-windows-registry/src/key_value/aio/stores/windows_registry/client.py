"""The only module that uses winreg: text values below one registry key."""

import importlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar, cast

from key_value.aio.core.driver_errors import DriverErrors
from key_value.aio.errors import DeserializationError, KeyValueStoreError, StoreConnectionError, StoreSetupError

__all__ = ["DRIVER_ERRORS", "MAX_FOLDER_LENGTH", "MAX_VALUE_NAME_LENGTH", "Registry", "length_of"]

T = TypeVar("T")

# https://learn.microsoft.com/windows/win32/sysinfo/registry-element-size-limits
MAX_FOLDER_LENGTH = 255
MAX_VALUE_NAME_LENGTH = 16_383

# winreg raises OSError for all errors of the registry.
DRIVER_ERRORS: DriverErrors = {
    PermissionError: StoreSetupError,
    ConnectionError: StoreConnectionError,
    OSError: KeyValueStoreError,
}

_ERROR_NO_MORE_ITEMS = 259


class _Winreg(Protocol):
    """The parts of winreg in use, which type checkers know only on Windows."""

    KEY_READ: int
    KEY_WRITE: int
    REG_SZ: int

    def CreateKeyEx(  # noqa: N802 — the names of winreg
        self, key: int, sub_key: str, reserved: int, access: int, /
    ) -> AbstractContextManager[Any]: ...
    def OpenKeyEx(  # noqa: N802
        self, key: int, sub_key: str, reserved: int, access: int, /
    ) -> AbstractContextManager[Any]: ...
    def QueryInfoKey(self, key: Any, /) -> tuple[int, int, int]: ...  # noqa: N802
    def EnumKey(self, key: Any, index: int, /) -> str: ...  # noqa: N802
    def EnumValue(self, key: Any, index: int, /) -> tuple[str, Any, int]: ...  # noqa: N802
    def QueryValueEx(self, key: Any, name: str, /) -> tuple[Any, int]: ...  # noqa: N802
    def SetValueEx(self, key: Any, name: str, reserved: int, type: int, value: str, /) -> None: ...  # noqa: A002, N802
    def DeleteValue(self, key: Any, value: str, /) -> None: ...  # noqa: N802


try:
    _winreg = cast("_Winreg", importlib.import_module("winreg"))
except ImportError as _error:
    _MESSAGE = (
        "key_value.aio.stores.windows_registry needs Windows: the module winreg, part of Python there, is missing. "
        "kv-keyring and kv-disk store locally on every platform"
    )
    raise ImportError(_MESSAGE, name="winreg") from _error


def length_of(name: str) -> int:
    """Return the length of the name in UTF-16 units, as Windows counts it."""
    return len(name.encode("utf-16-le")) // 2


class Registry:
    """Text values in folders, which are keys below the key at `path`. A missing folder has no values."""

    def __init__(self, hive: str, path: str) -> None:
        """Create the key. Raises StoreSetupError if it cannot be created or written to."""
        self._hive: int = getattr(_winreg, hive)
        self._path = path
        self._where = f"{hive}\\{path}"
        try:
            with _winreg.CreateKeyEx(self._hive, path, 0, _winreg.KEY_READ | _winreg.KEY_WRITE):
                pass
        except OSError as error:
            message = f"the key {self._where} cannot be opened for writing: choose another registry_path or hive"
            raise StoreSetupError(message) from error

    def where(self, folder: str, name: str) -> str:
        """Return the location of a value for messages."""
        return f"{self._where}\\{folder}, value {name!r:.200}"

    def get(self, folder: str, name: str) -> str | None:
        """Return the text of a value; None if it does not exist. Raises DeserializationError if it is not text."""
        try:
            with self._open(folder) as key:
                data, kind = _winreg.QueryValueEx(key, name)
        except FileNotFoundError:
            return None
        return self._text(folder, name, data, kind)

    def put(self, folder: str, name: str, text: str) -> None:
        with _winreg.CreateKeyEx(self._hive, f"{self._path}\\{folder}", 0, _winreg.KEY_WRITE) as key:
            _winreg.SetValueEx(key, name, 0, _winreg.REG_SZ, text)

    def delete(self, folder: str, name: str) -> bool:
        """Delete a value; return whether it existed."""
        try:
            with self._open(folder) as key:
                _winreg.DeleteValue(key, name)
        except FileNotFoundError:
            return False
        return True

    def values(self, folder: str) -> list[tuple[str, str | None]]:
        """Return the name and text of every value. The text is None if the value is not text."""
        try:
            with self._open(folder) as key:
                found = _all(_winreg.EnumValue, key, _winreg.QueryInfoKey(key)[1])
        except FileNotFoundError:
            return []
        return [(name, data if kind == _winreg.REG_SZ else None) for name, data, kind in found]

    def folders(self, below: str = "") -> Iterator[str]:
        """Yield the paths of all keys below, at any depth."""
        try:
            with self._open(below) as key:
                names = _all(_winreg.EnumKey, key, _winreg.QueryInfoKey(key)[0])
        except FileNotFoundError:
            return
        for name in names:
            folder = f"{below}\\{name}" if below else name
            yield folder
            yield from self.folders(folder)

    def _open(self, folder: str) -> AbstractContextManager[Any]:
        path = f"{self._path}\\{folder}" if folder else self._path
        return _winreg.OpenKeyEx(self._hive, path, 0, _winreg.KEY_READ | _winreg.KEY_WRITE)

    def _text(self, folder: str, name: str, data: Any, kind: int) -> str:
        if kind != _winreg.REG_SZ:
            message = f"{self.where(folder, name)} is not a REG_SZ"
            raise DeserializationError(message)
        return data


def _all(enumerate_one: Callable[[Any, int], T], key: Any, count: int) -> list[T]:
    # Last to first, so that a removal by another process does not make the enumeration skip other items.
    return [item for index in reversed(range(count)) for item in _at(enumerate_one, key, index)]


def _at(enumerate_one: Callable[[Any, int], T], key: Any, index: int) -> list[T]:
    try:
        return [enumerate_one(key, index)]
    except OSError as error:
        if getattr(error, "winerror", None) == _ERROR_NO_MORE_ITEMS:
            return []
        raise
