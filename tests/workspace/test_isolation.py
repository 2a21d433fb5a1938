"""Each wheel installed into an empty environment, without the rest of the workspace."""

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest
from packaging.requirements import Requirement
from workspace import Wheel, packages

if TYPE_CHECKING:
    from conftest import MakeEnvironment

PACKAGES = packages()

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
def test_installing_a_package_brings_in_what_it_requires_and_nothing_else_of_ours(
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
