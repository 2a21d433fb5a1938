from __future__ import annotations

import socket
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from servers import ProcessServer
from servers._fake_aerospike.info import BUILD

if TYPE_CHECKING:
    from typing import ClassVar

_SCRIPTS = Path(__file__).parents[1]
_INFO_HEADER = 2 << 56 | 1 << 48


class AerospikeServer(ProcessServer):
    """A fake Aerospike server, because a real one cannot be installed. `arguments` are added to its command line.

    KV_TEST_AEROSPIKE_URL names a real server, `aerospike://host:port/namespace`. Its set `kv-test` is emptied.
    """

    environment_variable: ClassVar[str] = "KV_TEST_AEROSPIKE_URL"
    nsup_period: ClassVar[int] = 1

    def __init__(self, *arguments: str, private: bool = False) -> None:
        super().__init__(private=private or bool(arguments))
        self._arguments = arguments

    @property
    def url(self) -> str:
        return self.external_url or f"aerospike://{self.host}:{self.port}/test"

    def command(self) -> list[str]:
        # Of repeated options the last takes effect.
        place = ["--host", self.host, "--port", str(self.port), "--nsup-period", str(self.nsup_period)]
        return [
            "env",
            f"PYTHONPATH={_SCRIPTS}",
            sys.executable,
            "-m",
            "servers._fake_aerospike",
            *place,
            *self._arguments,
        ]

    def install(self) -> None:
        """The fake is in this folder."""

    def installed_version(self) -> str:
        return f"{BUILD} (a fake)"

    def ready(self) -> bool:
        # A real server opens its port seconds before clients can connect.
        return ask(self.url, "status") == "ok"

    def running_version(self) -> str:
        return self.installed_version() if self.external_url is None else ask(self.url, "build")


def ask(url: str, question: str) -> str:
    """Send an info request and return the answer. Implemented without a driver, because scripts run without one.

    :raises OSError: the server does not answer.
    """
    place = urlsplit(url)
    with socket.create_connection((place.hostname or "", place.port or 3000), timeout=5) as connection:
        connection.sendall(struct.pack(">Q", _INFO_HEADER | len(question) + 1) + question.encode() + b"\n")
        with connection.makefile("rb") as stream:
            header = stream.read(8)
            if len(header) < 8:  # noqa: PLR2004 — the header of the protocol
                message = "the server closed the connection"
                raise ConnectionResetError(message)
            length = struct.unpack(">Q", header)[0] & (1 << 48) - 1
            return stream.read(length).decode().strip().partition("\t")[2]
