"""A fake winreg in memory, for systems without a registry, with the names, values and limits Microsoft documents.

https://learn.microsoft.com/windows/win32/sysinfo/registry-element-size-limits and the pages of each function.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from typing import Any

from typing_extensions import Self

KEY_READ = 0x20019
KEY_WRITE = 0x20006
REG_SZ = 1
REG_BINARY = 3
HKEY_CLASSES_ROOT = 0xFFFFFFFF80000000
HKEY_CURRENT_USER = 0xFFFFFFFF80000001
HKEY_LOCAL_MACHINE = 0xFFFFFFFF80000002

_MAX_KEY_NAME = 255
_MAX_VALUE_NAME = 16_383
_ERROR_FILE_NOT_FOUND, _ERROR_ACCESS_DENIED, _ERROR_INVALID_PARAMETER = 2, 5, 87
_ERROR_BAD_PATHNAME, _ERROR_NO_MORE_ITEMS, _ERROR_KEY_DELETED = 161, 259, 1018
_ERRNO = {_ERROR_FILE_NOT_FOUND: errno.ENOENT, _ERROR_ACCESS_DENIED: errno.EACCES}


@dataclass
class _Node:
    name: str = ""
    keys: dict[str, _Node] = field(default_factory=dict[str, "_Node"])
    values: dict[str, tuple[str, Any, int]] = field(default_factory=dict[str, tuple[str, Any, int]])
    deleted: bool = False
    read_only: bool = False


class _Handle:
    def __init__(self, node: _Node) -> None:
        self.node = node

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.Close()

    def Close(self) -> None:  # noqa: N802 — as winreg names it
        self.node = _Node(deleted=True)


_hives: dict[int, _Node] = {}


def clear() -> None:
    """Empty the registry. Not part of winreg."""
    _hives.clear()
    _hives.update({HKEY_CURRENT_USER: _Node("HKEY_CURRENT_USER"), HKEY_LOCAL_MACHINE: _Node("HKEY_LOCAL_MACHINE")})
    _hives[HKEY_LOCAL_MACHINE].read_only = True


def CreateKeyEx(key: int | _Handle, sub_key: str, reserved: int = 0, access: int = KEY_WRITE) -> _Handle:  # noqa: ARG001, N802
    node = _node(key)
    for part in _parts(sub_key):
        if _folded(part) not in node.keys:
            if node.read_only:
                raise _error(_ERROR_ACCESS_DENIED)
            if _length(part) > _MAX_KEY_NAME:
                raise _error(_ERROR_INVALID_PARAMETER)
            node.keys[_folded(part)] = _Node(part)
        node = node.keys[_folded(part)]
    return _Handle(node)


def OpenKeyEx(key: int | _Handle, sub_key: str, reserved: int = 0, access: int = KEY_READ) -> _Handle:  # noqa: ARG001, N802
    node = _node(key)
    for part in _parts(sub_key):
        if _folded(part) not in node.keys:
            raise _error(_ERROR_FILE_NOT_FOUND)
        node = node.keys[_folded(part)]
    return _Handle(node)


def DeleteKey(key: int | _Handle, sub_key: str) -> None:  # noqa: N802
    with OpenKeyEx(key, sub_key) as handle:
        if handle.node.keys:
            raise _error(_ERROR_ACCESS_DENIED)
        handle.node.deleted = True
    parent, _, name = sub_key.rpartition("\\")
    with OpenKeyEx(key, parent) as handle:
        del handle.node.keys[_folded(name)]


def QueryInfoKey(key: int | _Handle) -> tuple[int, int, int]:  # noqa: N802
    node = _node(key)
    return len(node.keys), len(node.values), 0


def EnumKey(key: int | _Handle, index: int) -> str:  # noqa: N802
    return _at(list(_node(key).keys.values()), index).name


def EnumValue(key: int | _Handle, index: int) -> tuple[str, Any, int]:  # noqa: N802
    return _at(list(_node(key).values.values()), index)


def QueryValueEx(key: int | _Handle, name: str) -> tuple[Any, int]:  # noqa: N802
    _, data, kind = _existing_value(_node(key), name)
    return data, kind


def SetValueEx(key: int | _Handle, name: str, reserved: int, type: int, value: Any) -> None:  # noqa: A002, ARG001, N802
    node = _node(key)
    _refuse_nul(name)
    if _length(name) > _MAX_VALUE_NAME:
        raise _error(_ERROR_INVALID_PARAMETER)
    if type == REG_SZ:
        # Text after a NUL is stored but not read.
        value = value.encode("utf-16-le").decode("utf-16-le").partition("\0")[0]
    # A value keeps the spelling of the name it was created with.
    spelled = node.values.get(_folded(name), (name,))[0]
    node.values[_folded(name)] = spelled, value, type


def DeleteValue(key: int | _Handle, value: str) -> None:  # noqa: N802
    node = _node(key)
    _existing_value(node, value)
    del node.values[_folded(value)]


def _node(key: int | _Handle) -> _Node:
    node = _hives[key] if isinstance(key, int) else key.node
    if node.deleted:
        raise _error(_ERROR_KEY_DELETED)
    return node


def _parts(path: str) -> list[str]:
    _refuse_nul(path)
    if path.startswith("\\"):
        raise _error(_ERROR_BAD_PATHNAME)
    return [part for part in path.split("\\") if part]


def _existing_value(node: _Node, name: str) -> tuple[str, Any, int]:
    _refuse_nul(name)
    if _folded(name) not in node.values:
        raise _error(_ERROR_FILE_NOT_FOUND)
    return node.values[_folded(name)]


def _at(items: list[Any], index: int) -> Any:
    if index >= len(items):
        raise _error(_ERROR_NO_MORE_ITEMS)
    return items[index]


def _folded(name: str) -> str:
    """Fold letter by letter, so that a name keeps its length."""
    return "".join(letter.upper() if len(letter.upper()) == 1 else letter for letter in name)


def _length(name: str) -> int:
    return len(name.encode("utf-16-le")) // 2


def _refuse_nul(name: str) -> None:
    # As CPython does, before Windows could treat NUL as the end of the name.
    if "\0" in name:
        message = "embedded null character"
        raise ValueError(message)


def _error(number: int) -> OSError:
    error = OSError(_ERRNO.get(number, errno.EINVAL), f"fake registry error {number}")
    error.winerror = number  # pyright: ignore[reportAttributeAccessIssue] — Python sets it on Windows
    return error


clear()
