"""Trees, and file systems created for a test."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from key_value.aio.stores.filetree import FileTreeStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator, Iterator, Sequence
    from pathlib import Path

MEGABYTES = 16


def run(*command: str | Path) -> None:
    # Runs only system programs, on paths that the tests create.
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=250)  # noqa: S603


@contextmanager
def mounted(where: Path, *command: str | Path) -> Generator[Path]:
    where.mkdir()
    run(*command)
    try:
        yield where
    finally:
        run("umount", where)


def require_root() -> None:
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("mounting a file system needs root")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return tmp_path / "tree"


@pytest.fixture
async def store(tree: Path) -> AsyncIterator[FileTreeStore]:
    async with FileTreeStore(data_directory=tree) as store:
        yield store


@pytest.fixture
def small_file_system(tmp_path: Path) -> Iterator[Path]:
    """Yield a directory with room for 64 KiB."""
    require_root()
    where = tmp_path / "small"
    try:
        context = mounted(where, "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", where)
        with context:
            yield where
    except subprocess.CalledProcessError as error:
        pytest.skip(f"tmpfs cannot be mounted: {error.stderr.strip()}")


def folding_commands(image: Path, where: Path) -> Iterator[tuple[str, Sequence[Sequence[str | Path]]]]:
    """Yield ways to mount a case-insensitive file system: the kind, and the commands."""
    yield (
        "ext4 with casefold",
        [["mkfs.ext4", "-q", "-O", "casefold", "-E", "encoding=utf8", image], ["mount", "-o", "loop", image, where]],
    )
    yield "vfat", [["mkfs.vfat", image], ["mount", "-o", "loop,utf8", image, where]]
    yield "ntfs-3g", [["mkntfs", "-F", "-q", image], ["lowntfs-3g", "-o", "ignore_case", image, where]]


@pytest.fixture
def folding_directory(tmp_path: Path) -> Iterator[Path]:
    """Yield a directory where `a` and `A` are the same name."""
    require_root()
    image, where = tmp_path / "image", tmp_path / "folding"
    where.mkdir()
    failures: list[str] = []
    for kind, commands in folding_commands(image, where):
        with image.open("wb") as file:
            file.truncate(MEGABYTES * 2**20)
        try:
            for command in commands:
                run(*command)
        except (OSError, subprocess.CalledProcessError):
            failures.append(kind)
            continue
        try:
            tree = where / "tree"
            tree.mkdir()
            if kind.startswith("ext4"):
                run("chattr", "+F", tree)
            yield tree
        finally:
            run("umount", where)
        return
    pytest.skip(f"none of {', '.join(failures)} can be made and mounted here")
