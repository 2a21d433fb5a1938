"""Values: JSON objects are stored unchanged, other values are rejected, and objects are never shared."""

import json
from collections import OrderedDict, UserDict
from collections.abc import Callable
from datetime import datetime, timezone
from enum import Enum, IntEnum
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from key_value.aio.errors import SerializationError, ValueTooLargeError
from key_value.aio.testing.contract import StoreContract, StoreT
from key_value.aio.testing.selection import declares, helper, needs
from key_value.aio.testing.tables import Decorator, for_each

__all__ = ["ValueTests"]


class Text(str):
    __slots__ = ()


class Color(Enum):
    RED = "hunter2"


class Level(IntEnum):
    HIGH = 3


# Like enum.StrEnum, which Python 3.10 lacks.
class Word(str, Enum):
    YES = "hunter2"


class Point(NamedTuple):
    x: int
    y: int


VALUES: dict[str, dict[str, Any]] = {
    "empty object": {},
    "empty containers": {"object": {}, "array": []},
    "empty key": {"": 1},
    "leaves": {"null": None, "true": True, "false": False, "text": "text", "integer": 7, "float": 7.5},
    "numbers that Python takes for equal": {"zero": 0, "false": False, "one": 1, "true": True, "float": 1.0},
    "integers of 64 bits": {"least": -(2**63), "most": 2**63 - 1, "unsigned": 2**64 - 1},
    "integers over 64 bits": {"positive": 2**70, "negative": -(2**70), "long": 10**400},
    "floats": {"largest": 1e308, "smallest": 5e-324, "negative zero": -0.0, "inexact": 0.1 + 0.2, "whole": 1e22},
    "text beyond ASCII": {"höme": "é e\u0301 🌍 \U0010ffff עברית \u2028\ufeff"},
    "control characters": {"\0": "\0\x1f\x7f\r\n\t", '"': '"\\/'},
    "text that looks like something else": {"a": "null", "b": "1", "c": "NaN", "d": "2026-11-23T09:03:14Z"},
    "keys that look like something else": {"$where": 1, "a.b": 2, "__proto__": 3, "value": 4, "version": 5},
    "nested": {"items": [{"tags": ["a", ["b", {"c": [None]}]]}, [], {}]},
    "objects and numbers in one array": {"items": [1, {"b": 2}, "three", [4.0], None]},
    "deep": json.loads('{"a":' * 50 + "1" + "}" * 50),
    "50 KB": {"items": [{"id": number, "name": f"item {number}"} for number in range(1500)]},
}

REDUCED: dict[str, tuple[Any, dict[str, Any]]] = {
    "tuple": ({"items": (1, (2, 3))}, {"items": [1, [2, 3]]}),
    "namedtuple": ({"point": Point(1, 2)}, {"point": [1, 2]}),
    "OrderedDict": (OrderedDict[str, Any](a=OrderedDict[str, int](b=1)), {"a": {"b": 1}}),
    "mapping": (UserDict({"a": 1}), {"a": 1}),
    "read-only mapping": (MappingProxyType({"a": 1}), {"a": 1}),
    "subclass of str": ({Text("a"): Text("b")}, {"a": "b"}),
}

LEAVES: dict[str, Any] = {
    "bytes": b"hunter2",
    "set": {"hunter2"},
    "datetime": datetime(2026, 11, 23, tzinfo=timezone.utc),
    "UUID": UUID(int=7),
    "Enum": Color.RED,
    "IntEnum": Level.HIGH,
    "StrEnum": Word.YES,
    "NaN": float("nan"),
    "infinity": float("inf"),
    "minus infinity": float("-inf"),
    "lone surrogate": "hunter2\ud800",
    "complex": 1j,
    "mapping inside": MappingProxyType({"a": "hunter2"}),
    "function": len,
}

KEYS: dict[str, Any] = {
    "integer": 1,
    "boolean": True,
    "None": None,
    "bytes": b"hunter2",
    "tuple": ("hunter2",),
    "StrEnum": Word.YES,
    "lone surrogate": "hunter2\ud800",
}

_NEIGHBOUR = {"password": "hunter2"}


def _with_leaf(leaf: Any) -> dict[str, Any]:
    return {"items": [_NEIGHBOUR, {"when": leaf}]}


def _with_key(key: Any) -> dict[str, Any]:
    return {"items": [_NEIGHBOUR, {key: _NEIGHBOUR}]}


def _with_cycle() -> dict[str, Any]:
    cycle: dict[str, Any] = {"items": [_NEIGHBOUR]}
    cycle["items"].append(cycle)
    return cycle


def _too_deep() -> dict[str, Any]:
    value: dict[str, Any] = _NEIGHBOUR
    for _ in range(10_000):
        value = {"a": value}
    return value


REFUSED: dict[str, tuple[Callable[[], dict[str, Any]], str]] = {
    **{name: (lambda leaf=leaf: _with_leaf(leaf), "value.items[1].when") for name, leaf in LEAVES.items()},
    **{f"key: {name}": (lambda key=key: _with_key(key), "value.items[1]") for name, key in KEYS.items()},
    "cycle": (_with_cycle, "value.items[1]"),
    "too deep": (_too_deep, "value.a"),
}

each_refused: Decorator = for_each("make", {name: make for name, (make, _) in REFUSED.items()})


def exact(value: object) -> str:
    """Return a text for comparison that, unlike `==`, distinguishes 1 from 1.0 and True, and 0.0 from -0.0."""
    return json.dumps(value, sort_keys=True)


