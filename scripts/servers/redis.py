from __future__ import annotations

import contextlib
import socket
import ssl
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import quote, unquote, urlsplit

from servers import ProcessServer

if TYPE_CHECKING:
    from io import BufferedRWPair


class RedisServer(ProcessServer):
    """A single Redis without persistence. `arguments` are added to its command line; of repeated options the last
    takes effect.

    `password` alone sets `requirepass`; with `username`, it sets the password of the only ACL user.
    """

    environment_variable = "KV_TEST_REDIS_URL"
    binary = "redis-server"
    apt_package = "redis-server"
    scheme: ClassVar[str] = "redis"

    def __init__(self, *arguments: str, username: str = "", password: str = "", private: bool = False) -> None:
        super().__init__(private=private or bool(arguments or username or password))
        self._arguments = [*arguments]
        self._credentials = ""
        if username:
            self._arguments += ["--user", username, "on", f">{password}", "~*", "&*", "+@all"]
            self._arguments += ["--user", "default", "off"]
            self._credentials = f"{quote(username, safe='')}:{quote(password, safe='')}@"
        elif password:
            self._arguments += ["--requirepass", password]
            self._credentials = f":{quote(password, safe='')}@"

    @property
    def url(self) -> str:
        return self.external_url or f"{self.scheme}://{self._credentials}{self.address}/0"

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def socket_path(self) -> str:
        return str(self.directory / "redis.sock")

    def command(self) -> list[str]:
        return [
            *(self.binary, "--port", str(self.port), "--bind", self.host, "--dir", str(self.directory)),
            *("--unixsocket", self.socket_path, "--save", "", "--appendonly", "no", *self._arguments),
        ]

    def ready(self) -> bool:
        return ask(self.url, "PING") == "PONG"

    def running_version(self) -> str:
        return version_of(self.url)


def version_of(url: str) -> str:
    return facts_of(url)["redis_version"]


def facts_of(url: str) -> dict[str, str]:
    """Return the fields of INFO's section "server"."""
    return dict(line.split(":", 1) for line in ask(url, "INFO", "server").splitlines() if ":" in line)


def ask(url: str, *words: str) -> str:
    """Send one command and return the reply as text; empty for a missing key.

    Implemented without a driver, because scripts run without one.

    :raises OSError: the server does not answer, or replies with an error.
    """
    address = urlsplit(url)
    host = address.hostname or ""
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(socket.create_connection((host, address.port or 6379), timeout=5))
        if address.scheme in {"rediss", "valkeys"}:
            tls = ssl.create_default_context()
            connection = stack.enter_context(tls.wrap_socket(connection, server_hostname=host))
        stream = stack.enter_context(connection.makefile("rwb"))
        if address.password:
            _call(stream, "AUTH", unquote(address.username or "default"), unquote(address.password))
        return _call(stream, *words)


def _call(stream: BufferedRWPair, *words: str) -> str:
    encoded = [word.encode() for word in words]
    stream.write(b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded))
    stream.flush()
    kind, head = stream.read(1), stream.readline().decode().strip()
    if kind in {b"+", b":"}:
        return head
    if kind == b"$":
        return "" if head == "-1" else stream.read(int(head) + 2).decode().removesuffix("\r\n")
    raise ConnectionError(head or "the server closed the connection")
