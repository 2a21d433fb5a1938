from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from servers.base import ServerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping


def cache_root(project: str, version: str) -> Path:
    """Return the install folder of a server version, in the user's cache, shared by all working trees."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache, "key-value-servers", f"{project}-{version}")


def install_once(
    root: Path, tool: str, advice: str, *arguments: str | Path, environment: Mapping[str, str] | None = None
) -> None:
    """Run a tool that installs into `root`, shared by all working trees and test runs.

    Concurrent calls wait for each other, and then run the tool again: it must return quickly and successfully if it has
    already installed. `advice` is where to get the tool.

    :raises ServerUnavailableError: the tool is not installed, or it fails.
    """
    program = shutil.which(tool)
    if program is None:
        msg = f"{tool} is not installed ({advice})"
        raise ServerUnavailableError(msg)
    root.mkdir(parents=True, exist_ok=True)
    with (root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(
            [program, *arguments],
            check=False,
            capture_output=True,
            text=True,
            env={**os.environ, **(environment or {})},
            timeout=1800,
        )
    if done.returncode:
        msg = f"{tool} cannot install {root.name}: {done.stderr[-500:]}"
        raise ServerUnavailableError(msg)