class ValueTests(StoreContract[StoreT]):
    @for_each("value", VALUES)
    async def test_a_value_comes_back_as_it_was(self, store: StoreT, key: str, value: dict[str, Any]) -> None:
        await store.put(key, value)
        assert exact(await store.get(key)) == exact(value)

    @for_each("value", VALUES)
    async def test_a_batch_brings_a_value_back_as_it_was(self, store: StoreT, key: str, value: dict[str, Any]) -> None:
        await store.put_many([key], [value])
        assert exact(await store.get_many([key])) == exact([value])

    @for_each(("value", "plain"), REDUCED)
    async def test_a_container_comes_back_as_dict_or_list(
        self, store: StoreT, key: str, value: Any, plain: Any
    ) -> None:
        await store.put(key, value)
        found = await store.get(key)
        assert type(found) is dict
        assert exact(found) == exact(plain)

    async def test_an_absent_entry_is_none(self, store: StoreT) -> None:
        assert await store.get("absent") is None
        assert await store.ttl("absent") == (None, None)

    async def test_a_put_replaces_the_whole_value(self, store: StoreT) -> None:
        await store.put("key", {"a": 1, "b": {"c": 2}})
        await store.put("key", {"b": {"d": 3}})
        assert await store.get("key") == {"b": {"d": 3}}

    async def test_a_deleted_entry_is_gone(self, store: StoreT) -> None:
        await store.put("key", {"a": 1})
        assert await store.delete("key") is True
        assert await store.get("key") is None
        assert await store.delete("key") is False

    async def test_changing_a_value_after_its_put_changes_nothing(self, store: StoreT) -> None:
        value: dict[str, Any] = {"items": [{"a": 1}]}
        await store.put("one", value)
        await store.put_many(["two"], [value])
        value["items"][0]["a"] = 2
        value["items"].append(3)
        assert await store.get_many(["one", "two"]) == [{"items": [{"a": 1}]}] * 2

    async def test_changing_what_was_read_changes_nothing(self, store: StoreT) -> None:
        await store.put("key", {"items": [{"a": 1}]})
        for found in (await store.get("key"), (await store.ttl("key"))[0], (await store.get_many(["key"]))[0]):
            assert found is not None
            assert found == {"items": [{"a": 1}]}
            found["items"][0]["a"] = 2
        assert await store.get("key") == {"items": [{"a": 1}]}

    async def test_a_key_that_repeats_gets_values_that_share_nothing(self, store: StoreT) -> None:
        await store.put("key", {"items": [{"a": 1}]})
        first, second = await store.get_many(["key", "key"])
        (third, _), (fourth, _) = await store.ttl_many(["key", "key"])
        for found in (first, second, third, fourth):
            assert found is not None
            assert found == {"items": [{"a": 1}]}
            found["items"][0]["a"] = 2

    @for_each(("make", "path"), REFUSED)
    async def test_a_value_that_is_not_json_is_refused_with_its_path(
        self, store: StoreT, key: str, make: Callable[[], dict[str, Any]], path: str
    ) -> None:
        with pytest.raises(SerializationError) as refusal:
            await store.put(key, make())
        assert isinstance(refusal.value, ValueError)
        assert path in str(refusal.value)
        assert "hunter2" not in str(refusal.value)

    @each_refused
    async def test_a_batch_with_a_value_that_is_not_json_stores_none(
        self, store: StoreT, key: str, make: Callable[[], dict[str, Any]]
    ) -> None:
        keys = [f"good {key}", f"bad {key}"]
        with pytest.raises(SerializationError, match="value"):
            await store.put_many(keys, [{"a": 1}, make()])
        assert await store.get_many(keys) == [None, None]

    @each_refused
    async def test_a_refused_value_leaves_the_earlier_one(
        self, store: StoreT, key: str, make: Callable[[], dict[str, Any]]
    ) -> None:
        await store.put(key, {"a": 1})
        with pytest.raises(SerializationError, match="value"):
            await store.put(key, make())
        assert await store.get(key) == {"a": 1}

    @needs(helper("read_stored"))
    @each_refused
    async def test_the_backend_never_sees_a_refused_value(
        self, store: StoreT, key: str, make: Callable[[], dict[str, Any]]
    ) -> None:
        with pytest.raises(SerializationError):
            await store.put(key, make(), collection="collection")
        assert await self.read_stored(store, "collection", key) is None

    @needs(helper("read_stored"))
    async def test_the_backend_holds_what_was_put(self, store: StoreT) -> None:
        assert await self.read_stored(store, "collection", "key") is None
        await store.put("key", {"greeting": "hello"}, collection="collection")
        stored = await self.read_stored(store, "collection", "key")
        assert "hello" in (stored.decode() if isinstance(stored, bytes) else stored or "")

    @for_each("value", [["a"], "text", b"bytes", 7, None])
    async def test_a_value_that_is_not_a_mapping_is_a_type_error(self, store: StoreT, key: str, value: Any) -> None:
        self._require_type_checks()
        with pytest.raises(TypeError):
            await store.put(key, value)
        with pytest.raises(TypeError):
            await store.put_many([key], [value])
        assert await store.get(key) is None

    @needs(declares("max_value_bytes"))
    async def test_a_value_over_the_limit_of_the_backend_is_refused(self, store: StoreT) -> None:
        limit = self.value_limit(store)
        await store.put("key", {"a": 1})
        with pytest.raises(ValueTooLargeError):
            await store.put("key", {"text": "x" * limit})
        assert await store.get("key") == {"a": 1}
