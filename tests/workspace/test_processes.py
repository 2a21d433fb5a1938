"""Stores in processes that fork, exit and spawn others; each program runs in its own process."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from ast import literal_eval
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.urls import open_store

from .local_stores import URLS

if TYPE_CHECKING:
    from pathlib import Path

FORKS = int(os.environ.get("KEY_VALUE_FORKS", "100"))
"""Total number of forked processes. Long runs use 1,000."""

REFUSED_IN_CHILDREN = {"rocksdb", "duckdb", "chdb"}

# An in-memory keyring with the methods that a store uses.
OPENING = """
import sys
from key_value.aio.urls import open_store

def opened(url):
    if not url.startswith("keyring:"):
        return open_store(url)
    from keyring.backend import KeyringBackend

    class Backend(KeyringBackend):
        priority = 1
        passwords = {}

        def get_password(self, service, username):
            return self.passwords.get((service, username))

        def set_password(self, service, username, password):
            self.passwords[service, username] = password

    return open_store(url, keyring=Backend())
"""

# Forks while the store is idle, opening, or in use by a thread or by the event loop that forks. The child may continue
# to use the parent's event loop. Prints the number of children for each exit status.
FORKING = f"""
import asyncio, collections, os, threading, time
{OPENING}
url, forks = sys.argv[1], int(sys.argv[2])
ends = collections.Counter()
VALUE = {{"text": "x" * 2000}}

def child(store, run):
    async def use():
        await store.put("child", VALUE)
        assert await store.get("child") == VALUE

    code = 1
    try:
        run(use())
        code = 0
    except Exception as exc:
        code = 2 if "forked" in str(exc) else 3
        print(repr(exc), file=sys.stderr, flush=True)
    finally:
        os._exit(code)

def fork(store, run=asyncio.run):
    process = os.fork()
    if not process:
        child(store, run)
    return process

def wait_for(process):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(process, 9)
    os.waitpid(process, 0)
    return "hung"

async def write(store, number, stop):
    while not stop.is_set():
        await store.put(f"{{number}}", VALUE)
        await store.get(f"{{number}}")
        await asyncio.sleep(0)

async def write_all(store, stop):
    await asyncio.gather(*(write(store, number, stop) for number in range(5)))

def idle(store):
    loop = asyncio.new_event_loop()
    loop.run_until_complete(store.put("parent", VALUE))
    code = wait_for(fork(store, loop.run_until_complete))
    loop.run_until_complete(store.close())
    loop.close()
    return code

def in_use_by_a_thread(store, delay=0.02):
    stop = threading.Event()
    thread = threading.Thread(target=asyncio.run, args=(write_all(store, stop),))
    thread.start()
    time.sleep(delay)
    process = fork(store)
    code = wait_for(process)
    stop.set()
    thread.join()
    asyncio.run(store.close())
    return code

def opening(store):
    return in_use_by_a_thread(store, 0)

def in_use_by_the_event_loop(store):
    async def use():
        stop = threading.Event()
        writers = asyncio.create_task(write_all(store, stop))
        await asyncio.sleep(0.02)
        code = await asyncio.to_thread(wait_for, fork(store))
        stop.set()
        await writers
        await store.close()
        return code

    return asyncio.run(use())

moments = [idle, opening, in_use_by_a_thread, in_use_by_the_event_loop]
for number in range(forks):
    ends[moments[number % 4](opened(url))] += 1
print(dict(ends))
"""


def run(program: str, *arguments: object, seconds: float = 60) -> str:
    """Run the program, which must succeed within the time limit, and return its output."""
    command = [sys.executable, "-W", "ignore", "-c", program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)  # noqa: S603 — our own program
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.timeout(60 + 2 * FORKS)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform does not fork")
@pytest.mark.parametrize("name", URLS)
def test_no_forked_child_hangs_and_its_first_use_works(name: str, tmp_path: Path) -> None:
    forks = FORKS // len(URLS) + 1
    ends = literal_eval(run(FORKING, URLS[name].format(tmp_path), forks, seconds=60 + 2 * FORKS))
    assert sum(ends.values()) == forks
    # RocksDB, DuckDB and chDB do not survive a fork once they are open, and a second process cannot open the same data.
    assert ends.keys() <= ({0, 2} if name in REFUSED_IN_CHILDREN else {0})


EXITING = f"""
import asyncio, atexit

