from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from servers.base import ServerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>local</groupId><artifactId>jars</artifactId><version>1</version><packaging>pom</packaging>
<dependencies><dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency></dependencies>
</project>"""


def maven_root(name: str, version: str) -> Path:
    """Return the folder for `maven_install`, in the user's cache, shared by all working trees."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache, "key-value-servers", f"{name}-{version}")


def maven_install(root: Path, fill: Callable[[Path], None]) -> None:
    """Create the folder `root` with `fill`, unless it exists. It is shared by all working trees and test runs.

    :raises ServerUnavailableError: Maven is not installed, or it fails.
    """
    root.parent.mkdir(parents=True, exist_ok=True)
    with (root.parent / f"{root.name}.lock").open("w") as lock:
        # Parallel test runs wait for the first to finish.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if root.exists():
            return
        with tempfile.TemporaryDirectory(dir=root.parent) as folder:
            filled = Path(folder, "filled")
            fill(filled)
            filled.rename(root)


def maven_zip(group: str, artifact: str, version: str, into: Path) -> None:
    """Unpack the zip file of an artifact, without its top-level folder."""
    with tempfile.TemporaryDirectory(dir=into.parent) as folder:
        _maven("dependency:copy", f"-Dartifact={group}:{artifact}:{version}:zip", f"-DoutputDirectory={folder}")
        [archive] = Path(folder).glob("*.zip")
        with zipfile.ZipFile(archive) as packed:
            packed.extractall(folder)
        [unpacked] = (each for each in Path(folder).iterdir() if each.is_dir())
        unpacked.rename(into)


def maven_jars(group: str, artifact: str, version: str, into: Path) -> None:
    """Copy the jar of an artifact and the jars of its dependencies."""
    with tempfile.TemporaryDirectory(dir=into.parent) as folder:
        Path(folder, "pom.xml").write_text(_POM.format(group, artifact, version))
        _maven("dependency:copy-dependencies", "-f", f"{folder}/pom.xml", f"-DoutputDirectory={into}")


def _maven(*arguments: str) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        msg = "Maven is not installed (apt-get install maven)"
        raise ServerUnavailableError(msg)
    done = subprocess.run([maven, "-B", "-q", *arguments], check=False, capture_output=True, text=True, timeout=900)
    if done.returncode:
        msg = f"mvn {arguments[0]} failed: {(done.stdout + done.stderr)[-500:]}"
        raise ServerUnavailableError(msg)


def find_java(oldest: int, newest: int) -> Path:
    """Return the `java` of an installed version in this range.

    :raises ServerUnavailableError: none of these versions is installed.
    """
    homes = [Path(os.environ.get("JAVA_HOME", "/nonexistent")), *sorted(Path("/usr/lib/jvm").glob("*"))]
    for home in homes:
        release = home / "release"
        version = re.search(r'JAVA_VERSION="(\d+)', release.read_text()) if release.is_file() else None
        if version and oldest <= int(version[1]) <= newest:
            return home / "bin/java"
    msg = f"no Java {oldest} to {newest} is installed or set in JAVA_HOME (apt-get install openjdk-17-jre-headless)"
    raise ServerUnavailableError(msg)
