"""Programs and checks for tests of an embedded store.

Prepend code to a program that defines `Store`, with the parameter `path=`, and `given(path)`, which returns a store on
a database opened by the caller.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.errors import StoreConnectionError, StoreSetupError
from rivals import all_keys, version_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator
    from pathlib import Path

# Uses the store before and after a fork. Exits with the status of the child: 0 success, 2 a StoreSetupError about the
# fork, 3 another StoreSetupError.
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

# Reaches the file size limit of the process, then checks that all acknowledged entries are stored.
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


# Waits for a line of input, then writes to a directory while other processes write to it.
WORKING = """
import asyncio, sys

async def count(store, number):
    for _ in range(number):
        while True:
            value, _, version = await store.get_versioned("count")
            if await store.put_if_version("count", {"n": (value or {"n": 0})["n"] + 1}, version):
                break
    return number

async def claim(store, number):
    return sum([await store.put_if_absent(f"key {each}", {}) for each in range(number)])

async def delete(store, number):
    return sum([await store.delete(f"key {each}") for each in range(number)])

async def main(path, work, number):
    async with Store(path=path) as store:
        print("open", flush=True)
        sys.stdin.readline()
        print(await {"count": count, "claim": claim, "delete": delete}[work](store, number))

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""

# Calls that must detect a removed database → their arguments.
CALLS: dict[str, tuple[Any, ...]] = {
    "put": ("b", {}),
    "get": ("a",),
    "setup": (),
    "put_if_absent": ("b", {}),
    "delete": ("a",),
    "cull": (),
}


def run(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=250, check=False)  # noqa: S603 — our own program


@contextmanager
def file_size_limit(octets: int) -> Generator[None]:
    """Limit the size of every file that this process writes."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def check_held_elsewhere(store: Any, opening: str, path: Path, message: str) -> None:
    """Check that the store raises while another process has the path open, and works afterwards.

    `opening` is the statement that opens the path.
    """
    holder = f"import sys\n{opening}\nprint('open', flush=True)\nsys.stdin.read()"
    command = [sys.executable, "-c", holder, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:  # noqa: S603 — our own program
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        with pytest.raises(StoreSetupError, match=message):
            asyncio.run(store.put("a", {"n": 1}))
        process.communicate()
    asyncio.run(store.put("a", {"n": 1}))
    assert asyncio.run(store.get("a")) == {"n": 1}
    asyncio.run(store.close())


async def check_removal(store: Any, directory: Path, call: str, message: str) -> None:
    """Check that the first of the CALLS after removal of the directory raises; the next ones store `c` in a new one."""
    await store.put("a", {"n": 1})
    shutil.rmtree(directory)
    with pytest.raises(StoreConnectionError, match=f"{message} has been removed while it was open"):
        await getattr(store, call)(*CALLS[call])
    await store.put("c", {"n": 3})
    await store.setup()
    await store.close()


async def check_removal_under_two(store: Any, other: Any, remove: Callable[[], None], message: str) -> None:
    """Check that a removed database is created again, with `c` and `d`, after both its stores detected the removal."""
    await store.put("a", {"n": 1})
    await other.setup()
    remove()
    with pytest.raises(StoreConnectionError, match="removed"):
        await store.put("b", {"n": 2})
    with pytest.raises(StoreConnectionError, match=message):
        await store.put("b", {"n": 2})
    with pytest.raises(StoreConnectionError, match="removed"):
        await other.get("a")
    await store.put("c", {"n": 3})
    await other.put("d", {"n": 4})
    await store.close()
    await other.close()


async def check_equal_values_have_versions(store: Any, times: int) -> None:
    versions: set[str] = set()
    for _ in range(times):
        await store.put("a", {"n": 1})
        versions.add(await version_of(store, "a"))
    assert len(versions) == times


async def check_versions_across_openings(open_store: Callable[[], Any], change: Callable[[], Awaitable[None]]) -> None:
    """Check that versions stay valid after reopening except for `a`, to which `change` puts {"n": 2} meanwhile."""
    async with open_store() as store:
        await store.put_many(["a", "b"], [{"n": 1}, {"n": 1}], ttl=1000)
        versions = [await version_of(store, key) for key in ("a", "b")]
    await change()
    async with open_store() as store:
        stored = [await store.put_if_version(key, {"n": 3}, each) for key, each in zip("ab", versions, strict=True)]
        assert stored == [False, True]
        assert await store.get_many(["a", "b"]) == [{"n": 2}, {"n": 3}]


async def check_expired_is_absent(store: Any) -> None:
    """Check that the expired entry `a` has no version and is replaced as an absent one."""
    assert (await store.get_versioned("a")).version is None
    assert await store.put_if_version("a", {"n": 2}, None) is True
    assert await store.put_if_version("a", {"n": 3}, None) is False
    assert await store.get("a") == {"n": 2}


def check_writes_at_once(stores: list[Any], turns: int, meanwhile: Callable[[], object]) -> None:
    """Write the same keys with stores in separate threads, and then `own 0`, `own 1`, …"""
    errors: list[BaseException] = []

    async def write(store: Any, number: int) -> None:
        async with store:
            for turn in range(turns):
                await store.put(f"k{turn % 5}", {"store": number})
                await store.put_many([f"k{key}" for key in range(5)], [{"store": number}] * 5)
                await store.delete(f"k{turn % 5}")
            await store.put(f"own {number}", {"store": number})

    def run_one(store: Any, number: int) -> None:
        try:
            asyncio.run(write(store, number))
        except BaseException as exc:  # noqa: BLE001 — checked below
            errors.append(exc)

    threads = [threading.Thread(target=run_one, args=(store, number)) for number, store in enumerate(stores)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        meanwhile()
    assert errors == []


async def check_pages_under_writes(store: Any, other: Any, number: int) -> None:
    """Check that pages contain every permanent key while another store adds and removes keys between them."""
    kept = [f"k{each:03}" for each in range(0, number, 3)]
    passing = [f"k{each:03}" for each in range(1, number, 3)]
    await store.put_many(kept, [{"n": 1}] * len(kept))
    done = threading.Event()

    async def write() -> None:
        async with other:
            while not done.is_set():
                await other.put_many(passing, [{"n": 1}] * len(passing))
                await other.put_many(kept, [{"n": 2}] * len(kept))
                await other.delete_many(passing)

    writer = threading.Thread(target=asyncio.run, args=(write(),))
    writer.start()
    try:
        for _ in range(20):
            found = await all_keys(store, limit=7)
            assert set(kept) <= set(found) <= {*kept, *passing}
    finally:
        done.set()
        writer.join()


def work_in_processes(program: str, path: Path, work: str, number: int) -> int:
    """Run the work in four processes that start at the same time; return how often it succeeded in total."""
    command = [sys.executable, "-c", program, str(path), work, str(number)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603 — our own program
        for _ in range(4)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "open\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        outputs = [process.communicate(timeout=250)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert [process.returncode for process in processes] == [0] * 4
    return sum(map(int, outputs))
