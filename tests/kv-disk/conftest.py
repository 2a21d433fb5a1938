"""Access to a directory without the store, and file systems that refuse writes."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import tempfile
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from contextlib import AbstractContextManager

NOBODY = 65534


class Execute(Protocol):
    def __call__(self, path: Path, sql: str, *parameters: object) -> list[Any]: ...


class Lock(Protocol):
    def __call__(self, path: Path) -> AbstractContextManager[None]: ...


@pytest.fixture(scope="session")
def execute() -> Execute:
    """Return a function that runs SQL in the database of a directory, on a separate connection."""

    def run(path: Path, sql: str, *parameters: object) -> list[Any]:
        with closing(sqlite3.connect(path / "key-value.db")) as connection, connection:
            return connection.execute(sql, parameters).fetchall()

    return run


@pytest.fixture(scope="session")
def lock() -> Lock:
    """Return a context manager: inside it, another connection is writing to the database of a directory."""

    @contextmanager
    def hold(path: Path) -> Generator[None]:
        with closing(sqlite3.connect(path / "key-value.db", isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.execute("ROLLBACK")

    return hold


@pytest.fixture
def own() -> Iterator[Path]:
    """Yield a directory, and act as its owner without root, who ignores permissions."""
    directory = Path(tempfile.mkdtemp())
    is_root = os.geteuid() == 0
    if is_root:
        os.chown(directory, NOBODY, -1)
        os.seteuid(NOBODY)
    try:
        yield directory
    finally:
        if is_root:
            os.seteuid(0)
        directory.chmod(0o755)
        shutil.rmtree(directory)


@pytest.fixture
def forbidden(own: Path) -> Path:
    """Yield a directory in which this process may not write."""
    own.chmod(0o555)
    return own


def run(*command: str) -> int:
    return subprocess.run(command, capture_output=True, check=False).returncode  # noqa: S603 — the two below


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Yield a file system of 2 MB."""
    directory = tmp_path / "small"
    directory.mkdir()
    if os.geteuid() or run("mount", "-t", "tmpfs", "-o", "size=2m", "kv-small", str(directory)):
        pytest.skip("mounting a small file system needs root")
    try:
        yield directory
    finally:
        assert run("umount", "--lazy", str(directory)) == 0
