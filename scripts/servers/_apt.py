from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

# Debian starts a daemon as soon as it is installed, unless this file says 101, "forbidden".
_POLICY = Path("/usr/sbin/policy-rc.d")


def apt_install(package: str) -> None:
    """Install the package, or several, named with spaces between, without starting anything.

    :raises OSError: or CalledProcessError, when that fails.
    """
    with _one_at_a_time(), _autostart_forbidden():
        _update()
        _apt_get("install", "-y", "--no-install-recommends", *package.split())


@contextlib.contextmanager
def _one_at_a_time() -> Generator[None]:
    """Parallel test runs share dpkg and the policy file."""
    folder = os.open(_POLICY.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


@cache
def _update() -> None:
    _apt_get("update")


def _apt_get(*arguments: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", *arguments], check=True, capture_output=True, text=True, env=environment, timeout=600)


@contextlib.contextmanager
def _autostart_forbidden() -> Generator[None]:
    # One that exists is the administrator's (container images come with it).
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()
