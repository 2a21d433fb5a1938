"""A child process in a temporary directory; both are gone when we are, however we end."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

HOST = "127.0.0.1"
_GRACE_SECONDS = 5
_CLUSTER_BUS_OFFSET = 10_000

# The leash outlives us and learns of our end, SIGKILL included, because its input ends. PR_SET_PDEATHSIG needs no
# process, but only Linux has it, it spares grandchildren, and it fires when the *thread* that started the server ends.
_LEASH = """
while read -r pid; do group=$pid; done
[ -z "$group" ] || kill -s KILL -- "-$group"
rm -rf -- "$1"
"""


def free_port() -> int:
    """A port below the ephemeral ones (from 32768 on Linux, 49152 on macOS), together with its cluster bus.

    Among those, the port of a stopped server can go to any outgoing connection, even to the one that dials it.
    """
    # Not the shared generator: a test that seeds it would get the same ports again and again.
    for port in random.SystemRandom().sample(range(10_000, 22_768), 100):
        with contextlib.suppress(OSError), socket.socket() as first, socket.socket() as bus:
            first.bind((HOST, port))
            bus.bind((HOST, port + _CLUSTER_BUS_OFFSET))
            return port
    msg = f"no free port among 100 of {HOST}"
    raise OSError(msg)


class Child:
    def __init__(self, name: str, parent: Path | None = None) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix=f"kv-{name}-", dir=parent))
        self._log = self.directory / "output.log"
        self._child: subprocess.Popen[bytes] | None = None
        self._leash = subprocess.Popen(
            ["/bin/sh", "-c", _LEASH, "leash", self.directory],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,
        )

    @property
    def returncode(self) -> int | None:
        return self._child.poll() if self._child else None

    def run(self, command: list[str]) -> None:
        with self._log.open("ab") as log:
            # A session of its own: Ctrl-C is for us, and signals reach what the server forks.
            self._child = subprocess.Popen(
                command,
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._tell_leash(str(self._child.pid))

    def send_signal(self, number: signal.Signals) -> None:
        if self._child is None or self._child.poll() is not None:
            return
        os.killpg(self._child.pid, number)
        if number is signal.SIGSTOP:
            # Until the last of its threads has stopped it answers: a server of MongoDB did, in one run of many.
            os.waitid(os.P_PID, self._child.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        elif number is signal.SIGKILL:
            self._child.wait()
            self._tell_leash("")

    def end(self, number: signal.Signals) -> None:
        """Signal the process, and SIGKILL what is left of its group when it or the grace period ends."""
        if self._child is None:
            return
        # The number of one that ended long ago can be another's by now.
        if self._child.poll() is None:
            self._child.send_signal(number)
            self.send_signal(signal.SIGCONT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(_GRACE_SECONDS)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait()
        self._tell_leash("")

    def discard(self) -> None:
        """Remove the directory, which is the last thing that the leash does."""
        self._leash.communicate()

    def output(self) -> str:
        return self._log.read_text(errors="replace")[-2000:]

    def _tell_leash(self, pid: str) -> None:
        if self._leash.stdin:
            self._leash.stdin.write(f"{pid}\n".encode())
