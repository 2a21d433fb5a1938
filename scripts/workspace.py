"""The workspace for scripts and tests: packages, wheels, and empty environments to test them in.

A module for the scripts next to it. It changes only the given folders. Needs uv on PATH.
"""

import functools
import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Collection
from configparser import ConfigParser
from email.message import Message
from email.parser import Parser
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent
OLDEST_PYTHON = (3, 10)
NAMESPACE_DIRECTORIES = frozenset({"key_value", "key_value/aio", "key_value/aio/stores"})

_PREFERRED_PYTHON = (3, 11)

# These would make the surrounding environment, and with it the source tree, visible in an empty one.
_REMOVED_VARIABLES = ("PYTHONPATH", "VIRTUAL_ENV")


class CommandError(RuntimeError):
    """A command failed; the message contains its output."""


def run(*command: str | Path, cwd: Path | None = None, **variables: str) -> str:
    """Run the command with additional environment variables; return its output. Raises CommandError if it fails."""
    completed = subprocess.run(
        command,
        cwd=cwd,
        env={**{name: value for name, value in os.environ.items() if name not in _REMOVED_VARIABLES}, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=False,
    )
    if completed.returncode:
        message = f"{' '.join(map(str, command))}: exit code {completed.returncode}\n{completed.stdout}"
        raise CommandError(message)
    return completed.stdout


def packages(tree: Path = ROOT) -> list[str]:
    """Return the names of the distributions, sorted."""
    return sorted(path.parent.name for path in tree.glob("packages/*/pyproject.toml"))


def tree_files(tree: Path = ROOT) -> list[Path]:
    """Return the files that are not ignored by git, relative to the tree."""
    listing = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=tree)
    return sorted(path for name in set(listing.split("\0")) if name and (tree / (path := Path(name))).is_file())


def copy_tree(destination: Path, tree: Path = ROOT, *, only: Collection[str] | None = None) -> None:
    """Copy the working tree without files ignored by git; with `only`, only these packages."""
    for path in tree_files(tree):
        if only is not None and path.parts[0] == "packages" and path.parts[1] not in only:
            continue
        copy = destination / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes((tree / path).read_bytes())
        copy.chmod((tree / path).stat().st_mode)


def build(tree: Path, dist: Path, *options: str, **variables: str) -> dict[str, "Wheel"]:
    """Run `uv build` with `--all-packages` or `--package NAME`; return the wheels in `dist`, by package."""
    run("uv", "build", "--no-create-gitignore", *options, "--out-dir", dist, cwd=tree, **variables)
    return {wheel.name: wheel for wheel in map(Wheel, sorted(dist.glob("*.whl")))}


