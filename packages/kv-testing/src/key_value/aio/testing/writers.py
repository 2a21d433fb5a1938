"""Processes that write to a store until they are killed, and report the calls that have returned.

`python -m key_value.aio.testing.writers MODULE:CLASS OPTIONS`, with the constructor's keyword arguments as JSON,
imports the store once, and forks a writer for each request on standard input, which takes a millisecond.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from importlib import import_module
from queue import SimpleQueue
from typing import Any

from key_value.aio.protocols import AsyncKeyValue

__all__ = ["COLLECTION", "Step", "Writers", "open_store", "step", "writers_of", "written"]

COLLECTION = "written"

_BATCH = 20

Step = dict[str, dict[str, Any] | None]
"""The changes made by one call: key → the new value, or None for a deleted key."""


def step(writer: str, number: int) -> Step:
    """Return the changes of a writer's call: puts, batches, overwrites and deletes, a tenth with values up to 30 KB."""
    if number % 5 == 4 and (number - 1) % 4 != 3:
        return {f"{writer} {number - 1}": None}
    if number % 4 == 3:
        return {f"{writer} {number} {index}": _value(writer, number) for index in range(_BATCH)}
    if number % 7 == 6:
        return {f"{writer} again": _value(writer, number)}
    return {f"{writer} {number}": _value(writer, number)}


def _value(writer: str, number: int) -> dict[str, Any]:
    length = number % 100 if number % 10 else number * 7919 % 30011
    return {"writer": writer, "number": number, "text": "abcdefg"[number % 7] * length}


def written(writer: str, steps: int) -> Step:
    """Return the entries after the first `steps` calls of a writer."""
    entries: Step = {}
    for number in range(steps):
        entries |= step(writer, number)
    return entries


def open_store(path: str, options: Mapping[str, Any]) -> AsyncKeyValue:
    """Return a store of the class `module:class`."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)(**options)


async def _write(store: AsyncKeyValue, writer: str) -> None:
    stopped = False

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGTERM, stop)
    number = 0
    while not stopped:
        changes = step(writer, number)
        if any(value is None for value in changes.values()):
            await store.delete_many(list(changes), collection=COLLECTION)
        elif len(changes) == 1:
            for key, value in changes.items():
                await store.put(key, value or {}, collection=COLLECTION, ttl=3600)
        else:
            await store.put_many(list(changes), [value or {} for value in changes.values()], collection=COLLECTION)
        number += 1
        _print_line("written", writer, number)


def _print_line(*words: object) -> None:
    # A single write(2), so that lines of several writers do not mix and nothing stays in a buffer.
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def _serve(path: str, options: Mapping[str, Any]) -> None:
    open_store(path, options)  # imports the store's modules before the fork
    for line in sys.stdin:
        word, argument = line.split()
        if word == "start":
            child = os.fork()
            if not child:
                status = 1
                try:
                    asyncio.run(_write(open_store(path, options), argument))
                    status = 0
                finally:
                    sys.stderr.flush()
                    os._exit(status)
            _print_line("started", child)
        else:
            _print_line("ended", os.waitstatus_to_exitcode(os.waitpid(int(argument), 0)[1]))


class Writers:
    """The writers of one store, each with its own name and keys."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.acknowledged: dict[str, int] = {}
        """Writer → number of its calls known to have returned."""
        self._process = process
        self._pids: dict[str, int] = {}
        self._lines: SimpleQueue[list[str]] = SimpleQueue()
        # Reads continuously, so that no writer blocks on a full pipe.
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def start(self, writer: str) -> None:
        """Start a writer, and wait until its first call has returned."""
        self._send("start", writer)
        self._pids[writer] = int(self._await_line("started"))
        self.wait(writer, calls=1)

    def wait(self, writer: str, *, calls: int) -> None:
        """Wait until `calls` calls of the writer have returned."""
        while self.acknowledged.get(writer, 0) < calls:
            self._await_line("written")

    def kill(self, writer: str) -> None:
        """Kill the writer, possibly during a call."""
        self._end(writer, signal.SIGKILL, -signal.SIGKILL)

    def stop(self, writer: str) -> None:
        """Stop the writer after its current call. Fails if any of its calls failed."""
        self._end(writer, signal.SIGTERM, 0)

    def close(self) -> None:
        """Kill the remaining writers, and end the process that started them."""
        for writer in list(self._pids):
            self.kill(writer)
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._reader.join()

    def _end(self, writer: str, signal_number: signal.Signals, status: int) -> None:
        os.kill(self._pids[writer], signal_number)
        self._send("wait", self._pids.pop(writer))
        ended = int(self._await_line("ended"))
        assert ended == status, f"the writer {writer!r} exited with {ended}; its traceback is on stderr"

    def _send(self, *words: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()

    def _await_line(self, awaited: str) -> str:
        """Return the argument of the next line that starts with this word; record acknowledgements on the way."""
        while words := self._lines.get():
            if words[0] == "written":
                self.acknowledged[words[1]] = int(words[2])
            if words[0] == awaited:
                return words[1]
        message = "the process that starts the writers has exited; its traceback is on stderr"
        raise RuntimeError(message)

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self._lines.put(line.split())
        self._lines.put([])


@contextmanager
def writers_of(path: str, options: Mapping[str, Any]) -> Generator[Writers]:
    """Provide writers for a store of the class `module:class`, constructed with these keyword arguments."""
    command = [sys.executable, "-m", __name__, path, json.dumps(options)]
    with subprocess.Popen(  # noqa: S603 — this module
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
    ) as process:
        writers = Writers(process)
        try:
            yield writers
        finally:
            writers.close()


if __name__ == "__main__":
    _serve(sys.argv[1], json.loads(sys.argv[2]))
