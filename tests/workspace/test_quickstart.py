"""scripts/quickstart, run as a user runs it."""

from __future__ import annotations

import ast
import os
import re
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from redis import Redis
from workspace import ROOT, copy_tree

if TYPE_CHECKING:
    import pytest

WRONG_USAGE = 2
SECRET = "hunter2"  # noqa: S105 — must not appear anywhere


class RedisServer(Protocol):
    @property
    def url(self) -> str: ...


def quickstart(*arguments: str, tree: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [tree / "scripts/quickstart", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)  # noqa: S603 — our own script


def documents(output: str) -> int:
    total = re.search(r"^total +(\d+)", output, re.MULTILINE)
    assert total, output
    return int(total[1])


def test_a_second_run_finds_the_data_of_the_first_on_disk(tmp_path: Path) -> None:
    first, second = quickstart(f"disk://{tmp_path}/index"), quickstart(f"disk://{tmp_path}/index")
    for done in (first, second):
        assert (done.returncode, done.stderr) == (0, "")
        assert f"in DiskStore('{tmp_path}/index')" in done.stdout
    assert first.stdout.startswith("The store is empty")
    found = re.match(r"Found the data of a run \d+ s ago: (\d+) of (\d+) quickstart-modules are", second.stdout)
    assert found, second.stdout
    assert found[1] == found[2]
    with closing(sqlite3.connect(tmp_path / "index/key-value.db")) as connection:
        sql = "SELECT count(*) FROM entries WHERE expires_at IS NOT NULL"
        assert connection.execute(sql).fetchone()[0] >= documents(second.stdout)


def test_without_a_url_it_keeps_its_index_in_the_tree() -> None:
    done = quickstart()
    assert (done.returncode, done.stderr) == (0, "")
    assert f"in DiskStore('{ROOT}/.quickstart')" in done.stdout
    assert (ROOT / ".quickstart/key-value.db").exists()


def test_it_indexes_hundreds_of_documents_in_memory() -> None:
    done = quickstart("memory://")
    assert (done.returncode, done.stderr) == (0, "")
    assert "in MemoryStore" in done.stdout
    assert documents(done.stdout) >= 300


def test_it_shows_an_entry_expiring() -> None:
    remaining = [float(seconds) for seconds in re.findall(r"([\d.]+) s remaining", quickstart("memory://").stdout)]
    assert len(remaining) >= 3
    assert remaining == sorted(remaining, reverse=True)


def test_every_document_is_on_redis_and_expires(redis_server: RedisServer) -> None:
    done = quickstart(redis_server.url)
    assert done.returncode == 0, done.stderr
    raw_client: Any = Redis  # its types are incomplete
    with raw_client.from_url(redis_server.url) as client:
        names = list(client.scan_iter("quickstart-*", count=1000))
        assert len(names) == documents(done.stdout)
        assert all(0 < client.pttl(name) <= 3_600_000 for name in names)
        client.delete(*names)


def test_an_unreachable_server_is_reported_in_one_line() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        done = quickstart(f"redis://:{SECRET}@127.0.0.1:{unused.getsockname()[1]}")
    assert (done.returncode, done.stdout) == (WRONG_USAGE, "")
    assert re.fullmatch(r"quickstart: .*cannot be reached.*\n", done.stderr)
    assert SECRET not in done.stdout + done.stderr


def test_an_invalid_url_is_reported_in_one_line() -> None:
    wrong = {
        f"ftp://:{SECRET}@localhost": r"no package for ftp:// is installed\. Installed packages provide .*'redis'",
        "localhost:6379": "a URL must look like scheme://…, for example redis://localhost:6379",
        "redis://localhost:port": "is not a URL such as redis://host:port",
        "disk://": "must name a path: disk://relative/path or disk:///path",
    }
    for url, message in wrong.items():
        done = quickstart(url)
        assert done.returncode == WRONG_USAGE
        assert re.fullmatch(rf"quickstart: .*{message}.*\n", done.stderr), done.stderr
        assert SECRET not in done.stdout + done.stderr


def test_its_framework_imports_the_interface_and_no_store() -> None:
    tree = ast.parse((ROOT / "scripts/catalog/framework.py").read_text(encoding="utf-8"))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name for name in imported if name and name.startswith("key_value")} == {"key_value.aio.protocols"}


def test_it_needs_only_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree, commands = tmp_path / "tree", tmp_path / "bin"
    copy_tree(tree)
    commands.mkdir()
    version = ".".join(map(str, sys.version_info[:2]))
    (commands / "python3").symlink_to(Path(sys.base_prefix, "bin", f"python{version}"))
    # The folder of uv may also contain the only Python.
    without_uv = [folder for folder in os.environ["PATH"].split(os.pathsep) if not Path(folder, "uv").exists()]
    monkeypatch.setenv("PATH", os.pathsep.join([str(commands), *without_uv]))
    done = quickstart(tree=tree)
    assert done.returncode == 0, done.stderr
    assert (tree / ".tools/bin/uv").exists()
