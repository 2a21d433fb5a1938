"""scripts/backend_table, and whether the table in the documentation is current."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from workspace import ROOT, copy_tree

PACKAGE = "packages/kv-shelf/src/key_value/aio/stores/shelf"
STORE = '''
from key_value.aio.core.capabilities import Capabilities
from key_value.aio.stores.memory import MemoryStore

__all__ = ["ShelfStore"]


class ShelfStore(MemoryStore):
    """Entries on a shelf
    of the workshop.

    Not in the table.
    """

    capabilities = Capabilities(durable=True, native_expiry=True, expiry_resolution=2.0, max_value_bytes=1000)
'''
ROW = (
    "| `ShelfStore` | `kv-shelf` | yes | 2 s | no | no | no | 64 KiB | 1000 bytes | yes "
    "| `keys`, `collections`, `destroy`, `destroy_collection`, `cull` |\n"
)
ABOUT = '[tool.key-value]\ngroup = "secret"\nstability = "beta"\nverified-on = "Shelf 1.2"\n'
GROUP_ROW = "| `ShelfStore` | `kv-shelf` | beta: parameters may change | Shelf 1.2 |\n"


def write_table(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, tree / "scripts/backend_table", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(tree / PACKAGE.partition("/key_value")[0])}
    return subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", check=False)  # noqa: S603 — our own script


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    copy_tree(tmp_path, only={"kv-disk", "kv-memory"})
    return tmp_path


@pytest.fixture
def extended_tree(tree: Path) -> Path:
    """A tree with an additional package that the documentation does not mention."""
    return add_store(tree, STORE)


def add_store(tree: Path, module: str) -> Path:
    (tree / PACKAGE).mkdir(parents=True)
    (tree / PACKAGE / "__init__.py").write_text(module, encoding="utf-8")
    (tree / "packages/kv-shelf/pyproject.toml").write_text(ABOUT, encoding="utf-8")
    return tree


def test_the_table_is_current() -> None:
    done = write_table(ROOT, "--check")
    assert (done.returncode, done.stderr) == (0, ""), f"{done.stdout}run `uv run scripts/backend_table`"


def test_a_new_store_is_found_and_written_once(extended_tree: Path) -> None:
    assert write_table(extended_tree).stdout == "README.md is written\ndocs/backends.md is written\n"
    backends = (extended_tree / "docs/backends.md").read_text(encoding="utf-8")
    assert ROW in backends
    assert "- `ShelfStore`: Entries on a shelf of the workshop.\n" in backends
    readme = (extended_tree / "README.md").read_text(encoding="utf-8")
    assert GROUP_ROW in backends
    assert GROUP_ROW in readme.partition("**For secrets")[2].partition("**On servers**")[0]
    again = write_table(extended_tree)
    assert (again.returncode, again.stdout) == (0, "")


def test_a_store_links_to_the_page_of_its_package(extended_tree: Path) -> None:
    (extended_tree / "docs/backends/shelf.md").write_text("# ShelfStore\n", encoding="utf-8")
    write_table(extended_tree)
    assert "\n| [`ShelfStore`](backends/shelf.md) |" in (extended_tree / "docs/backends.md").read_text(encoding="utf-8")
    assert "\n| [`ShelfStore`](docs/backends/shelf.md) |" in (extended_tree / "README.md").read_text(encoding="utf-8")


def test_a_check_reports_outdated_files_and_writes_nothing(extended_tree: Path) -> None:
    before = (extended_tree / "README.md").read_bytes()
    done = write_table(extended_tree, "--check")
    assert (done.returncode, done.stdout) == (1, "README.md is not current\ndocs/backends.md is not current\n")
    assert (extended_tree / "README.md").read_bytes() == before


def test_a_store_with_required_arguments_is_read_from_its_class(tree: Path) -> None:
    add_store(tree, STORE + "\n    def __init__(self, path: str) -> None:\n        super().__init__()\n")
    assert write_table(tree).returncode == 0
    assert ROW in (tree / "docs/backends.md").read_text(encoding="utf-8")


def test_a_document_without_its_markers_is_an_error(tree: Path) -> None:
    (tree / "README.md").write_text("# Nothing\n", encoding="utf-8")
    done = write_table(tree)
    assert done.returncode == 2
    assert "README.md needs <!-- groups of backends" in done.stderr


def test_a_store_that_cannot_be_imported_is_an_error(tree: Path) -> None:
    add_store(tree, "import no_such_driver\n")
    done = write_table(tree)
    assert done.returncode == 2
    assert "key_value.aio.stores.shelf cannot be imported: No module named 'no_such_driver'" in done.stderr


@pytest.mark.parametrize("about", ["", ABOUT.replace("secret", "cloud"), ABOUT.replace("verified-on", "tested-on")])
def test_a_package_without_valid_table_metadata_is_an_error(extended_tree: Path, about: str) -> None:
    (extended_tree / "packages/kv-shelf/pyproject.toml").write_text(about, encoding="utf-8")
    done = write_table(extended_tree)
    assert done.returncode == 2
    assert "packages/kv-shelf/pyproject.toml needs a section [tool.key-value] with a group (local, " in done.stderr
