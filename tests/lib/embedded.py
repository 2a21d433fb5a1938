"""Programs for a store in the files of its process.

Each goes behind a beginning that defines `Store`, which takes `path=`, and `given(path)`, a store on a database that
the caller has opened.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.errors import StoreSetupError

if TYPE_CHECKING:
    from pathlib import Path

# Uses the store before and after a fork; the child's exit code says what it met.
FORKING = """
import asyncio, os, sys
from key_value.aio.errors import StoreSetupError

kind, path = sys.argv[1:]
store = given(path) if kind == "given" else Store(path=path)
asyncio.run(store.put("a", {"n": 1}))
if kind == "closed":
    asyncio.run(store.close())
child = os.fork()
if child == 0:
    code = 1
    try:
        asyncio.run((Store(path=path) if kind == "other store" else store).get("a"))
        code = 0
    except StoreSetupError as exc:
        code = 2 if "fork" in str(exc) else 3
    finally:
        os._exit(code)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
assert asyncio.run(store.get("a")) == {"n": 1}
asyncio.run(store.close())
sys.exit(code)
"""

# Fills a disk of limited size, for this process, and then finds what was acknowledged.
FILLING = """
import asyncio, resource, signal, sys
from key_value.aio.errors import KeyValueStoreError

path, octets, reason = sys.argv[1], int(sys.argv[2]), sys.argv[3]

async def main():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    store = Store(path=path)
    await store.put("before", {"n": 1})
    prepare(path)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, resource.RLIM_INFINITY))
    written, errors = [], []
    for number in range(20):
        try:
            await store.put(f"k{number}", {"text": str(number) * 50_000})
            written.append(number)
        except KeyValueStoreError as exc:
            errors.append(str(exc))
    assert errors and all(reason in error and path in error for error in errors), errors
    assert await store.get("before") == {"n": 1}
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await store.put("after", {"n": 2})
    await store.close()
    assert [number for number in written if await store.get(f"k{number}") != {"text": str(number) * 50_000}] == []
    assert await store.get_many(["before", "after"]) == [{"n": 1}, {"n": 2}]
    await store.close()
    print("all there")

asyncio.run(main())
"""


def check_held_elsewhere(store: Any, holder: str, path: Path, message: str) -> None:
    """While another process has the path open, by a program, the store says so; and then serves."""
    command = [sys.executable, "-c", holder, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:  # noqa: S603 — ours
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        with pytest.raises(StoreSetupError, match=message):
            asyncio.run(store.put("a", {"n": 1}))
        process.communicate()
    asyncio.run(store.put("a", {"n": 1}))
    assert asyncio.run(store.get("a")) == {"n": 1}
    asyncio.run(store.close())


def run(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=250, check=False)  # noqa: S603 — ours
