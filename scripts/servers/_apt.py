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

# Debian starts a daemon when it is installed, unless this script exits with 101 ("forbidden").
_POLICY = Path("/usr/sbin/policy-rc.d")


def apt_install(package: str) -> None:
    """Install one or several packages, separated by spaces, without starting daemons.

    :raises OSError: or CalledProcessError, if the installation fails.
    """
    with _exclusive_lock(), _autostart_forbidden():
        _update()
        _apt_get("install", "-y", "--no-install-recommends", *package.split())


@contextlib.contextmanager
def _exclusive_lock() -> Generator[None]:
    """Prevent concurrent use of dpkg and the policy file by parallel test runs."""
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
    # An existing file is the administrator's (container images include one).
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()
