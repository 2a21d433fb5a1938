"""kv-core in one environment with the predecessor's wheel, which contains the same paths."""

import re
from pathlib import Path

import pytest
from workspace import CommandError, Environment, Wheel, run

PREDECESSOR = "py-key-value-aio==0.5.0"


ADVICE = r"ImportError: .*pip uninstall py-key-value-aio"


@pytest.fixture
def core(wheels: dict[str, Wheel]) -> dict[str, Wheel]:
    """Only kv-core, because another package of ours may have the predecessor's name."""
    return {"kv-core": wheels["kv-core"]}


def test_kv_core_installed_after_it_names_the_distribution_to_remove(tmp_path: Path, core: dict[str, Wheel]) -> None:
    environment = Environment(tmp_path / "venv")
    environment.install(PREDECESSOR)
    environment.install("kv-core", wheels=core)
    for module in ("key_value.aio.protocols", "key_value.aio.stores.base"):
        with pytest.raises(CommandError, match=ADVICE):
            environment.run("-c", f"import {module}")


def test_kv_core_installed_before_it_names_the_distribution_to_remove(tmp_path: Path, core: dict[str, Wheel]) -> None:
    environment = Environment(tmp_path / "venv")
    environment.install("kv-core", wheels=core)
    environment.install(PREDECESSOR)
    # Its other modules have replaced ours and load as before.
    with pytest.raises(CommandError, match=ADVICE):
        environment.run("-c", "import key_value.aio.stores.base")


def test_following_the_message_repairs_the_environment(tmp_path: Path, core: dict[str, Wheel]) -> None:
    environment = Environment(tmp_path / "venv")
    environment.install(PREDECESSOR)
    environment.install("kv-core", wheels=core)
    with pytest.raises(CommandError) as failure:
        environment.run("-c", "import key_value.aio.stores.base")
    commands = re.findall("`pip (.*?)`", str(failure.value))
    assert [command.split()[0] for command in commands] == ["uninstall", "install"]
    run("uv", "pip", *commands[0].split(), "--python", environment.python)
    environment.install(*commands[1].split()[1:], wheels=core)
    environment.import_modules(core["kv-core"].modules)
