"""Contents and metadata of the built wheels."""

import re
from collections import Counter
from pathlib import Path, PurePosixPath

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from workspace import NAMESPACE_DIRECTORIES, ROOT, Wheel, build, copy_tree, packages

PACKAGES = packages()

each_package = pytest.mark.parametrize("package", PACKAGES)


def source_files(package: str) -> set[str]:
    source = ROOT / "packages" / package / "src"
    return {
        path.relative_to(source).as_posix()
        for path in source.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def requirements(wheel: Wheel) -> list[Requirement]:
    return [Requirement(line) for line in wheel.metadata.get_all("Requires-Dist", [])]


def backends(wheels: dict[str, Wheel]) -> dict[str, Wheel]:
    """Return the wheels that contain only stores."""
    return {
        name: wheel
        for name, wheel in wheels.items()
        if {str(PurePosixPath(leaf).parent) for leaf in wheel.leaves} == {"key_value/aio/stores"}
    }


def test_every_folder_under_packages_is_a_distribution_of_that_name(wheels: dict[str, Wheel]) -> None:
    assert sorted(wheels) == PACKAGES == sorted(folder.name for folder in (ROOT / "packages").iterdir())


@each_package
def test_the_wheel_contains_only_directories_below_the_namespace(wheels: dict[str, Wheel], package: str) -> None:
    leaves = wheels[package].leaves
    assert leaves
    assert {str(PurePosixPath(leaf).parent) for leaf in leaves} <= {"key_value/aio", "key_value/aio/stores"}


@each_package
def test_the_namespace_directories_of_the_wheel_contain_no_files(wheels: dict[str, Wheel], package: str) -> None:
    directories = {str(PurePosixPath(name).parent) for name in wheels[package].files}
    assert directories.isdisjoint(NAMESPACE_DIRECTORIES | {"."})


@each_package
def test_the_namespace_directories_of_the_source_contain_no_files(package: str) -> None:
    directories = {str(PurePosixPath(name).parent) for name in source_files(package)}
    assert directories.isdisjoint(NAMESPACE_DIRECTORIES | {"."})


@each_package
def test_every_directory_of_the_wheel_is_a_typed_package(wheels: dict[str, Wheel], package: str) -> None:
    wheel = wheels[package]
    for leaf in wheel.leaves:
        assert f"{leaf}/__init__.py" in wheel.files
        assert f"{leaf}/py.typed" in wheel.files


def test_no_file_is_in_two_wheels(wheels: dict[str, Wheel]) -> None:
    owners = Counter(name for wheel in wheels.values() for name in wheel.files)
    assert [name for name, count in owners.items() if count > 1] == []


@each_package
def test_the_wheel_holds_the_source_and_nothing_else(wheels: dict[str, Wheel], package: str) -> None:
    assert set(wheels[package].files) == source_files(package)


def test_stray_files_outside_the_packages_are_not_in_the_wheels(wheels: dict[str, Wheel], tmp_path: Path) -> None:
    copy_tree(tmp_path / "tree")
    for package in PACKAGES:
        source = tmp_path / "tree" / "packages" / package / "src"
        for directory in (".", *NAMESPACE_DIRECTORIES):
            (source / directory).mkdir(exist_ok=True)
            (source / directory / "__init__.py").touch()
            (source / directory / "stray.py").touch()
    rebuilt = build(tmp_path / "tree", tmp_path / "dist", "--all-packages", "--wheel")
    assert {name: set(wheel.files) for name, wheel in rebuilt.items()} == {
        name: set(wheel.files) for name, wheel in wheels.items()
    }


def test_wheels_built_from_the_sdists_equal_those_built_from_the_tree(wheels: dict[str, Wheel], tmp_path: Path) -> None:
    from_sdists = build(ROOT, tmp_path, "--all-packages")
    assert len(list(tmp_path.glob("*.tar.gz"))) == len(PACKAGES)
    for name, wheel in from_sdists.items():
        assert wheel.files == wheels[name].files
        assert wheel.metadata.as_string() == wheels[name].metadata.as_string()


def test_a_backend_depends_on_kv_core_and_on_no_other_package_of_ours(wheels: dict[str, Wheel]) -> None:
    for wheel in backends(wheels).values():
        assert {requirement.name for requirement in requirements(wheel)} & set(PACKAGES) == {"kv-core"}


def test_kv_core_depends_on_no_package_of_ours(wheels: dict[str, Wheel]) -> None:
    assert {requirement.name for requirement in requirements(wheels["kv-core"])}.isdisjoint(PACKAGES)


@each_package
def test_requirements_of_our_packages_are_bounded_on_both_sides(wheels: dict[str, Wheel], package: str) -> None:
    for requirement in requirements(wheels[package]):
        if requirement.name in PACKAGES:
            operators = {specifier.operator for specifier in requirement.specifier}
            assert operators == {">=", "<"}, requirement
            assert wheels[requirement.name].version in requirement.specifier


@each_package
def test_the_metadata_is_complete(wheels: dict[str, Wheel], package: str) -> None:
    metadata = wheels[package].metadata
    assert metadata["Summary"].endswith(".")
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Author"] or metadata["Author-email"]
    assert metadata["Keywords"]
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert SpecifierSet(metadata["Requires-Python"]) == SpecifierSet(">=3.10")
    assert {"Typing :: Typed", "Framework :: AsyncIO"} <= set(metadata.get_all("Classifier", []))


@each_package
def test_the_wheel_carries_the_license_of_the_repository(wheels: dict[str, Wheel], package: str) -> None:
    license_text = (ROOT / "LICENSE").read_bytes()
    assert wheels[package].license == license_text
    assert (ROOT / "packages" / package / "LICENSE").read_bytes() == license_text


@each_package
def test_the_readme_says_how_to_install_the_package(wheels: dict[str, Wheel], package: str) -> None:
    readme = str(wheels[package].metadata.get_payload())
    assert readme.startswith(f"# {package}\n")
    assert re.search(rf"^pip install .*\b{re.escape(package)}\b", readme, re.MULTILINE)


@each_package
def test_the_description_has_no_links_relative_to_the_repository(wheels: dict[str, Wheel], package: str) -> None:
    description = str(wheels[package].metadata.get_payload())
    source = (ROOT / "packages" / package / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"\]\((?!https?://)[^)]*\)", description) == []
    # The rest is unchanged.
    assert len(description.splitlines()) == len(source.splitlines()) + 2


@each_package
def test_the_changelog_has_an_open_section_or_the_date_of_this_version(wheels: dict[str, Wheel], package: str) -> None:
    changelog = (ROOT / "packages" / package / "CHANGELOG.md").read_text(encoding="utf-8")
    version = re.escape(wheels[package].version)
    assert re.search(rf"^## (Unreleased|{version} — \d{{4}}-\d\d-\d\d)$", changelog, re.MULTILINE)
