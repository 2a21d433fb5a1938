from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from servers import ProcessServer, ServerUnavailableError

if TYPE_CHECKING:
    from io import BufferedRWPair

_USER = "kv"
_ACCOUNT = "postgres"
_PROTOCOL_3 = 196_608
_MAX_MESSAGE_BYTES = 100_000

# All users except the superuser need a password.
_HOST_BASED_AUTHENTICATION = f"""
host all {_USER} 127.0.0.1/32 trust
host all all 127.0.0.1/32 scram-sha-256
"""


class PostgreSQLServer(ProcessServer):
    """A PostgreSQL without fsync. The superuser `kv` needs no password; other roles do.

    `arguments` are added to its command line.
    """

    environment_variable = "KV_TEST_POSTGRESQL_URL"
    binary = "postgres"
    apt_package = "postgresql"
    stop_signal = signal.SIGINT  # SIGTERM waits for the clients to leave

    def __init__(self, *arguments: str, private: bool = False) -> None:
        super().__init__(private=private or bool(arguments))
        self._arguments = arguments

    @property
    def url(self) -> str:
        return self.external_url or f"postgresql://{_USER}@{self.host}:{self.port}/postgres"

    def installed_version(self) -> str:
        answer = subprocess.run([self._program("postgres"), "--version"], check=True, capture_output=True, text=True)
        version = re.search(r"\d+(\.\d+)+", answer.stdout)
        return version[0] if version else "unknown"

    def running_version(self) -> str:
        psql = shutil.which("psql")
        if self.external_url is None or psql is None:
            return super().running_version()
        command = [psql, "-X", "-A", "-t", "-c", "SHOW server_version", self.url]
        answer = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
        return (answer.stdout.split() or ["unknown"])[0]

    def prepare(self) -> None:
        data = self.directory / "data"
        if os.geteuid() == 0:
            shutil.chown(self.directory, _ACCOUNT)
        initdb = [self._program("initdb"), "-D", str(data), "-U", _USER, "--auth=trust", "--no-sync"]
        initdb += ["-E", "UTF8", "--locale=C"]
        subprocess.run([*as_account(), *initdb], check=True, capture_output=True, cwd=self.directory)
        (data / "pg_hba.conf").write_text(_HOST_BASED_AUTHENTICATION)

    def command(self) -> list[str]:
        return [
            *(*as_account(), self._program("postgres"), "-D", str(self.directory / "data")),
            *("-h", self.host, "-p", str(self.port), "-k", str(self.directory), "-c", "fsync=off"),
            *self._arguments,
        ]

    def ready(self) -> bool:
        return greets(self.url)

    def send_signal(self, number: signal.Signals) -> None:
        # Backend processes, which serve connections, are in separate sessions.
        serving = self._serving()
        super().send_signal(number)
        for pid in serving:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + self.start_timeout
        while number is signal.SIGKILL and any(map(_exists, serving)) and time.monotonic() < deadline:
            # The server cannot be started again while a backend process is running.
            time.sleep(0.01)

    def _serving(self) -> list[int]:
        parent = (self.directory / "data/postmaster.pid").read_text().split()[0]
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], check=True, capture_output=True, text=True)
        return [int(pid) for pid, of in map(str.split, listed.stdout.splitlines()) if of == parent]

    def _program(self, name: str) -> str:
        """Return the path of a program; Debian does not install them on PATH."""
        found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
        program = str(found[-1]) if found else shutil.which(name)
        if program is None:
            raise ServerUnavailableError(self.advice)
        return program


def as_account() -> list[str]:
    """Return the prefix of a command that refuses to run as root."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", f"--reuid={_ACCOUNT}", f"--regid={_ACCOUNT}", "--init-groups", "--"]


def greets(url: str) -> bool:
    """Return whether a server starts to authenticate a user. Implemented without a driver, because scripts have none.

    :raises OSError: the server does not answer.
    """
    address = urlsplit(url)
    names = {"user": unquote(address.username or _USER), "database": unquote(address.path[1:]) or "postgres"}
    text = "".join(f"{name}\0{value}\0" for name, value in names.items()).encode() + b"\0"
    with socket.create_connection((address.hostname or "", address.port or 5432), timeout=5) as connection:
        connection.sendall(struct.pack("!ii", len(text) + 8, _PROTOCOL_3) + text)
        with connection.makefile("rwb") as stream:
            return _message_type(stream) == b"R"


def _message_type(stream: BufferedRWPair) -> bytes:
    kind, length = stream.read(1), stream.read(4)
    if kind and int.from_bytes(length, "big") > _MAX_MESSAGE_BYTES:
        msg = "the server that answers is not PostgreSQL"
        raise ConnectionError(msg)
    return kind


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
