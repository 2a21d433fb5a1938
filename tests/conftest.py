"""Real servers, started when a test first asks for one."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar

import pytest
from servers import Server, ServerUnavailableError
from servers.redis import RedisServer
from servers.redis_cluster import RedisCluster
from servers.redis_sentinel import RedisSentinel

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from contextlib import AbstractContextManager

ServerT = TypeVar("ServerT", bound=Server)

# Ordered and without duplicates, which a set is not.
USED_SERVERS: pytest.StashKey[dict[str, None]] = pytest.StashKey()


class RunServer(Protocol):
    def __call__(self, server: ServerT) -> AbstractContextManager[ServerT]: ...


@pytest.fixture(scope="session")
def run_server(pytestconfig: pytest.Config, record_testsuite_property: Callable[[str, object], None]) -> RunServer:
    """For the fixtures of further servers: `with run_server(ValkeyServer()) as server: yield server`."""
    used = pytestconfig.stash.setdefault(USED_SERVERS, {})

    @contextmanager
    def run(server: ServerT) -> Generator[ServerT]:
        missing = ""
        try:
            server.start()
        except ServerUnavailableError as error:
            missing = str(error)
        if missing and os.environ.get("CI") == "true":
            pytest.fail(missing, pytrace=False)
        if missing:
            pytest.skip(missing)
        origin = f" ({server.environment_variable})" if server.external_url else ""
        description = f"{server.name} {server.version}{origin}"
        used[description] = None
        record_testsuite_property("server", description)
        try:
            yield server
        finally:
            server.stop()

    return run


@pytest.fixture(scope="session")
def redis_server(run_server: RunServer) -> Iterator[RedisServer]:
    with run_server(RedisServer()) as server:
        yield server


@pytest.fixture(scope="session")
def redis_cluster(run_server: RunServer) -> Iterator[RedisCluster]:
    with run_server(RedisCluster()) as server:
        yield server


@pytest.fixture(scope="session")
def redis_sentinel(run_server: RunServer) -> Iterator[RedisSentinel]:
    with run_server(RedisSentinel()) as server:
        yield server


@pytest.fixture
def private_redis(run_server: RunServer) -> Iterator[RedisServer]:
    """A Redis that the test may kill, pause and restart."""
    with run_server(RedisServer(private=True)) as server:
        yield server


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    skipped: list[pytest.TestReport] = terminalreporter.stats.get("skipped", [])
    reasons = Counter(report.longrepr[2] for report in skipped if isinstance(report.longrepr, tuple))
    used = config.stash.setdefault(USED_SERVERS, {})
    if used or reasons:
        terminalreporter.section("servers")
    for line in used:
        terminalreporter.line(line)
    for reason, count in reasons.items():
        terminalreporter.line(f"{count} skipped: {reason.removeprefix('Skipped: ')}")
