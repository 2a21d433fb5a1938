"""Tests of a store on a server across event loops, closing and forks."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.errors import StoreTimeoutError
from workspace import run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from key_value.aio.testing.load import Load

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform does not fork")

_BEGINNING = """
import asyncio, gc, logging, os, signal, threading, time

# Hide warnings about slow callbacks.
logging.getLogger("asyncio").setLevel(logging.ERROR)
"""

_LOOPS = """
async def main(number):
    await asyncio.gather(*(store.put(f"key {number}", {"n": number}) for _ in range(20)))
    assert await store.get(f"key {number}") == {"n": number}
    ENDING

for number in range(3):
    asyncio.run(main(number))
    gc.collect()
"""


_CHILD = """
loop = asyncio.new_event_loop()

async def use(name):
    await store.put(name, {"n": 1})
    return await asyncio.gather(*(store.get("parent") for _ in range(20))) == [{"n": 1}] * 20

print(loop.run_until_complete(use("parent")), flush=True)
child = os.fork()
if child == 0:
    print(CHILD_LOOP(use("child")), flush=True)
    os._exit(0)
print(os.waitpid(child, 0)[1], loop.run_until_complete(use("parent")), loop.run_until_complete(store.get("child")))
loop.run_until_complete(store.close())
loop.close()
"""


def run_strictly(program: str, *but: str) -> list[str]:
    """Run the program in Python's development mode, with warnings as errors except `but`; return the printed lines."""
    ignored = [part for each in but for part in ("-W", f"ignore::{each}")]
    return run(sys.executable, "-X", "dev", "-W", "error", *ignored, "-c", _BEGINNING + program).splitlines()


async def check_loops_one_after_another(beginning: str, ending: str, *, strict: bool = True) -> None:
    """Use `store`, created by the code in `beginning`, in three event loops; run the code in `ending` in each."""
    program = beginning + _LOOPS.replace("ENDING", ending)
    if strict:
        assert await asyncio.to_thread(run_strictly, program) == []
    else:
        assert await asyncio.to_thread(run, sys.executable, "-c", _BEGINNING + program) == ""


async def check_forked_child(beginning: str, child_loop: str) -> None:
    """Use `store`, created by the code in `beginning`, before a fork, and after it in the parent and in the child.

    `child_loop` is the function with which the child runs a coroutine.
    """
    program = _BEGINNING + beginning + _CHILD.replace("CHILD_LOOP", child_loop)
    printed = await asyncio.to_thread(run, sys.executable, "-c", program)
    assert printed == "True\nTrue\n0 True {'n': 1}\n"


async def check_closing_frozen(store: Any, server: Any) -> None:
    """Check that closing does not wait for a server that has stopped answering, and that the calls time out."""
    await store.put("key", {"n": 1})
    server.pause()
    calls = [asyncio.ensure_future(store.get("key")) for _ in range(5)]
    await asyncio.sleep(0)
    start = time.monotonic()
    await store.close()
    assert time.monotonic() - start < 30
    assert all(isinstance(each, StoreTimeoutError) for each in await asyncio.gather(*calls, return_exceptions=True))
    server.resume()


async def check_closing_with_calls(store: Any, calls: int, has_none: Callable[[], Awaitable[bool]]) -> None:
    """Check that closing waits for calls in flight and leaves no connection; afterwards the store reconnects."""
    await store.put("key", {"n": 1})
    gets = [asyncio.ensure_future(store.get("key")) for _ in range(calls)]
    await asyncio.sleep(0)
    await store.close()
    assert await asyncio.gather(*gets) == [{"n": 1}] * calls
    await store.close()
    assert await has_none()
    assert await store.get("key") == {"n": 1}
    await store.close()
    assert await has_none()


