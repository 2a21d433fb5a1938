"""The program behind scripts/quickstart: opens the store, passes it to the framework, and prints the results."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from key_value.aio.errors import KeyValueStoreError
from key_value.aio.urls import open_store

from catalog import installed
from catalog.framework import Catalog, D, Documents

if TYPE_CHECKING:
    from collections.abc import Mapping

_TTL_SECONDS = 3600
_VISIT_TTL_SECONDS = 2
_POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Timing:
    collection: str
    documents: int
    put_many: float
    get_many: float
    gets: float


async def show_earlier_run(documents: Documents[D], found: Mapping[str, D]) -> None:
    """Report the entries that an earlier run left in the store."""
    age = await documents.age(found)
    if age is None:
        print("The store is empty: this is the first run, or the last one was over an hour ago\n")
        return
    kept = await documents.get_many(found)
    same = sum(document == found[key] for key, document in zip(found, kept, strict=True))
    print(f"Found the data of a run {age:.0f} s ago: {same} of {len(found)} {documents.collection} are unchanged\n")


async def fill_and_read(documents: Documents[D], found: Mapping[str, D]) -> Timing:
    """Store the documents, read them back in batches and one by one, and compare. Raises AssertionError."""
    started = time.perf_counter()
    await documents.put_many(found)
    stored = time.perf_counter()
    together = await documents.get_many(found)
    batched = time.perf_counter()
    singly = [await documents.get(key) for key in found]
    ended = time.perf_counter()
    if not together == singly == list(found.values()):
        message = f"{documents.collection} does not return the stored documents"
        raise AssertionError(message)
    return Timing(documents.collection, len(found), stored - started, batched - stored, ended - batched)


async def show_one(catalog: Catalog, name: str) -> None:
    """Look up one distribution, like a user of the catalogue."""
    distribution = await catalog.distributions.get(name)
    dependents = await catalog.dependents.get(name)
    if distribution is None:
        print(f"{name} is not installed")
        return
    print(f"{distribution.name} {distribution.version} ({distribution.license}): {distribution.summary}")
    print(f"  {distribution.files} files, {distribution.bytes:,} bytes, {len(distribution.classifiers)} classifiers")
    print(f"  required by {', '.join(dependents.names) if dependents else 'nothing'}")


async def show_expiry(catalog: Catalog, name: str) -> None:
    """Watch an entry until it expires."""
    await catalog.remember_visit(name, ttl=_VISIT_TTL_SECONDS)
    for _ in range(1 + int(2 * _VISIT_TTL_SECONDS / _POLL_SECONDS)):
        remaining = await catalog.visit_expires_in(name)
        if remaining is None:
            print("  expired")
            return
        print(f"  {remaining:.2f} s remaining", flush=True)
        await asyncio.sleep(min(_POLL_SECONDS, remaining))
    message = f"an entry stored for {_VISIT_TTL_SECONDS} s has not expired"
    raise AssertionError(message)


def show_summary(timings: list[Timing]) -> None:
    header = ("collection", "documents", "put_many", "get_many", "get, one by one")
    print("{:28}{:>12}{:>14}{:>14}{:>19}".format(*header))
    total = Timing(
        "total",
        sum(timing.documents for timing in timings),
        sum(timing.put_many for timing in timings),
        sum(timing.get_many for timing in timings),
        sum(timing.gets for timing in timings),
    )
    for timing in (*timings, total):
        seconds = (timing.put_many, timing.get_many, timing.gets)
        times = "{:11.1f} ms{:11.1f} ms{:16.1f} ms".format(*(1000 * each for each in seconds))
        print(f"{timing.collection:28}{timing.documents:12}{times}")


async def run(url: str) -> None:
    async with open_store(url) as store:
        catalog = Catalog(store, prefix="quickstart", ttl=_TTL_SECONDS)
        modules = installed.modules()
        await show_earlier_run(catalog.modules, modules)
        timings = [
            await fill_and_read(catalog.distributions, installed.distributions()),
            await fill_and_read(catalog.modules, modules),
            await fill_and_read(catalog.dependents, installed.dependents()),
        ]
        version = ".".join(map(str, sys.version_info[:3]))
        print(f"Indexed {timings[0].documents} distributions of Python {version} in {store!r}\n")
        name = "beartype"
        await show_one(catalog, name)
        print(f"\nAn entry that lives for {_VISIT_TTL_SECONDS} seconds:")
        await show_expiry(catalog, name)
    print("\nEvery document came back equal to what was stored:")
    show_summary(timings)


def main() -> int:
    parser = argparse.ArgumentParser(prog="quickstart")
    parser.add_argument(
        "url",
        metavar="URL",
        help="disk://PATH, memory://, redis://host:port, or any other store that is installed",
    )
    url: str = parser.parse_args().url
    try:
        asyncio.run(run(url))
    except (ValueError, KeyValueStoreError) as error:
        print(f"quickstart: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
