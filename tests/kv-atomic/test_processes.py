"""Several processes on one store: no change is lost and no lock is held twice."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.atomic import Lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Backend

    Start = Callable[[str, float], "subprocess.Popen[str]"]

PROCESS = Path(__file__).with_name("process.py")
LEASE_SECONDS = 3.0


@pytest.fixture
def start(backend: Backend) -> Iterator[Start]:
    """Return a function that starts process.py on the backend with a command."""
    if not backend.has_processes:
        pytest.skip("processes do not share memory")
    processes: list[subprocess.Popen[str]] = []

    def run(command: str, number: float) -> subprocess.Popen[str]:
        arguments = [sys.executable, str(PROCESS), backend.path, json.dumps(backend.options), command, str(number)]
        process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")  # noqa: S603
        processes.append(process)
        return process

    yield run
    for process in processes:
        process.kill()
        process.communicate()


def line_from(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


async def test_increments_of_several_processes_are_all_counted(start: Start, store: Any) -> None:
    processes = [start("count", 25) for _ in range(4)]
    assert [process.wait() for process in processes] == [0] * 4
    assert await store.get("key") == {"count": 4 * 10 * 25}


async def test_the_lock_of_a_killed_process_is_free_when_its_lease_ends(start: Start, store: Any) -> None:
    began = monotonic()
    holder = start("hold", LEASE_SECONDS)
    fence = int(line_from(holder))
    killed = monotonic()
    holder.kill()
    assert await Lock(store, "job").acquire(wait=False) is False
    async with Lock(store, "job") as lock:
        assert lock.fence == fence + 1
        assert monotonic() - began >= LEASE_SECONDS
        assert monotonic() - killed < LEASE_SECONDS + 30


async def test_a_process_that_stalls_past_its_lease_detects_the_loss_of_the_lock(start: Start, store: Any) -> None:
    stalled = start("hold", LEASE_SECONDS)
    fence = int(line_from(stalled))
    async with Lock(store, "job") as lock:
        assert lock.fence > fence
        assert stalled.communicate("go on\n")[0].strip() == "lost, and held was False"
        assert lock.held


async def test_a_process_within_its_lease_releases_the_lock(start: Start, store: Any) -> None:
    holder = start("hold", 60)
    assert line_from(holder) == "1"
    assert await Lock(store, "job").acquire(wait=False) is False
    assert holder.communicate("go on\n")[0].strip() == "released, and held was True"
    assert await Lock(store, "job").acquire(wait=False) is True