async def check_closing_under_load(store: Any) -> None:
    """Check that every call returns its result, while the store is closed repeatedly."""
    outcomes: Counter[bool] = Counter()
    done = asyncio.Event()

    async def use(key: str) -> None:
        await store.put(key, {"key": key})
        while not done.is_set():
            outcomes[await store.get(key) == {"key": key}] += 1

    users = [asyncio.create_task(use(f"key {number}")) for number in range(20)]
    for _ in range(5):
        await asyncio.sleep(0.05)
        await store.close()
    done.set()
    await asyncio.gather(*users)
    await store.close()
    assert set(outcomes) == {True}


async def check_closing_at_once(store: Any, load: Load) -> None:
    """Check that every call in flight is answered when several tasks close the store, which then serves the load."""
    answers: list[object] = []

    async def use(number: int) -> None:
        while len(answers) < load.users:
            await store.put(f"key {number}", {"n": number})
            answers.append(await store.get_many([f"key {number}", "absent"]) == [{"n": number}, None])

    users = [asyncio.ensure_future(use(number)) for number in range(50)]
    await asyncio.sleep(0.01)
    await asyncio.gather(*(store.close() for _ in range(3)))
    await asyncio.gather(*users)
    assert set(answers) == {True}
    assert await load.is_served(store)


_FORKED_USE = """
async def use(who):
    for number in range(CALLS):
        key = f"{who} {number}"
        await store.put(key, {"key": key})
        assert await store.get(key) == {"key": key}
        assert await store.get_many([key]) == [{"key": key}]

async def use_and_close(who):
    await use(who)
    await store.close()

def child(run):
    code = 1
    try:
        run(use_and_close("child"))
        code = 0
    finally:
        os._exit(code)

def wait_for(process):
    print(os.waitpid(process, 0)[1])
"""

FORK_IN_A_CALL = """
async def main():
    await use("idle")
    in_flight = asyncio.ensure_future(use("before"))
    await asyncio.sleep(0.01)
    process = os.fork() or child(asyncio.run)
    await asyncio.gather(use("parent"), in_flight)
    await asyncio.to_thread(wait_for, process)

asyncio.run(main())
"""
"""The child uses an event loop of its own."""


async def check_fork(beginning: str, fork: str, *, calls: int = 300) -> None:
    """Run the program `fork`, in which a parent and its child use the `store` that the code `beginning` opens.

    The program calls `use`, `child` and `wait_for` of `_FORKED_USE`. Each use makes `calls` calls of each kind.
    """
    program = _BEGINNING + beginning + _FORKED_USE.replace("CALLS", str(calls)) + fork
    assert await asyncio.to_thread(run, sys.executable, "-W", "ignore", "-c", program) == "0\n"


# Prepend code with the imports, `store`, and `use()`, which calls it. Prints the exit statuses of the children: five
# forked between calls, and `forks` forked under load.
FORKS = """
def in_child(work):
    child = os.fork()
    if child:
        return child
    signal.alarm(120)
    status = 1
    try:
        work()
        status = 0
    finally:
        os._exit(status)

async def under_load():
    done = asyncio.Event()

    async def use_on(key):
        await store.put(key, {{"key": key}})
        while not done.is_set():
            assert await store.get(key) == {{"key": key}}

    def work():
        asyncio._set_running_loop(None)
        asyncio.run(use())

    users = [asyncio.create_task(use_on(f"key {{number}}")) for number in range(20)]
    children = []
    for _ in range({forks}):
        await asyncio.sleep(0.01)
        children.append(in_child(work))
    await asyncio.sleep(0.1)
    done.set()
    await asyncio.gather(*users)
    return children

loop = asyncio.new_event_loop()
loop.run_until_complete(use())
children = [in_child(lambda: loop.run_until_complete(use())) for _ in range(5)]
for _ in range(20):
    loop.run_until_complete(use())
children += loop.run_until_complete(under_load())
print([os.waitpid(child, 0)[1] for child in children])
loop.run_until_complete(store.close())
loop.close()
"""
