"""Directories and paths of local stores."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from key_value.aio.core.directories import is_full, make_directories, only_path, user_path


def test_a_tilde_expands_to_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert user_path("~/data") == user_path(Path("~/data")) == tmp_path / "data"


def test_a_relative_path_is_resolved_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = user_path("data")
    monkeypatch.chdir(tmp_path.parent)
    assert path == tmp_path / "data"


@pytest.mark.parametrize(("path", "reason"), [("", "empty"), ("~nobody-of-that-name/data", "~nobody-of-that-name")])
def test_a_path_that_cannot_be_resolved_is_refused(path: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        user_path(path)


def test_only_one_of_path_and_directory_may_be_passed() -> None:
    assert only_path(path=None, directory="d") == "d"
    assert only_path(path=None, directory=None) is None
    with pytest.raises(ValueError, match="pass path or directory, not both"):
        only_path(path="p", directory="d")


def test_durability_is_normal_or_full() -> None:
    assert [is_full("normal"), is_full("full")] == [False, True]
    with pytest.raises(ValueError, match="""durability must be "normal" or "full", not 'some'"""):
        is_full("some")


@pytest.mark.parametrize("fsync", [False, True])
def test_directories_are_created_for_the_current_user_only(
    tmp_path: Path,
    fsync: bool,  # noqa: FBT001
) -> None:
    old = os.umask(0)
    try:
        make_directories(tmp_path / "above" / "data", fsync=fsync)
        make_directories(tmp_path / "above" / "data", fsync=fsync)
    finally:
        os.umask(old)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "above", tmp_path / "above" / "data")]
    assert modes == [0o700, 0o700]
