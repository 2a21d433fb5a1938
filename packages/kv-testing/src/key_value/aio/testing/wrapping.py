"""Shared parts of the wrapper tests: a wrapper around a filled store, and comparison of results."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

import pytest
from key_value.aio.protocols import AsyncKeyValue, KeyPage, Versioned
from key_value.aio.testing.inner_stores import FullStore
from key_value.aio.testing.running import AsyncTests

__all__ = ["WrapperContract", "comparable", "fill"]


class WrapperContract(AsyncTests):
    """The members that the author of a wrapper defines."""

    read_only: ClassVar[bool] = False
    """Whether the wrapper rejects every write with ReadOnlyError."""

    secrets: ClassVar[Sequence[str]] = ()
    """The passwords and keys that `wrap` passes to the wrapper. Its repr must not show any of them."""

    refused_value: ClassVar[Mapping[str, Any] | None] = None
    """A value that the wrapper, as created by `wrap`, rejects or skips; None if it accepts every value."""

    def wrap(self, store: AsyncKeyValue) -> AsyncKeyValue:
        """Return a wrapper around the store, with options that accept the values of these tests."""
        raise NotImplementedError

    async def filled(self, store: AsyncKeyValue | None = None, *, layers: int = 1) -> AsyncKeyValue:
        """Return `layers` wrappers around a store with two entries in the collection "shelf"."""
        wrapper = store = FullStore() if store is None else store
        for _ in range(layers):
            wrapper = self.wrap(wrapper)
        await fill(store if self.read_only else wrapper)
        return wrapper

    def require_writes(self) -> None:
        if self.read_only:
            pytest.skip(f"{type(self).__name__} sets read_only")


async def fill(store: AsyncKeyValue) -> None:
    await store.put("key", {"a": [1]}, collection="shelf")
    await store.put_many(["other"], [{"a": 2}], collection="shelf")


def comparable(result: Any) -> Any:
    """Return the result without the parts that may differ: versions, cursors and the order of names."""
    if isinstance(result, Versioned):
        return result[:2]
    names = cast("object", result.keys if isinstance(result, KeyPage) else result)
    if not isinstance(names, list):
        return names
    listed = cast("list[object]", names)
    return sorted(map(str, listed)) if all(isinstance(name, str) for name in listed) else listed
