from __future__ import annotations

import re
import socket
import struct
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from servers import ProcessServer, ServerUnavailableError
from servers._pypi import pypi_environment, pypi_python

if TYPE_CHECKING:
    from pathlib import Path

_PROJECT = ("secantusdb", "0.7.0b3")

# Not its own command, which removes expired documents only once a minute.
_PROGRAM = """
import signal, sys, threading
from secantus.server import SecantusDBServer

options = {"require_auth": True} if "auth" in sys.argv[3:] else {}
if "tls" in sys.argv[3:]:
    options |= {"tls_cert_file": sys.argv[2] + "/server.crt", "tls_key_file": sys.argv[2] + "/server.key"}
server = SecantusDBServer(
    "127.0.0.1", int(sys.argv[1]), sys.argv[2] + "/data", replica_set_name=None, enable_test_commands=False,
    ttl_sweep_seconds=5.0, cache_size="64M", **options,
)
stop = threading.Event()
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda *_: stop.set())
server.start()
stop.wait()
server.stop()
"""

_OP_MSG = 2013
_HEADER = struct.Struct("<iiii")
# {"ping": 1, "$db": "admin"} as BSON.
_PING = b"\x1e\0\0\0\x10ping\0\x01\0\0\0\x02$db\0\x06\0\0\0admin\0\0"


class MongoDBServer(ProcessServer):
    """SecantusDB, a third-party server for MongoDB's protocol with the storage engine of MongoDB, WiredTiger.

    With `auth` it requires a user and password; create the users before, without `auth`. With `tls` it uses the
    certificate in its directory.
    """

    environment_variable = "KV_TEST_MONGODB_URL"
    binary = "secantusdb"

    def __init__(self, *, private: bool = False, auth: bool = False, tls: bool = False) -> None:
        super().__init__(private=private or auth or tls)
        self.auth = auth
        self.tls = tls

    @property
    def url(self) -> str:
        return self.external_url or f"mongodb://{self.host}:{self.port}"

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or 27017

    @property
    def advice(self) -> str:
        return (
            f"{_PROJECT[0]} {_PROJECT[1]} is not installed: install uv, which gets it from PyPI, or set "
            f"{self.environment_variable} to the URL of a running MongoDB"
        )

    def installed_version(self) -> str:
        if not self._python.with_name("secantusd-py").exists():
            raise ServerUnavailableError(self.advice)
        return f"SecantusDB {_PROJECT[1]}"

    def install(self) -> None:
        pypi_environment(*_PROJECT)

    def command(self) -> list[str]:
        options = [name for name, is_on in (("auth", self.auth), ("tls", self.tls)) if is_on]
        return [str(self._python), "-I", "-c", _PROGRAM, str(self.port), str(self.directory), *options]

    def ready(self) -> bool:
        with socket.create_connection(self.address, timeout=5) as connection:
            # With TLS, listening is enough.
            return self.tls or self.external_url is not None or b"ok\0" in _answer(connection)

    @property
    def _python(self) -> Path:
        return pypi_python(*_PROJECT)


def _answer(connection: socket.socket) -> bytes:
    """Send a ping and return the reply.

    :raises OSError: there is no valid reply.
    """
    body = struct.pack("<i", 0) + b"\0" + _PING
    connection.sendall(_HEADER.pack(_HEADER.size + len(body), 1, 0, _OP_MSG) + body)
    answer = connection.recv(65536)
    if not re.search(rb"ok\0|errmsg\0", answer):
        msg = "the server that answers is not MongoDB"
        raise ConnectionError(msg)
    return answer
