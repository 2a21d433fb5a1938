"""Data written by the predecessor's adapters is read."""

import json
from pathlib import Path
from typing import Any

from key_value.aio.adapters import PydanticAdapter
from key_value.aio.stores.memory import MemoryStore
from pydantic import BaseModel, ConfigDict, Field, computed_field


class Square(BaseModel):
    side: int = Field(alias="theSide")

    @computed_field
    @property
    def area(self) -> int:
        return self.side**2


class Measure(BaseModel):
    model_config = ConfigDict(strict=True)

    meters: float


async def test_a_recorded_list_is_read_and_written_in_the_same_form(recorded: Path) -> None:
    entries: dict[str, dict[str, Any]] = json.loads((recorded / "wrappers.json").read_text(encoding="utf-8"))
    [(names, stored)] = entries["PydanticAdapter[list[int]]"].items()
    collection, key = names.split(" | ")
    store = MemoryStore(seed={collection: {key: stored}})
    adapter = PydanticAdapter(store, list[int], collection)
    value = await adapter.get(key)
    assert value == [1, 2]
    await adapter.put("again", [1, 2])
    assert await store.get("again", collection=collection) == stored


async def test_field_names_and_computed_fields_are_read() -> None:
    store = MemoryStore(seed={"shelf": {"key": {"area": 4, "side": 2}}})
    assert await PydanticAdapter(store, Square, "shelf").get("key") == Square(theSide=2)


async def test_an_integer_in_place_of_a_float_is_read_by_a_strict_model() -> None:
    store = MemoryStore(seed={"shelf": {"key": {"meters": 2}}})
    assert await PydanticAdapter(store, Measure, "shelf").get("key") == Measure(meters=2.0)


async def test_fields_beside_the_items_are_ignored() -> None:
    store = MemoryStore(seed={"shelf": {"key": {"items": [1], "other": 2}}})
    assert await PydanticAdapter(store, list[int], "shelf").get("key") == [1]
