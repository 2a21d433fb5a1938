"""Fixtures of real servers, each started when a test first needs it."""

from __future__ import annotations

import os
import shutil
import socket
from collections import Counter
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import pytest
from predecessor import Predecessor
from servers import Server, ServerUnavailableError, discover

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from contextlib import AbstractContextManager

pytest.register_assert_rewrite(*(module.stem for module in Path(__file__).parent.glob("lib/*.py")))

ServerT = TypeVar("ServerT", bound=Server)

# A dict as an ordered set.
USED_SERVERS: pytest.StashKey[dict[str, None]] = pytest.StashKey()


class RunServer(Protocol):
    def __call__(self, server: ServerT) -> AbstractContextManager[ServerT]: ...


@pytest.fixture(scope="session")
def run_server(pytestconfig: pytest.Config, record_testsuite_property: Callable[[str, object], None]) -> RunServer:
    """Return a context manager for other server fixtures: `with run_server(ValkeyServer()) as server: yield server`."""
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


def _server_fixture(server: type[Server], name: str, *, private: bool) -> object:
    @pytest.fixture(scope="function" if private else "session", name=name)
    def run(run_server: RunServer) -> Iterator[Server]:
        with run_server(server(private=private)) as running:
            yield running

    return run


# A file `valkey.py` in scripts/servers defines two fixtures: `valkey_server` (or `valkey` if its class is not named
# …Server), shared by all tests, and `private_valkey`, for one test, which may kill, pause and restart it.
for _name, _server in discover().items():
    _shared = f"{_name}_server" if _server.__name__.endswith("Server") else _name
    globals()[_shared] = _server_fixture(_server, _shared, private=False)
    globals()[f"private_{_name}"] = _server_fixture(_server, f"private_{_name}", private=True)


@pytest.fixture(scope="session")
def predecessor_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Predecessor]:
    """Return a function that installs py-key-value-aio with the named backend, once per session."""

    @cache
    def install(backend: str) -> Predecessor:
        return Predecessor(tmp_path_factory.mktemp("predecessor") / "venv", backend)

    return install


@pytest.fixture
def unused_port() -> Iterator[int]:
    """A port of 127.0.0.1 that refuses connections. It is bound, so that no other program can use it."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """Return a copy of the data stored by py-key-value-aio 0.5.0; see tests/recorded/README.md."""
    return shutil.copytree(Path(__file__).with_name("recorded"), tmp_path / "recorded")


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
