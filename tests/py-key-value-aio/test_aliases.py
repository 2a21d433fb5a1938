"""Aliases for names that applications import from private modules of earlier versions."""

from __future__ import annotations

import importlib
import sys

import pytest
from key_value.aio.core import sanitization
from key_value.aio.core.entry import ManagedEntry
from key_value.aio.errors import DeserializationError, SerializationError


def imported(name: str) -> object:
    sys.modules.pop(name, None)
    with pytest.warns(DeprecationWarning, match=f"{name} is deprecated"):
        return importlib.import_module(name)


def test_the_strategies_are_the_same_objects_as_in_core() -> None:
    module = imported("key_value.aio._utils.sanitization")
    names = ("PassthroughStrategy", "SanitizationStrategy", "HybridSanitizationStrategy", "AlwaysHashStrategy")
    for name in (*names, "HashExcessLengthStrategy", "HashFragmentMode"):
        assert getattr(module, name) is getattr(sanitization, name)


def test_entries_and_json_functions_come_from_core() -> None:
    module = imported("key_value.aio._utils.managed_entry")
    assert getattr(module, "ManagedEntry") is ManagedEntry  # noqa: B009 — unknown to the type checker
    dump, load = getattr(module, "dump_to_json"), getattr(module, "load_from_json")  # noqa: B009
    assert load(dump({"é": [1, 2**70, None]})) == {"é": [1, 2**70, None]}
    with pytest.raises(SerializationError):
        dump({"a": {1}})
    with pytest.raises(DeserializationError):
        load("[1]")
