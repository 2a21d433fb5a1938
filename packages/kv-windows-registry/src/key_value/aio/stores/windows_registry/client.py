"""The one module that talks to winreg: text values below one key of the registry."""

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

# winreg raises OSError for whatever the registry reports.
DRIVER_ERRORS: DriverErrors = {
    PermissionError: StoreSetupError,
    ConnectionError: StoreConnectionError,
    OSError: KeyValueStoreError,
}

_ERROR_NO_MORE_ITEMS = 259


class _Winreg(Protocol):
    """What type checkers see of winreg on Windows alone."""

    KEY_READ: int
    KEY_WRITE: int
    REG_SZ: int

    def CreateKeyEx(  # noqa: N802 — as winreg names them
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
        "key_value.aio.stores.windows_registry needs Windows: winreg, which is part of Python there, is missing. "
        "kv-keyring and kv-disk store locally on every platform"
    )
    raise ImportError(_MESSAGE, name="winreg") from _error


def length_of(name: str) -> int:
    """The characters of the name as Windows counts them."""
    return len(name.encode("utf-16-le")) // 2


class Registry:
    """Text values in folders, which are keys below the one at `path`. A folder that is not there has no values."""

    def __init__(self, hive: str, path: str) -> None:
        """Create the key. Raises StoreSetupError when it cannot be created or written to."""
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
        """The place of a value, for people."""
        return f"{self._where}\\{folder}, value {name!r:.200}"

    def get(self, folder: str, name: str) -> str | None:
        """The text of a value, None without it. Raises DeserializationError when it is not text."""
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
        """Remove a value; whether there was one."""
        try:
            with self._open(folder) as key:
                _winreg.DeleteValue(key, name)
        except FileNotFoundError:
            return False
        return True

    def values(self, folder: str) -> list[tuple[str, str | None]]:
        """The name and the text of every value; None for one that is not text."""
        try:
            with self._open(folder) as key:
                found = _all(_winreg.EnumValue, key, _winreg.QueryInfoKey(key)[1])
        except FileNotFoundError:
            return []
        return [(name, data if kind == _winreg.REG_SZ else None) for name, data, kind in found]

    def folders(self, below: str = "") -> Iterator[str]:
        """The paths of all keys below, at any depth."""
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
    # From the last to the first, so that what another process removes meanwhile hides nothing else.
    return [item for index in reversed(range(count)) for item in _at(enumerate_one, key, index)]


def _at(enumerate_one: Callable[[Any, int], T], key: Any, index: int) -> list[T]:
    try:
        return [enumerate_one(key, index)]
    except OSError as error:
        if getattr(error, "winerror", None) == _ERROR_NO_MORE_ITEMS:
            return []
        raise
