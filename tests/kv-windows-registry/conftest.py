"""The registry, or a fake on systems without one."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

REGISTRY_PATH = "Software\\kv-tests"


def _load_fake() -> Any:
    spec = importlib.util.spec_from_file_location("fake_winreg", Path(__file__).with_name("fake_winreg.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look up their module by name.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _import_store() -> tuple[Any, bool]:
    """Import the store on the real winreg or a fake; return the winreg module and whether it is the fake."""
    try:
        return importlib.import_module("winreg"), False
    except ImportError:
        fake = _load_fake()
    # Only for this import: the standard library takes the presence of this module to mean Windows.
    sys.modules["winreg"] = fake
    try:
        importlib.import_module("key_value.aio.stores.windows_registry")
    finally:
        del sys.modules["winreg"]
    return fake, True


_WINREG, _IS_FAKE = _import_store()


class RawRegistry:
    """The values below the registry key of the tests, accessed without the store."""

    def __init__(self, winreg: Any) -> None:
        self.winreg = winreg

    def read(self, folder: str, name: str) -> str | None:
        try:
            with self.winreg.OpenKeyEx(self.winreg.HKEY_CURRENT_USER, f"{REGISTRY_PATH}\\{folder}") as key:
                return self.winreg.QueryValueEx(key, name)[0]
        except FileNotFoundError:
            return None

    def write(self, folder: str, name: str, data: Any, kind: int | None = None) -> None:
        path = f"{REGISTRY_PATH}\\{folder}"
        with self.winreg.CreateKeyEx(
            self.winreg.HKEY_CURRENT_USER, path, 0, self.winreg.KEY_READ | self.winreg.KEY_WRITE
        ) as key:
            self.winreg.SetValueEx(key, name, 0, self.winreg.REG_SZ if kind is None else kind, data)

    def names(self, folder: str) -> list[str]:
        with self.winreg.OpenKeyEx(self.winreg.HKEY_CURRENT_USER, f"{REGISTRY_PATH}\\{folder}") as key:
            return sorted(self.winreg.EnumValue(key, i)[0] for i in range(self.winreg.QueryInfoKey(key)[1]))

    def folders(self, path: str = REGISTRY_PATH) -> list[str]:
        with self.winreg.OpenKeyEx(self.winreg.HKEY_CURRENT_USER, path) as key:
            return sorted(self.winreg.EnumKey(key, i) for i in range(self.winreg.QueryInfoKey(key)[0]))

    def remove(self, path: str = REGISTRY_PATH) -> None:
        try:
            folders = self.folders(path)
        except FileNotFoundError:
            return
        for folder in folders:
            self.remove(f"{path}\\{folder}")
        self.winreg.DeleteKey(self.winreg.HKEY_CURRENT_USER, path)


@pytest.fixture
def raw() -> Iterator[RawRegistry]:
    raw = RawRegistry(_WINREG)
    raw.remove()
    yield raw
    raw.remove()


@pytest.fixture
def registry_path() -> str:
    return REGISTRY_PATH


@pytest.fixture
def fake_only() -> None:
    if not _IS_FAKE:
        pytest.skip("looks into the fake registry, and this machine has a real one")
