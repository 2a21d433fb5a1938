"""Runtime type checks, and when beartype is imported."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Optional

import pytest
from key_value.aio.core.type_checks import TypeViolationWarning, warn_types
from key_value.aio.protocols import AsyncKeyValue
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

asyncio.run(MemoryStore(max_entries_per_collection=5.0).put("a", {"b": 1}, ttl="5"))
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


SECRET = "hunter2"  # noqa: S105 — looked for in messages


@warn_types
def sample(
    *,
    count: int = 0,
    durability: Literal["normal", "full"] = "normal",
    level: Literal["low", 1] | None = None,
    path: Path | str | None = None,
    timeout: Optional[float] = None,  # noqa: UP045 — prints as typing.Optional
    store: AsyncKeyValue | None = None,
    stores: Mapping[str, AsyncKeyValue] | None = None,
    function: Callable[[str], AsyncKeyValue | None] | None = None,
    password: Literal["none"] | None = None,
    url: str = "",
) -> None:
    """Accept the arguments."""


TEXTS: list[tuple[dict[str, Any], str]] = [
    ({"count": "3"}, "sample: count should be int, not str"),
    ({"count": None}, "sample: count should be int, not None"),
    ({"durability": "fast"}, "sample: durability should be 'normal' or 'full', not 'fast'"),
    ({"durability": 5}, "sample: durability should be 'normal' or 'full', not 5"),
    ({"durability": ["fast"]}, "sample: durability should be 'normal' or 'full', not list"),
    ({"durability": "x" * 99}, f"sample: durability should be 'normal' or 'full', not '{'x' * 39}"),
    ({"level": "high"}, "sample: level should be 'low', 1 or None, not 'high'"),
    ({"path": 3}, "sample: path should be Path, str or None, not int"),
    ({"timeout": SECRET}, "sample: timeout should be float or None, not str"),
    ({"store": SECRET}, "sample: store should be AsyncKeyValue or None, not str"),
    ({"count": MemoryStore}, "sample: count should be int, not the class MemoryStore"),
    ({"stores": 5}, "sample: stores should be Mapping[str, AsyncKeyValue] or None, not int"),
    ({"function": 5}, "sample: function should be Callable[[str], AsyncKeyValue | None] or None, not int"),
    ({"password": SECRET}, "sample: password should be 'none' or None, not str"),
    ({"url": 5}, "sample: url should be str, not int"),
]


@pytest.mark.parametrize(("arguments", "text"), TEXTS, ids=[text for _, text in TEXTS])
def test_a_warning_names_what_is_expected_and_what_was_given(arguments: dict[str, Any], text: str) -> None:
    with pytest.warns(TypeViolationWarning) as caught:
        sample(**arguments)
    assert [str(warning.message) for warning in caught] == [text]
    assert SECRET not in text


def test_a_constructor_warns_and_continues() -> None:
    with pytest.warns(TypeViolationWarning, match="_per_collection should be int or None, not float") as caught:
        MemoryStore(max_entries_per_collection=5.0)  # pyright: ignore[reportArgumentType]
    assert caught[0].filename == __file__
