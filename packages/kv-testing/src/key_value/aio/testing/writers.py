"""Processes that write to a store until they are killed, and say what the store has acknowledged.

`python -m key_value.aio.testing.writers MODULE:CLASS OPTIONS`, with the constructor's keyword arguments as JSON,
imports the store once and forks each writer that it is asked for on its standard input, which takes a millisecond.
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
"""The changes of one call: key → the value that is put, None for a deleted key."""


def step(writer: str, number: int) -> Step:
    """The `number`th call of a writer: puts, batches, overwrites and deletes, a tenth with values of up to 30 KB."""
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
    """The entries after the first `steps` calls of a writer."""
    entries: Step = {}
    for number in range(steps):
        entries |= step(writer, number)
    return entries


def open_store(path: str, options: Mapping[str, Any]) -> AsyncKeyValue:
    """The store of a class that is named as `module:class`."""
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
        _say("written", writer, number)


def _say(*words: object) -> None:
    # One call of write(2), so that the lines of several writers do not mix, and nothing is left in a buffer.
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def _serve(path: str, options: Mapping[str, Any]) -> None:
    open_store(path, options)  # imports what it needs
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
            _say("started", child)
        else:
            _say("ended", os.waitstatus_to_exitcode(os.waitpid(int(argument), 0)[1]))


class Writers:
    """The writers of one store, each with a name and keys of its own."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.acknowledged: dict[str, int] = {}
        """Writer → how many of its calls have returned, as far as is known."""
        self._process = process
        self._pids: dict[str, int] = {}
        self._lines: SimpleQueue[list[str]] = SimpleQueue()
        # Always read, so that no writer waits for the pipe.
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def start(self, writer: str) -> None:
        """Return when the first call of the new writer has returned."""
        self._ask("start", writer)
        self._pids[writer] = int(self._hear("started"))
        self.wait(writer, calls=1)

    def wait(self, writer: str, *, calls: int) -> None:
        """Return when as many calls of the writer have returned."""
        while self.acknowledged.get(writer, 0) < calls:
            self._hear("written")

    def kill(self, writer: str) -> None:
        """End the writer in the middle of what it does."""
        self._end(writer, signal.SIGKILL, -signal.SIGKILL)

    def stop(self, writer: str) -> None:
        """Let the writer finish its call; none of its calls may have failed."""
        self._end(writer, signal.SIGTERM, 0)

    def close(self) -> None:
        """Kill the writers that are left, and let the process that started them end."""
        for writer in list(self._pids):
            self.kill(writer)
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._reader.join()

    def _end(self, writer: str, how: signal.Signals, status: int) -> None:
        os.kill(self._pids[writer], how)
        self._ask("wait", self._pids.pop(writer))
        ended = int(self._hear("ended"))
        assert ended == status, f"the writer {writer!r} ended by itself with {ended}; what it raised is on stderr"

    def _ask(self, *words: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()

    def _hear(self, awaited: str) -> str:
        """Return the rest of the next line with this beginning, and record the acknowledgements before it."""
        while words := self._lines.get():
            if words[0] == "written":
                self.acknowledged[words[1]] = int(words[2])
            if words[0] == awaited:
                return words[1]
        message = "the process that starts the writers has ended; what it raised is on stderr"
        raise RuntimeError(message)

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self._lines.put(line.split())
        self._lines.put([])


@contextmanager
def writers_of(path: str, options: Mapping[str, Any]) -> Generator[Writers]:
    """Writers of the store of a class named `module:class`, constructed with these keyword arguments."""
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
