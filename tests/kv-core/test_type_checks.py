"""Runtime type checks, and when beartype is imported."""

import os
import subprocess
import sys

import pytest
from key_value.aio.core.type_checks import TypeViolationWarning
from key_value.aio.stores.memory import MemoryStore

WELL_TYPED = """
import asyncio, sys
from key_value.aio.stores.memory import MemoryStore

async def use(store):
    await store.put("a", {"b": 1}, collection="c", ttl=5)
    await store.put_many(["a"], [{}], ttl=1.5)
    await store.get("a"), await store.ttl("a"), await store.get_many(["a"]), await store.ttl_many(["a"])
    await store.delete("a"), await store.delete_many(["a"]), await store.keys()

asyncio.run(use(MemoryStore()))
print("beartype" in sys.modules)
"""

INTERFACE = """
import sys
from key_value.aio.protocols import AsyncKeyValue

print({"asyncio", "beartype", "orjson"} & set(sys.modules))
"""

BADLY_TYPED = """
import asyncio
from key_value.aio.stores.memory import MemoryStore

asyncio.run(MemoryStore(max_entries_per_collection=5.5).put("a", {"b": 1}, ttl="5"))
"""


def run(program: str, **environment: str) -> str:
    command = [sys.executable, "-W", "always", "-c", program]
    completed = subprocess.run(  # noqa: S603 — our own program
        command, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    return completed.stdout + completed.stderr


def test_a_program_that_passes_correct_types_never_imports_beartype() -> None:
    assert run(WELL_TYPED) == "False\n"


def test_importing_the_interface_imports_neither_asyncio_nor_beartype_nor_orjson() -> None:
    assert run(INTERFACE) == "set()\n"


def test_checks_raise_type_errors() -> None:
    assert "TypeError: ttl must be a number of seconds or None, not str" in run(BADLY_TYPED)


def test_an_environment_variable_turns_all_checks_off() -> None:
    output = run(BADLY_TYPED, PY_KEY_VALUE_DISABLE_BEARTYPE="true")
    assert "must be" not in output
    assert "TypeViolationWarning" not in output


def test_a_constructor_warns_and_continues() -> None:
    with pytest.warns(TypeViolationWarning, match="max_entries_per_collection should be") as caught:
        MemoryStore(max_entries_per_collection=5.5)  # pyright: ignore[reportArgumentType]
    assert caught[0].filename == __file__
