"""Limits of a wrapper: it never exposes other entries, stores unwrapped values or passes on unsafe operations."""

import json
import random
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from itertools import product
from typing import Any, Protocol, runtime_checkable

import pytest
from key_value.aio.core.operations import Operation, add_operation, remove_operation
from key_value.aio.core.wrappers import BaseCallWrapper, BaseNameWrapper, BaseValueWrapper, BaseWrapper
from key_value.aio.errors import BaseKeyValueError, ReadOnlyError
from key_value.aio.protocols import AsyncKeyValue, AsyncVersionedProtocol
from key_value.aio.testing.calls import EVERY_CALL
from key_value.aio.testing.contract import ability
from key_value.aio.testing.doubles import YieldingStore
from key_value.aio.testing.inner_stores import FullStore
from key_value.aio.testing.names import NASTY_NAMES
from key_value.aio.testing.tables import for_each
from key_value.aio.testing.wrapping import WrapperContract, comparable

__all__ = ["BoundaryTests"]

_PLAIN_TEXT = "in plain text"
_TTL = 90

PUTS: dict[str, Callable[[Any, str, Mapping[str, Any]], Awaitable[object]]] = {
    "put": lambda store, key, value: store.put(key, value, collection="shelf", ttl=_TTL),
    "put_many": lambda store, key, value: store.put_many([key], [value], collection="shelf", ttl=_TTL),
    "put_if_absent": lambda store, key, value: store.put_if_absent(key, value, collection="shelf", ttl=_TTL),
    "put_if_version": lambda store, key, value: store.put_if_version(key, value, None, collection="shelf", ttl=_TTL),
}
"""All operations that can store a new entry."""

LAYERS: list[type[BaseWrapper]] = [BaseWrapper, BaseCallWrapper, BaseNameWrapper, BaseValueWrapper, YieldingStore]

_EITHER = [False, True]

ROWS = [{"names": names, "values": values, "writes": writes} for names, values, writes in product(*[_EITHER] * 3)]


class BoundaryTests(WrapperContract):
    @for_each("put", [put for put in PUTS if put != "put"])
    async def test_every_write_stores_what_put_stores(self, put: str) -> None:
        self.require_writes()
        stored = [await self._stored(name) for name in ("put", put)]
        assert stored[0] == stored[1]

    @for_each("put", list(PUTS))
    async def test_no_write_stores_what_the_wrapper_refuses(self, put: str) -> None:
        self.require_writes()
        if self.refused_value is None:
            pytest.skip(f"{type(self).__name__} does not set refused_value")
        inner = FullStore()
        with suppress(BaseKeyValueError):
            await PUTS[put](self.wrap(inner), "key", self.refused_value)
        assert inner.entries == {}

    @for_each("operation", list(EVERY_CALL))
    async def test_no_operation_reaches_what_others_stored(self, operation: str) -> None:
        inner = FullStore()
        wrapper = self.wrap(inner)
        if self.read_only or "names" not in await self._changes():
            pytest.skip(f"the wrapper of {type(self).__name__} is read-only or does not change names")
        call = EVERY_CALL[operation]
        empty = self.wrap(FullStore())
        expected = None if operation == "delete_if_version" else comparable(await (await call.prepared(empty))(empty))
        for collection, key in product(["shelf", "default_collection", *NASTY_NAMES[::9]], ["key", *NASTY_NAMES[::9]]):
            await inner.put(key, {"of": "others"}, collection=collection)
        others = dict(inner.entries)
        if operation == "delete_if_version":
            version = (await inner.get_versioned("key", collection="shelf")).version
            with pytest.raises(ValueError, match="version"):
                await ability(wrapper, AsyncVersionedProtocol).delete_if_version(
                    "key", str(version), collection="shelf"
                )
        else:
            assert comparable(await (await call.prepared(wrapper))(wrapper)) == expected
        assert {names: inner.entries.get(names) for names in others} == others

    @for_each("row", ROWS)
    async def test_an_operation_that_nobody_has_heard_of_does_no_harm(self, row: dict[str, bool]) -> None:
        changes = await self._changes()
        with _unknown_operation(**row) as (name, protocol, store):
            wrapper: Any = self.wrap(store)
            carried = changes & {each for each in ("names", "values") if row[each]}
            if not isinstance(wrapper, protocol):
                # A wrapper with its own state, such as a cache, may hide an unknown write.
                assert carried or row["writes"]
                assert not hasattr(wrapper, name)
                return
            assert carried == set()
            if self.read_only and row["writes"]:
                with pytest.raises(ReadOnlyError):
                    await getattr(wrapper, name)("key", {"a": 1}, collection="shelf")
                assert store.calls == []
            else:
                assert await getattr(wrapper, name)("key", {"a": 1}, collection="shelf") == "answer"
                assert store.calls == [("key", {"a": 1}, "shelf")]

    @for_each("seed", range(10))
    async def test_one_layer_of_a_stack_that_must_hide_an_operation_hides_it(self, seed: int) -> None:
        rng = random.Random(seed)  # noqa: S311 — not for secrets
        layers: list[Any] = [*rng.choices(LAYERS, k=rng.randint(1, 4)), None]
        rng.shuffle(layers)
        changes = await self._changes()
        for row in ROWS:
            with _unknown_operation(**row) as (_, protocol, store):
                wrapper: AsyncKeyValue = store
                hidden = False
                for layer in layers:
                    wrapper = self.wrap(wrapper) if layer is None else layer(wrapper)
                    hidden |= any(row[each] for each in (changes if layer is None else layer.changes))
                if hidden or not row["writes"]:
                    assert isinstance(wrapper, protocol) is not hidden

    async def _stored(self, put: str) -> list[tuple[Any, ...]]:
        """Return what this call stores: names, ttl, whether the plain text is visible, and fields of the value."""
        inner = FullStore()
        assert await PUTS[put](self.wrap(inner), "key", {"text": _PLAIN_TEXT}) in (None, True)
        return [
            (names, round(entry.ttl or 0), _PLAIN_TEXT in json.dumps(entry.value), entry.value.keys())
            for names, entry in inner.entries.items()
        ]

    async def _changes(self) -> frozenset[str]:
        """Return which of "names" and "values" the wrapper changes, as declared or as observed."""
        inner = FullStore()
        wrapper = self.wrap(inner)
        changes: frozenset[str] = getattr(wrapper, "changes", frozenset())
        if self.read_only:
            return changes
        await wrapper.put("key", {"text": _PLAIN_TEXT}, collection="shelf")
        for names, entry in inner.entries.items():
            if names != ("shelf", "key"):
                changes |= {"names"}
            if entry.value != {"text": _PLAIN_TEXT} or entry.ttl is not None:
                changes |= {"values"}
        return changes


class _NovelStore(FullStore):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, Mapping[str, Any], str | None]] = []


@contextmanager
def _unknown_operation(**row: bool) -> Generator[tuple[str, type[Any], _NovelStore], None, None]:
    """Register an operation with these properties; yield its name, its protocol, and a store that implements it."""
    name = "_".join(["novel", *(each for each in row if row[each])])

    async def novel(self: _NovelStore, key: str, value: Mapping[str, Any], *, collection: str | None = None) -> str:
        self.calls.append((key, value, collection))
        return "answer"

    make_protocol: Any = type(Protocol)
    protocol = runtime_checkable(make_protocol("NovelProtocol", (Protocol,), {name: novel, "__module__": __name__}))
    add_operation(Operation(name, protocol, **row))
    try:
        yield name, protocol, type("NovelStore", (_NovelStore,), {name: novel})()
    finally:
        remove_operation(name)
