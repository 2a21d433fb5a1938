from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

from servers._apt import apt_install
from servers._child import HOST, Child, free_port
from servers.base import Server, ServerUnavailableError

_MEMORY_FILE_SYSTEM = Path("/dev/shm")  # noqa: S108 — directories created in it are private


class ProcessServer(Server):
    """A server in one foreground process. Subclasses define the class variables, `url`, `command` and `ready`.

    Without a Debian package, override `install` and `installed_version` instead of setting `apt_package`.
    """

    binary: ClassVar[str]
    apt_package: ClassVar[str]
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    in_memory: ClassVar[bool] = False
    """Whether `directory` is in a memory file system if available: for a server that waits for the disk."""
    host = HOST

    def __init__(self, *, private: bool = False) -> None:
        super().__init__(private=private)
        self.port = 0
        self._child: Child | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """Return the foreground command for `host`, `port` and `directory`."""

    def prepare(self) -> None:
        """Fill the empty `directory` before the first start."""

    @property
    def directory(self) -> Path:
        return self._started.directory

    def installed_version(self) -> str:
        path = shutil.which(self.binary)
        if path is None:
            raise ServerUnavailableError(self.advice)
        answer = subprocess.run([path, "--version"], check=True, capture_output=True, text=True, timeout=120)
        version = re.search(r"\d+(\.\d+)+", answer.stdout + answer.stderr)
        return version[0] if version else "unknown"

    def install(self) -> None:
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            raise ServerUnavailableError(self.advice)
        try:
            apt_install(self.apt_package)
        except (OSError, subprocess.SubprocessError) as error:
            msg = f"{self.advice} ({error})"
            raise ServerUnavailableError(msg) from error

    @property
    def advice(self) -> str:
        """The message for a missing binary, with the command that installs it."""
        return (
            f"{self.binary} is not installed: apt-get install {self.apt_package}, "
            f"or set {self.environment_variable} to the URL of a running server"
        )

    def send_signal(self, number: signal.Signals) -> None:
        self._started.send_signal(number)

    @property
    def _started(self) -> Child:
        if self._child is None:
            msg = f"{self.name} is not started"
            raise RuntimeError(msg)
        return self._child

    def _start(self) -> None:
        if self._child is not None:
            msg = f"{self.name} is started already"
            raise RuntimeError(msg)
        self.port = free_port()
        self._child = Child(self.name, _MEMORY_FILE_SYSTEM if self.in_memory and _MEMORY_FILE_SYSTEM.is_dir() else None)
        self.prepare()
        self._child.run(self.command())

    def _stop(self) -> None:
        if self._child is not None:
            self._child.end(self.stop_signal)
            self._child.discard()
            self._child = None

    def _restart(self) -> None:
        self._started.end(self.stop_signal)
        self._started.run(self.command())

    def _failure(self) -> str:
        if self._child is None or self._child.returncode is None:
            return ""
        return f"ended with status {self._child.returncode}:\n{self._child.output()}"
