from __future__ import annotations

from typing import TYPE_CHECKING

from servers.base import Server

if TYPE_CHECKING:
    import signal


class ServerGroup(Server):
    """Several servers that the client sees as one, started in order."""

    def __init__(self, *parts: Server, private: bool = False) -> None:
        super().__init__(private=private)
        self._parts = parts

    def installed_version(self) -> str:
        return self._parts[0].installed_version()

    def install(self) -> None:
        self._parts[0].install()

    def send_signal(self, number: signal.Signals) -> None:
        for part in self._parts:
            part.send_signal(number)

    def _start(self) -> None:
        for part in self._parts:
            part.start()

    def _stop(self) -> None:
        for part in reversed(self._parts):
            part.stop()

    def _restart(self) -> None:
        for part in self._parts:
            part.restart()
