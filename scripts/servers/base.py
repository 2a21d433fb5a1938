"""What a test may do with a server, whatever it is made of."""

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
    """The server is not installed; the message says what to install."""


class ServerStartError(RuntimeError):
    """The server is installed, or named by its environment variable, and does not answer."""


class Server(ABC):
    """A real server: one of our own or, when `environment_variable` holds a URL, one that runs already.

    The latter is used as it is and never stopped, killed, paused or restarted. `private` asks for our own in any case.
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
        """Where clients connect, with the password if there is one."""

    @property
    def environment_value(self) -> str:
        """What `environment_variable` must hold for another process to use this server."""
        return self.url

    @abstractmethod
    def installed_version(self) -> str:
        """The version found on this machine.

        :raises ServerUnavailableError: there is none.
        """

    @abstractmethod
    def install(self) -> None:
        """Install it for the whole machine.

        :raises ServerUnavailableError: that is not possible here.
        """

    @abstractmethod
    def ready(self) -> bool:
        """Whether requests are answered; an OSError means not yet."""

    def running_version(self) -> str:
        """The version that the server reports; a server that reports none is taken for the installed one."""
        return self.installed_version() if self.external_url is None else "unknown"

    def ensure_installed(self) -> None:
        with contextlib.suppress(ServerUnavailableError):
            self.installed_version()
            return
        self.install()

    def start(self) -> None:
        """Return once requests are answered; installs the server if it is missing.

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
        """Terminate the server and remove its data; harmless when it does not run."""
        if self.external_url is None:
            self._stop()

    def restart(self) -> None:
        """Stop and start on the same port and directory; after `kill`, start there."""
        self.require_ours("restarted")
        self._restart()
        self.wait_until_ready()

    def kill(self) -> None:
        """SIGKILL, at once; port and directory are kept for `restart`."""
        self.require_ours("killed")
        self.send_signal(signal.SIGKILL)

    def pause(self) -> None:
        """SIGSTOP: connections are accepted by the kernel and nothing is answered."""
        self.require_ours("paused")
        self.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.require_ours("resumed")
        self.send_signal(signal.SIGCONT)

    def wait_until_ready(self) -> None:
        """
        :raises ServerStartError: it ended, or does not answer within `start_timeout` seconds.
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
        """Signal everything the server consists of; after SIGKILL, return once it is gone."""

    @abstractmethod
    def _start(self) -> None: ...

    @abstractmethod
    def _stop(self) -> None: ...

    @abstractmethod
    def _restart(self) -> None: ...

    def _failure(self) -> str:
        """Why it is useless to wait any longer; empty when it is not."""
        return ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
