"""Each wheel installed into an empty environment, without the rest of the workspace."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest
from packaging.requirements import Requirement
from workspace import ROOT, Environment, Wheel, packages

if TYPE_CHECKING:
    from conftest import MakeEnvironment

PACKAGES = packages()
STORE_DEPTH = 3

STORE_AND_READ = """
import asyncio
from key_value.aio.stores.{module} import {store} as Store

async def main():
    async with Store({arguments}) as store:
        await store.put("key", {{"name": "value"}}, collection="isolation", ttl=60)
        assert await store.get("key", collection="isolation") == {{"name": "value"}}
        assert await store.delete("key", collection="isolation")

asyncio.run(main())
"""


class RedisServer(Protocol):
    @property
    def url(self) -> str: ...


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_imports_with_the_package_alone(
    make_environment: "MakeEnvironment", wheels: dict[str, Wheel], python: Path, package: str
) -> None:
    extras = wheels[package].extras
    requirement = f"{package}[{','.join(extras)}]" if extras else package
    make_environment(python, requirement).import_modules(wheels[package].modules)


@pytest.mark.parametrize("package", PACKAGES)
def test_installing_a_package_installs_only_our_packages_that_it_requires(
    make_environment: "MakeEnvironment", wheels: dict[str, Wheel], python: Path, package: str
) -> None:
    required = map(Requirement, wheels[package].metadata.get_all("Requires-Dist", []))
    expected = {package} | {requirement.name for requirement in required if requirement.marker is None}
    assert set(make_environment(python, package).distributions()) & set(PACKAGES) == expected & set(PACKAGES)


def test_kv_memory_alone_stores_and_reads_a_value(make_environment: "MakeEnvironment", python: Path) -> None:
    program = STORE_AND_READ.format(module="memory", store="MemoryStore", arguments="")
    make_environment(python, "kv-memory").run("-c", program)


def test_kv_redis_alone_stores_and_reads_a_value(
    make_environment: "MakeEnvironment", python: Path, redis_server: RedisServer
) -> None:
    program = STORE_AND_READ.format(module="redis", store="RedisStore", arguments=f"url={redis_server.url!r}")
    make_environment(python, "kv-redis").run("-c", program)


BY_URL = """
import asyncio
from key_value.aio.protocols import AsyncScanProtocol
from key_value.aio.urls import open_store

async def main():
    async with open_store("memory://?max_entries_per_collection=10", require={"scan", "put_if_version"}) as store:
        assert isinstance(store, AsyncScanProtocol)
        await store.put("key", {"name": "value"})
        assert await store.scan() == (["key"], None)
    try:
        open_store("redis://:hunter2@localhost:6379")
    except ValueError as error:
        print(error)

asyncio.run(main())
"""


def test_a_url_opens_an_installed_store_and_names_a_missing_package(
    make_environment: "MakeEnvironment", python: Path
) -> None:
    printed = make_environment(python, "kv-memory").run("-c", BY_URL)
    assert "no package for redis:// is installed; pip install kv-redis" in printed
    assert "['memory', 'null', 'simple']" in printed
    assert "hunter2" not in printed


def test_every_store_can_be_opened_by_a_url(wheels: dict[str, Wheel]) -> None:
    """Check that each store class exported by a backend package has at least one scheme."""
    stores = {
        f"{module}:{name}"
        for wheel in wheels.values()
        for module in wheel.modules
        if module.startswith("key_value.aio.stores.") and module.count(".") == STORE_DEPTH
        for name in exported(wheel, module)
        if name.endswith("Store") and not name.startswith("Base")
    }
    assert {value for wheel in wheels.values() for value in wheel.store_entry_points.values()} == stores


def exported(wheel: Wheel, module: str) -> list[str]:
    text = wheel.files[f"{module.replace('.', '/')}/__init__.py"] if is_package(wheel, module) else b""
    return re.findall(r'"(\w+)"', text.decode().partition("__all__")[2])


def is_package(wheel: Wheel, module: str) -> bool:
    return f"{module.replace('.', '/')}/__init__.py" in wheel.files


def test_a_checkout_installs_as_the_readme_says(python: Path, tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^pip install (\./packages/.+)$", readme, re.MULTILINE)
    environment = Environment(tmp_path / "venv", python)
    environment.install(*(ROOT / package for package in command.split()))
    environment.run("-c", "import key_value.aio.protocols, key_value.aio.stores.redis")