class Wheel:
    """A built wheel: its metadata, and its files without the dist-info."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files: dict[str, bytes] = {}
        self.metadata = Message()
        self.license: bytes | None = None
        self.store_entry_points: dict[str, str] = {}
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if ".dist-info/" not in name:
                    self.files[name] = archive.read(name)
                elif name.endswith(".dist-info/METADATA"):
                    self.metadata = Parser().parsestr(archive.read(name).decode())
                elif name.endswith(".dist-info/entry_points.txt"):
                    parser = ConfigParser(delimiters="=")
                    parser.read_string(archive.read(name).decode())
                    self.store_entry_points = dict(parser["key_value.stores"])
                elif name.endswith("/LICENSE"):
                    self.license = archive.read(name)

    @property
    def name(self) -> str:
        return self.metadata["Name"]

    @property
    def version(self) -> str:
        return self.metadata["Version"]

    @property
    def extras(self) -> list[str]:
        return self.metadata.get_all("Provides-Extra", [])

    @property
    def modules(self) -> list[str]:
        """The names of all modules."""
        paths = (PurePosixPath(name) for name in self.files if name.endswith(".py"))
        return sorted(
            ".".join((path.parent if path.stem == "__init__" else path.with_suffix("")).parts) for path in paths
        )

    @property
    def leaves(self) -> list[str]:
        """The directories that belong to the wheel alone: those directly below a namespace directory."""
        directories = {str(parent) for name in self.files for parent in PurePosixPath(name).parents} - {"."}
        below = (PurePosixPath(directory) for directory in directories - NAMESPACE_DIRECTORIES)
        return sorted(str(path) for path in below if str(path.parent) in NAMESPACE_DIRECTORIES | {"."})


class Environment:
    """A virtual environment, initially empty. Programs in it cannot import from the source tree."""

    def __init__(self, folder: Path, python: str | Path = sys.executable) -> None:
        run("uv", "venv", "--quiet", "--no-project", "--python", python, folder)
        self.folder = folder
        self.python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    def install(self, *arguments: str | Path, wheels: dict[str, Wheel] | None = None) -> None:
        """Install requirements. Packages in `wheels` are installed from these wheels."""
        # Direct references as constraints: with `--find-links`, a newer package of the same name on an index would win.
        constraints = self.folder / "constraints.txt"
        references = (f"{name} @ {wheel.path.resolve().as_uri()}\n" for name, wheel in (wheels or {}).items())
        constraints.write_text("".join(references), encoding="utf-8")
        run("uv", "pip", "install", "--quiet", "--python", self.python, "--constraints", constraints, *arguments)

    def run(self, *arguments: str | Path, cwd: Path | None = None) -> str:
        """Run Python in isolated mode with the arguments, and return its output."""
        return run(self.python, "-I", *arguments, cwd=cwd)

    def import_modules(self, modules: list[str]) -> None:
        """Import each module in the environment; skip Windows modules on other platforms. Raises CommandError."""
        program = (
            "import importlib, sys\n"
            "for name in sys.argv[1:]:\n"
            "    try:\n"
            "        origin = importlib.import_module(name).__spec__.origin\n"
            "    except ImportError as error:\n"
            "        if error.name != 'winreg':\n"
            "            raise\n"
            "        continue\n"
            "    assert origin.startswith(sys.prefix), f'{name} comes from {origin}'\n"
        )
        self.run("-c", program, *modules)

    def distributions(self) -> list[str]:
        """Return the names of the installed distributions."""
        listing = run("uv", "pip", "list", "--quiet", "--format", "json", "--python", self.python)
        return sorted(distribution["name"] for distribution in json.loads(listing))


@functools.cache
def interpreters() -> dict[tuple[int, int], Path]:
    """Return a CPython release for each minor version found, oldest first: from pyenv, or else found by uv."""
    found: dict[tuple[int, int], Path] = {}
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for path in sorted(pyenv.glob("versions/*/bin/python3.*"), key=_patch, reverse=True):
        if re.fullmatch(r"\d+\.\d+\.\d+", path.parent.parent.name) and re.fullmatch(r"python3\.\d+", path.name):
            found.setdefault(_minor(path.name.removeprefix("python")), path)
    listing = subprocess.run(
        ["uv", "python", "list", "--only-installed", "--output-format", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # warnings about inactive pyenv shims
        check=True,
    )
    for python in json.loads(listing.stdout):
        release = re.fullmatch(r"[\d.]+", python["version"]) and python["variant"] == "default"
        # A pyenv shim runs the version selected in the current directory, or none.
        if release and python["implementation"] == "cpython" and "shims" not in Path(python["path"]).parts:
            found.setdefault(_minor(python["version"]), Path(python["path"]))
    return {minor: found[minor] for minor in sorted(found) if minor >= OLDEST_PYTHON}


def preferred_interpreter() -> Path:
    """Return the interpreter of Python 3.11, or else the newest."""
    found = interpreters()
    return found.get(_PREFERRED_PYTHON) or found[max(found)]


def _minor(version: str) -> tuple[int, int]:
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


def _patch(path: Path) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", path.parent.parent.name)]
