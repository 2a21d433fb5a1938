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
    """Where a version of a server is installed: in the user's cache, outside of any tree and environment."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache, "key-value-servers", f"{project}-{version}")


def install_once(
    root: Path, tool: str, where: str, *arguments: str | Path, environment: Mapping[str, str] | None = None
) -> None:
    """Run a tool that installs into the root, for all trees and test runs; `where` one finds the tool.

    Calls wait for each other. The tool must end soon, and well, where it has installed before.

    :raises ServerUnavailableError: there is no such tool, or it fails.
    """
    program = shutil.which(tool)
    if program is None:
        msg = f"{tool} is not installed ({where})"
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
