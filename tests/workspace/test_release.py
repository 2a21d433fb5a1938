"""scripts/release: its functions, and a release in a separate repository."""

import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest
from workspace import ROOT, CommandError, Wheel, copy_tree, run


@pytest.fixture(scope="module")
def release() -> ModuleType:
    module = ModuleType("release")
    SourceFileLoader("release", str(ROOT / "scripts/release")).exec_module(module)
    return module


@pytest.mark.parametrize(("bump", "expected"), [("major", "2.0.0"), ("minor", "1.3.0"), ("patch", "1.2.4")])
def test_a_bump_increments_one_part_and_resets_the_following_ones(
    release: ModuleType, bump: str, expected: str
) -> None:
    assert release.next_version("1.2.3", tagged=True, bump=bump, wanted=None) == expected


def test_an_untagged_version_is_released_unchanged(release: ModuleType) -> None:
    assert release.next_version("1.0.0", tagged=False, bump=None, wanted=None) == "1.0.0"
    assert release.next_version("1.0.0", tagged=False, bump="minor", wanted=None) == "1.0.0"


def test_a_requested_version_is_used(release: ModuleType) -> None:
    assert release.next_version("1.2.3", tagged=True, bump=None, wanted="1.10.0") == "1.10.0"
    assert release.next_version("0.4.6+kv.1", tagged=True, bump=None, wanted="0.4.6+kv.2") == "0.4.6+kv.2"


@pytest.mark.parametrize(
    ("current", "bump", "wanted"),
    [
        ("1.2.3", None, None),
        ("1.2.3", None, "1.2.3"),
        ("1.10.0", None, "1.9.0"),
        ("1.2.3", None, "1.3"),
        ("1.2.3", None, "v1.3.0"),
        ("0.4.6+kv.1", "patch", None),
    ],
)
def test_a_version_that_does_not_follow_the_tagged_one_is_refused(
    release: ModuleType, current: str, bump: str | None, wanted: str | None
) -> None:
    with pytest.raises(release.ReleaseError):
        release.next_version(current, tagged=True, bump=bump, wanted=wanted)


def test_the_changelog_gets_a_dated_section_below_a_new_unreleased_one(release: ModuleType) -> None:
    before = "# Changelog\n\n## Unreleased\n\n- Faster.\n\n## 1.2.2 — 2026-10-01\n\n- First.\n"
    after = "# Changelog\n\n## Unreleased\n\n## 1.2.3 — 2026-11-23\n\n- Faster.\n\n## 1.2.2 — 2026-10-01\n\n- First.\n"
    assert release.dated_changelog(before, "1.2.3", "2026-11-23") == after


def test_the_wheel_of_an_earlier_interface_is_built_in_addition_to_the_newest(
    release: ModuleType, tmp_path: Path
) -> None:
    wheels = release.build_artifacts(ROOT, tmp_path, "py-key-value-aio")
    interface, _, ours = wheels["py-key-value-aio"].version.partition("+")
    assert interface == "0.5.0"
    names = {path.name for path in tmp_path.glob("*.whl")}
    assert names == {f"py_key_value_aio-{each}+{ours}-py3-none-any.whl" for each in ("0.5.0", "0.4.6")}


@pytest.mark.parametrize(
    "changelog",
    ["# Changelog\n", "# Changelog\n\n## Unreleased\n", "## Unreleased\n\n## 1.2.2 — 2026-10-01\n\n- First.\n"],
)
def test_a_changelog_without_changes_is_refused(release: ModuleType, changelog: str) -> None:
    with pytest.raises(release.ReleaseError, match="nothing under ## Unreleased"):
        release.dated_changelog(changelog, "1.2.3", "2026-11-23")


