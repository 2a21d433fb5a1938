"""The program behind scripts/bench: runs the requested sections one after another."""

from __future__ import annotations

import argparse
import importlib
import platform
import sys
import time

from servers import ServerStartError, ServerUnavailableError
from workspace import CommandError

from benchmarks.environments import Environments

SECTIONS = ("memory", "redis", "network", "local", "imports", "frames", "wrapper", "stack", "scale", "enumeration")


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    options = parser.parse_args()
    if unknown := set(options.sections) - set(SECTIONS):
        parser.error(f"no such section: {', '.join(sorted(unknown))}")

    shortfalls: list[str] = []
    unmeasured: list[str] = []
    with Environments() as environments:
        for section in options.sections or SECTIONS:
            started = time.monotonic()
            try:
                tables = importlib.import_module(f"benchmarks.{section}").run(environments)
            except (ServerUnavailableError, ServerStartError, CommandError) as error:
                print(f"{section}: {error}\n", file=sys.stderr)
                unmeasured.append(section)
                continue
            for table in tables:
                print(table, end="\n\n", flush=True)
                shortfalls += table.shortfalls
            print(f"{section}: {time.monotonic() - started:.0f} s\n", file=sys.stderr)
    print(f"{platform.machine()}, {platform.system()} {platform.release()}")
    for shortfall in shortfalls:
        print(f"target missed: {shortfall}")
    if unmeasured:
        print(f"not measured: {', '.join(unmeasured)}")
        return 2
    return 1 if options.check and shortfalls else 0


if __name__ == "__main__":
    sys.exit(main())
