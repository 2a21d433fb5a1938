"""A child process in a temporary directory; both are removed when this process ends, even if it is killed."""

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

# The watchdog outlives this process, and detects its end, even by SIGKILL, by the end of its input. PR_SET_PDEATHSIG
# needs no process, but exists only on Linux, does not affect grandchildren, and fires when the *thread* that started
# the server ends.
_WATCHDOG = """
while read -r pid; do group=$pid; done
[ -z "$group" ] || kill -s KILL -- "-$group"
rm -rf -- "$1"
"""


def free_port() -> int:
    """Return a port that is free together with its cluster bus port.

    It is below the ephemeral ports (from 32768 on Linux, 49152 on macOS): one of those could be given to any outgoing
    connection while the server is stopped, even to a connection to this port.
    """
    # Not the shared generator: a test that seeds it would get the same ports again.
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
        self._watchdog = subprocess.Popen(
            ["/bin/sh", "-c", _WATCHDOG, "watchdog", self.directory],
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
            # A separate session, so that Ctrl-C does not reach the server, and signals reach its child processes.
            self._child = subprocess.Popen(
                command,
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._notify_watchdog(str(self._child.pid))

    def send_signal(self, number: signal.Signals) -> None:
        if self._child is None or self._child.poll() is not None:
            return
        os.killpg(self._child.pid, number)
        if number is signal.SIGSTOP:
            # Wait until all threads have stopped. Until then a server may still answer, as a MongoDB server once did.
            os.waitid(os.P_PID, self._child.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        elif number is signal.SIGKILL:
            self._child.wait()
            self._notify_watchdog("")

    def end(self, number: signal.Signals) -> None:
        """Signal the process. After its end or the grace period, SIGKILL the remaining processes of its group."""
        if self._child is None:
            return
        # The id of a process that ended long ago may have been reused.
        if self._child.poll() is None:
            self._child.send_signal(number)
            self.send_signal(signal.SIGCONT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(_GRACE_SECONDS)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait()
        self._notify_watchdog("")

    def discard(self) -> None:
        """End the watchdog, which removes the directory."""
        self._watchdog.communicate()

    def output(self) -> str:
        return self._log.read_text(errors="replace")[-2000:]

    def _notify_watchdog(self, pid: str) -> None:
        if self._watchdog.stdin:
            self._watchdog.stdin.write(f"{pid}\n".encode())