def test_the_trial_installs_the_packages_that_the_tests_import(
    release: ModuleType, wheels: dict[str, Wheel], tmp_path: Path
) -> None:
    tests = tmp_path / "test_store.py"
    tests.write_text(
        "from key_value.aio.stores.memory import MemoryStore\nimport key_value.aio.testing\n", encoding="utf-8"
    )
    assert release.needed_by_tests(wheels, [tests]) == ["kv-memory", "kv-testing"]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the current tree in one commit: the released packages and their requirements."""
    tree = tmp_path_factory.mktemp("release") / "tree"
    copy_tree(tree, only={"kv-core", "kv-disk", "kv-memory", "kv-testing"})
    run("git", "init", "--quiet", cwd=tree)
    run("git", "config", "user.name", "Releaser", cwd=tree)
    run("git", "config", "user.email", "releaser@example.com", cwd=tree)
    run("git", "add", ".", cwd=tree)
    run("git", "commit", "--quiet", "--message", "The tree", cwd=tree)
    return tree


def run_release(tree: Path, *arguments: str) -> str:
    return run(sys.executable, tree / "scripts/release", *arguments)


def replace_tests(tree: Path, package: str, test: str) -> None:
    """Replace the package's tests by one test, and commit."""
    tests = tree / "tests" / package
    run("git", "rm", "-r", "--quiet", "--ignore-unmatch", tests, cwd=tree)
    tests.mkdir(exist_ok=True)
    (tests / "test_replaced.py").write_text(test, encoding="utf-8")
    run("git", "add", ".", cwd=tree)
    run("git", "commit", "--quiet", "--message", "Replace the tests", cwd=tree)


def state(tree: Path) -> tuple[str, ...]:
    """Return the state that a release changes."""
    head = run("git", "rev-parse", "HEAD", cwd=tree)
    changes = run("git", "status", "--porcelain", "--ignored", "--", "packages", "tests", "dist", cwd=tree)
    return head, changes, run("git", "tag", "--list", cwd=tree)


@pytest.mark.timeout(300)  # the package's own tests run inside
def test_kv_memory_is_tested_with_its_own_tests_and_released(clone: Path) -> None:
    printed = run_release(clone, "kv-memory", "--execute")

    assert run("git", "tag", "--points-at", "HEAD", cwd=clone) == "kv-memory-v1.0.0\n"
    changed = run("git", "show", "--name-only", "--format=%s", cwd=clone).split()
    assert changed == ["Release", "kv-memory-v1.0.0", "packages/kv-memory/CHANGELOG.md"]
    assert "\n## Unreleased\n\n## 1.0.0 — 2" in (clone / "packages/kv-memory/CHANGELOG.md").read_text(encoding="utf-8")
    built = ["kv_memory-1.0.0-py3-none-any.whl", "kv_memory-1.0.0.tar.gz"]
    assert sorted(path.name for path in (clone / "dist").iterdir()) == built
    assert f"uv publish dist/{built[0]} dist/{built[1]}" in printed

    with pytest.raises(CommandError, match="released already"):
        run_release(clone, "kv-memory")
    with pytest.raises(CommandError, match="nothing under ## Unreleased"):
        run_release(clone, "kv-memory", "--bump", "minor")


def test_a_dry_run_tests_the_wheel_of_the_next_version_and_changes_nothing(clone: Path) -> None:
    test = """
from importlib.metadata import version
import key_value.aio.testing

def test_the_new_wheel_is_what_is_tested():
    assert version("kv-testing") == "1.9.0"
    assert "site-packages" in key_value.aio.testing.__file__
"""
    replace_tests(clone, "kv-testing", test)
    before = state(clone)
    assert "Dry run: kv-testing-v1.9.0 can be released" in run_release(clone, "kv-testing", "--version", "1.9.0")
    assert state(clone) == before


def test_a_package_with_failing_tests_is_refused_and_nothing_changes(clone: Path) -> None:
    replace_tests(clone, "kv-testing", "def test_that_fails():\n    raise AssertionError\n")
    before = state(clone)
    with pytest.raises(CommandError, match=r"1 failed"):
        run_release(clone, "kv-testing", "--execute")
    assert state(clone) == before


def test_a_tree_with_uncommitted_changes_is_refused(clone: Path) -> None:
    (clone / "stray.txt").touch()
    with pytest.raises(CommandError, match=r"not committed:\n\?\? stray.txt"):
        run_release(clone, "kv-testing", "--execute")
    (clone / "stray.txt").unlink()


def test_an_unknown_package_is_refused(clone: Path) -> None:
    with pytest.raises(CommandError, match=r"exit code 2"):
        run_release(clone, "kv-unknown")