def save(when):
    try:
        asyncio.run(store.put(when, {{"n": 1}}))
        print(when, asyncio.run(store.get(when)))
    finally:
        sys.stdout.flush()

atexit.register(save, "last")
{OPENING}
store = opened(sys.argv[1])
if sys.argv[2] == "used":
    asyncio.run(store.put("key", {{"n": 1}}))
atexit.register(save, "first")
"""


@pytest.mark.parametrize("used", ["used", "unused"])
@pytest.mark.parametrize("name", URLS.keys() - {"duckdb in memory"})
def test_a_call_in_an_exit_handler_works_whenever_it_was_registered(name: str, used: str, tmp_path: Path) -> None:
    assert run(EXITING, URLS[name].format(tmp_path), used) == "first {'n': 1}\nlast {'n': 1}"


STOPPING = f"""
import asyncio, threading
{OPENING}
store, tasks = opened(sys.argv[1]), set()

async def begin():
    tasks.add(asyncio.create_task(store.put("key", {{"n": 1}})))
    await asyncio.sleep(0)

first = asyncio.new_event_loop()
first.run_until_complete(begin())
if sys.argv[2] == "closed":
    first.close()
asyncio.run(asyncio.wait_for(store.put("other", {{"n": 2}}), 20))
print(asyncio.run(store.get("other")))
"""


@pytest.mark.parametrize("end", ["stopped", "closed"])
@pytest.mark.parametrize("name", URLS)
def test_a_loop_that_ends_during_the_first_call_does_not_block_others(name: str, end: str, tmp_path: Path) -> None:
    assert run(STOPPING, URLS[name].format(tmp_path), end) == "{'n': 2}"


def step(call: Any) -> None:
    """Start the call without a running asyncio event loop; check the error."""
    with pytest.raises(RuntimeError, match=r" requires asyncio: await it in a coroutine run by asyncio"):
        call.send(None)


LOOPLESS = URLS.keys() - {"memory", "simple", "keyring"}


@pytest.mark.parametrize("name", [*LOOPLESS, "keyring", "redis"])
def test_without_asyncio_a_store_raises_a_clear_error(name: str, tmp_path: Path) -> None:
    store: Any = open_store({**URLS, "redis": "redis://127.0.0.1:1"}[name].format(tmp_path))
    for call in (store.get("key"), store.put("key", {}), store.setup(), store.get_many(["key"]), store.delete("key")):
        step(call)


@pytest.mark.parametrize("name", LOOPLESS)
def test_without_asyncio_an_open_store_raises_a_clear_error_too(name: str, tmp_path: Path) -> None:
    store: Any = open_store(URLS[name].format(tmp_path))
    asyncio.run(store.put("key", {"n": 1}))
    for call in (store.get("key"), store.put("key", {}), store.setup()):
        step(call)
    asyncio.run(store.close())


SPAWNING = """
import asyncio, multiprocessing, sys
from key_value.aio.stores.disk import DiskStore

def use(store):
    asyncio.run(store.put("child", {"n": 2}))
    print(asyncio.run(store.get("parent")), flush=True)

if __name__ == "__main__":
    store = DiskStore(directory=sys.argv[1])
    asyncio.run(store.put("parent", {"n": 1}))
    process = multiprocessing.get_context("spawn").Process(target=use, args=(store,))
    process.start()
    process.join()
    print(asyncio.run(store.get("child")))
"""


def test_a_store_can_be_passed_to_a_spawned_process(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(SPAWNING)
    done = subprocess.run(  # noqa: S603 — our own program
        [sys.executable, str(program), str(tmp_path / "data")], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.split("\n")[:2] == ["{'n': 1}", "{'n': 2}"], done.stderr
