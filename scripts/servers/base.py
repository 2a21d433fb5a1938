"""The interface of a server for tests, independent of how it runs."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self


class ServerUnavailableError(RuntimeError):
    """The server is not installed; the message says how to install it."""


class ServerStartError(RuntimeError):
    """The server is installed, or set in its environment variable, but does not respond."""


class Server(ABC):
    """A real server: started here or, if `environment_variable` is set to a URL, already running.

    A running server is used as it is, and never stopped, killed, paused or restarted. With `private`, the server is
    always started here.
    """

    environment_variable: ClassVar[str]
    start_timeout: ClassVar[float] = 120

    def __init__(self, *, private: bool = False) -> None:
        self.external_url = None if private else os.environ.get(self.environment_variable) or None
        self.version = ""

    @property
    def name(self) -> str:
        return type(self).__module__.rpartition(".")[2]

    @property
    @abstractmethod
    def url(self) -> str:
        """The URL for clients, including the password if there is one."""

    @property
    def environment_value(self) -> str:
        """The value of `environment_variable` with which another process uses this server."""
        return self.url

    @abstractmethod
    def installed_version(self) -> str:
        """Return the version installed on this machine.

        :raises ServerUnavailableError: the server is not installed.
        """

    @abstractmethod
    def install(self) -> None:
        """Install the server for the machine or the user.

        :raises ServerUnavailableError: it cannot be installed here.
        """

    @abstractmethod
    def ready(self) -> bool:
        """Return whether requests are answered; an OSError means not yet."""

    def running_version(self) -> str:
        """Return the version that the server reports; by default, the installed version or "unknown"."""
        return self.installed_version() if self.external_url is None else "unknown"

    def ensure_installed(self) -> None:
        with contextlib.suppress(ServerUnavailableError):
            self.installed_version()
            return
        self.install()

    def start(self) -> None:
        """Start the server and wait until it answers requests; install it if it is missing.

        :raises ServerUnavailableError: it is missing and cannot be installed here.
        :raises ServerStartError: it does not answer.
        """
        try:
            if self.external_url is None:
                self.ensure_installed()
                self._start()
            self.wait_until_ready()
            self.version = self.running_version()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Terminate the server and remove its data. Does nothing if it is not running."""
        if self.external_url is None:
            self._stop()

    def restart(self) -> None:
        """Stop the server and start it with the same port and directory. After `kill`, only start it."""
        self.require_ours("restarted")
        self._restart()
        self.wait_until_ready()

    def kill(self) -> None:
        """Send SIGKILL. Port and directory are kept for `restart`."""
        self.require_ours("killed")
        self.send_signal(signal.SIGKILL)

    def pause(self) -> None:
        """Send SIGSTOP: the kernel still accepts connections, but nothing is answered."""
        self.require_ours("paused")
        self.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.require_ours("resumed")
        self.send_signal(signal.SIGCONT)

    def wait_until_ready(self) -> None:
        """Wait until requests are answered.

        :raises ServerStartError: the server ended, or does not answer within `start_timeout` seconds.
        """
        deadline = time.monotonic() + self.start_timeout
        reason = "not ready"
        while not (failure := self._failure()) and time.monotonic() < deadline:
            try:
                if self.ready():
                    return
            except OSError as error:
                reason = str(error)
            time.sleep(0.01)
        origin = f" of {self.environment_variable}" if self.external_url else ""
        msg = f"{self.name}{origin}: {failure or f'no answer within {self.start_timeout:g} s: {reason}'}"
        raise ServerStartError(msg)

    def require_ours(self, action: str) -> None:
        if self.external_url is not None:
            msg = f"the server of {self.environment_variable} is not ours: it is never {action}"
            raise RuntimeError(msg)

    @abstractmethod
    def send_signal(self, number: signal.Signals) -> None:
        """Signal all processes of the server; for SIGKILL, wait until they have ended."""

    @abstractmethod
    def _start(self) -> None: ...

    @abstractmethod
    def _stop(self) -> None: ...

    @abstractmethod
    def _restart(self) -> None: ...

    def _failure(self) -> str:
        """Return why waiting any longer is useless; empty if the server may still start."""
        return ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
