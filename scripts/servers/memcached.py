from __future__ import annotations

import socket
from urllib.parse import urlsplit

from servers import ProcessServer


class MemcachedServer(ProcessServer):
    """A single Memcached. `arguments` are added to its command line; of repeated options the last takes effect."""

    environment_variable = "KV_TEST_MEMCACHED_URL"
    binary = "memcached"
    apt_package = "memcached"

    def __init__(self, *arguments: str, private: bool = False) -> None:
        super().__init__(private=private or bool(arguments))
        self._arguments = arguments

    @property
    def url(self) -> str:
        return self.external_url or f"memcached://{self.host}:{self.port}"

    def command(self) -> list[str]:
        # -u takes effect only as root.
        return [self.binary, "-u", "nobody", "-l", self.host, "-p", str(self.port), "-U", "0", *self._arguments]

    def ready(self) -> bool:
        return ask(self.url, "version").startswith("VERSION")

    def running_version(self) -> str:
        return ask(self.url, "version").removeprefix("VERSION ")


def ask(url: str, command: str) -> str:
    """Send a command and return the reply line. Implemented without a driver, because scripts run without one.

    :raises OSError: the server does not answer.
    """
    address = urlsplit(url)
    with socket.create_connection((address.hostname or "", address.port or 11211), timeout=5) as connection:
        connection.sendall(f"{command}\r\n".encode())
        with connection.makefile("rb") as stream:
            return stream.readline().decode().strip()
