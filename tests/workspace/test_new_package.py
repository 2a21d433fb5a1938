"""scripts/new_package, run in a copy of the tree."""

import json
import shutil
import sys
from pathlib import Path

import pytest
from workspace import CommandError, Environment, Wheel, build, copy_tree, run, tree_files

NAME = "windows-tape"
PACKAGE = f"kv-{NAME}"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the current tree, without most packages, and with the new package."""
    copy = tmp_path_factory.mktemp("scaffold") / "tree"
    # Only packages that its README installs or the tests read; each build takes a second.
    copy_tree(copy, only={"kv-atomic", "kv-core", "kv-memory", "kv-redis", "kv-testing"})
    run("git", "init", "--quiet", cwd=copy)
    run("git", "add", ".", cwd=copy)
    scaffold(copy, NAME)
    return copy


@pytest.fixture(scope="module")
def environment(tree: Path, wheels: dict[str, Wheel], tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with the new package, the conformance kit and the development tools."""
    folder = tmp_path_factory.mktemp("environment")
    new = build(tree, folder / "dist", "--package", PACKAGE)
    environment = Environment(folder / "venv")
    environment.install(PACKAGE, "kv-testing", "--group", f"{tree / 'pyproject.toml'}:dev", wheels=wheels | new)
    return environment


def scaffold(tree: Path, *arguments: str) -> str:
    return run(sys.executable, tree / "scripts/new_package", *arguments)


def new_files(tree: Path) -> list[Path]:
    return [Path(name) for name in run("git", "ls-files", "--others", "--exclude-standard", cwd=tree).splitlines()]


def new_modules(tree: Path) -> list[Path]:
    return [path for path in new_files(tree) if path.suffix == ".py"]


def test_it_writes_the_package_and_its_tests_and_changes_nothing_else(tree: Path) -> None:
    assert [path.as_posix() for path in new_files(tree)] == [
        "packages/kv-windows-tape/CHANGELOG.md",
        "packages/kv-windows-tape/LICENSE",
        "packages/kv-windows-tape/README.md",
        "packages/kv-windows-tape/pyproject.toml",
        "packages/kv-windows-tape/src/key_value/aio/stores/windows_tape/__init__.py",
        "packages/kv-windows-tape/src/key_value/aio/stores/windows_tape/py.typed",
        "packages/kv-windows-tape/src/key_value/aio/stores/windows_tape/store.py",
        "tests/kv-windows-tape/test_windows_tape_store.py",
    ]
    assert run("git", "diff", "--name-only", cwd=tree) == ""


def test_the_new_package_passes_the_wheel_tests_unchanged(tree: Path) -> None:
    # Exclude tests of other packages; tests of all packages together name none.
    selected = f"{PACKAGE} or not (kv- or stores_and_reads)"
    tests = ("tests/workspace/test_wheels.py", "tests/workspace/test_isolation.py")
    run(sys.executable, "-m", "pytest", "--quiet", "-k", selected, *tests, cwd=tree)


def test_the_new_store_passes_its_conformance_tests(tree: Path, environment: Environment) -> None:
    environment.run("-m", "pytest", "--quiet", f"tests/{PACKAGE}", cwd=tree)


def test_the_new_readme_runs(tree: Path, environment: Environment) -> None:
    environment.run("-m", "pytest", "--quiet", "tests/workspace/test_readme_blocks.py", "-k", PACKAGE, cwd=tree)


def test_the_new_package_type_checks_in_strict_mode(tree: Path, environment: Environment, tmp_path: Path) -> None:
    # Outside the tree, which configures an environment that the copy does not have.
    for path in new_modules(tree):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tree / path, tmp_path / path)
    (tmp_path / "pyrightconfig.json").write_text(json.dumps({"typeCheckingMode": "strict"}), encoding="utf-8")
    environment.run("-m", "pyright", "--pythonpath", environment.python, cwd=tmp_path)


def test_the_new_package_passes_ruff(tree: Path, environment: Environment) -> None:
    environment.run("-m", "ruff", "check", *new_modules(tree), cwd=tree)
    environment.run("-m", "ruff", "format", "--check", *new_modules(tree), cwd=tree)


def test_it_refuses_to_overwrite(tree: Path) -> None:
    before = {path: (tree / path).stat().st_mtime_ns for path in tree_files(tree)}
    with pytest.raises(CommandError, match="exists already"):
        scaffold(tree, NAME)
    assert {path: (tree / path).stat().st_mtime_ns for path in tree_files(tree)} == before


def test_the_distribution_name_is_accepted_as_the_name(tree: Path) -> None:
    with pytest.raises(CommandError, match="windows_tape exists already"):
        scaffold(tree, PACKAGE)


@pytest.mark.parametrize("name", ["memory", "kv-memory", "base"])
def test_it_refuses_the_name_of_an_existing_module(tree: Path, name: str) -> None:
    with pytest.raises(CommandError, match="exists already"):
        scaffold(tree, name)


@pytest.mark.parametrize(
    "name", ["", "Redis", "two--hyphens", "-lead", "trail-", "under_score", "1st", "class", "../up"]
)
def test_it_refuses_an_invalid_name(tree: Path, name: str) -> None:
    with pytest.raises(CommandError, match=r"exit code 2") as refusal:
        scaffold(tree, "--", name)
    assert f"{name!r} must begin with a letter, consist of lowercase letters" in str(refusal.value)


def test_the_spelling_of_the_class_can_be_chosen(tree: Path) -> None:
    scaffold(tree, "duckdb-copy", "--store-class", "DuckDBCopyStore")
    module = tree / "packages/kv-duckdb-copy/src/key_value/aio/stores/duckdb_copy/store.py"
    assert "\nclass DuckDBCopyStore(BaseStore):\n" in module.read_text(encoding="utf-8")
