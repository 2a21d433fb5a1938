"""Every Python block of the README files and the documentation is run unchanged.

A block runs by itself; one fenced as "python continuation" runs after the blocks above it, from the last block that is
not a continuation.
`<!-- not run: reason -->` on the line above its fence exempts a block.
"""

import ast
import asyncio
import inspect
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import pytest
from key_value.aio.testing import YieldingStore
from workspace import ROOT

if TYPE_CHECKING:
    from servers.firestore import FirestoreServer
    from servers.s3 import S3Server
    from servers.vault import VaultServer

# Address of a server in the documentation → fixture that starts it.
SERVERS = {
    "redis://localhost:6379": "redis_server",
    "memcached://localhost:11211": "memcached_server",
    "http://localhost:8000": "dynamodb_server",
    "postgresql://kv@localhost:5432/postgres": "postgresql_server",
    "mongodb://localhost:27017": "mongodb_server",
    "http://localhost:9000": "s3_endpoint",
    "localhost:8080": "firestore_endpoint",
    "valkey://localhost:6379": "valkey_server",
    "http://localhost:8200": "vault_endpoint",
    "http://localhost:10002/kvtest": "azure_tables_server",
    "http://localhost:9200": "opensearch_server",
    "http://localhost:9201": "elasticsearch_server",
    "aerospike://localhost:3000/test": "aerospike_server",
}
BLOCK = re.compile(
    r"^(?P<exempt><!-- not run: \S[^\n]*-->\n+)?```python(?P<continuation> continuation)?\n(?P<source>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
DOCUMENTS = [path for pattern in ("README.md", "packages/*/README.md", "docs/**/*.md") for path in ROOT.glob(pattern)]


class Server(Protocol):
    @property
    def url(self) -> str: ...


class Endpoint(NamedTuple):
    url: str


@pytest.fixture
def s3_endpoint(s3_server: "S3Server") -> Endpoint:
    """The URL without the credentials, which the documentation passes separately."""
    return Endpoint(s3_server.endpoint)


@pytest.fixture
def vault_endpoint(vault_server: "VaultServer") -> Endpoint:
    """The URL without the token, which the documentation passes separately."""
    return Endpoint(vault_server.endpoint)


@pytest.fixture
def firestore_endpoint(firestore_server: "FirestoreServer") -> Endpoint:
    """The host and port, as passed to clients of the emulator."""
    return Endpoint(firestore_server.address)


def programs(text: str) -> dict[int, str]:
    """Return the program that ends with each block, by the block's first line. Line numbers are kept."""
    found: dict[int, str] = {}
    program = ""
    for block in BLOCK.finditer(text):
        if block["exempt"]:
            continue
        if not block["continuation"]:
            program = ""
        lines_above = text.count("\n", 0, block.start("source"))
        program += "\n" * (lines_above - program.count("\n")) + block["source"]
        found[lines_above + 1] = program
    return found


WRITTEN = [
    pytest.param(path, program, id=f"{path.relative_to(ROOT).as_posix()}:{line}")
    for path in sorted(DOCUMENTS)
    for line, program in programs(path.read_text(encoding="utf-8")).items()
]


def execute(program: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    main = ModuleType("__main__")
    # Dataclasses and pydantic look up their module by name.
    monkeypatch.setitem(sys.modules, "__main__", main)
    code = compile(program, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    outcome = eval(code, main.__dict__)  # noqa: S307 — our own documentation
    if inspect.iscoroutine(outcome):
        asyncio.run(outcome)


@pytest.mark.parametrize(("path", "program"), WRITTEN)
def test_the_block_runs(
    path: Path, program: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for url, fixture in SERVERS.items():
        if url in program:
            server: Server = request.getfixturevalue(fixture)
            program = program.replace(url, server.url)
    execute(program, str(path), monkeypatch)


# These must work if other tasks run between two calls, which never happens with a store in memory.
CONCURRENT = [
    pytest.param(path, program, id=f"{path.relative_to(ROOT).as_posix()}:{line}")
    for path in (ROOT / "docs/atomic-updates.md", ROOT / "packages/kv-atomic/README.md")
    for line, program in programs(path.read_text(encoding="utf-8")).items()
]


@pytest.mark.parametrize(("path", "program"), CONCURRENT)
def test_a_block_about_concurrency_runs_on_a_store_that_yields(
    path: Path, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    yielding = "from key_value.aio.testing import YieldingStore; "
    program = yielding + program.replace("= MemoryStore()", "= YieldingStore(MemoryStore())")
    execute(program, str(path), monkeypatch)


async def test_the_first_example_counts_a_hundred_concurrent_visits_exactly() -> None:
    # Imported here because the other tests run without kv-memory.
    from key_value.aio.stores.memory import MemoryStore
    from key_value.aio.stores.simple import SimpleStore

    readme = ROOT / "packages/kv-core/README.md"
    (program,) = [each for each in programs(readme.read_text(encoding="utf-8")).values() if "visit_often" in each]
    names: dict[str, Any] = {}
    exec(program, names)  # noqa: S102 — our own documentation
    for store in (MemoryStore(), SimpleStore(), YieldingStore(MemoryStore())):
        await names["visit_often"](store)


def test_a_block_sees_only_the_blocks_it_continues() -> None:
    text = "```python\na = 1\n```\n\n```python\nb = 2\n```\n\n```python continuation\nc = b\n```\n"
    assert programs(text) == {2: "\na = 1\n", 6: "\n" * 5 + "b = 2\n", 10: "\n" * 5 + "b = 2\n\n\n\nc = b\n"}


def test_an_exempt_block_is_not_run() -> None:
    assert programs("<!-- not run: needs a cluster -->\n```python\na = 1\n```\n") == {}


def test_a_block_may_await_at_its_top_level(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ZeroDivisionError):
        execute("import asyncio\nawait asyncio.sleep(0)\n1 / 0\n", "README.md", monkeypatch)
