"""Shared parts of the wrapper tests: a wrapper around a filled store, and a comparison of results."""

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
    """Whether the wrapper refuses every write with ReadOnlyError."""

    secrets: ClassVar[Sequence[str]] = ()
    """The passwords and keys that `wrap` passes to the wrapper, none of which its repr may show."""

    refused_value: ClassVar[Mapping[str, Any] | None] = None
    """A value that the wrapper, as `wrap` creates it, refuses or skips; None if it accepts every value."""

    def wrap(self, store: AsyncKeyValue) -> AsyncKeyValue:
        """Return the wrapper around the store, with options that accept the values of these tests."""
        raise NotImplementedError

    async def filled(self, store: AsyncKeyValue | None = None, *, layers: int = 1) -> AsyncKeyValue:
        """Return the wrapper around a store with two entries on a shelf."""
        wrapper = store = FullStore() if store is None else store
        for _ in range(layers):
            wrapper = self.wrap(wrapper)
        await fill(store if self.read_only else wrapper)
        return wrapper

    def require_writes(self) -> None:
        if self.read_only:
            pytest.skip(f"{type(self).__name__} says that its wrapper is read_only")


async def fill(store: AsyncKeyValue) -> None:
    await store.put("key", {"a": [1]}, collection="shelf")
    await store.put_many(["other"], [{"a": 2}], collection="shelf")


def comparable(answer: Any) -> Any:
    """The result without the parts that may differ: a version, a cursor, and the order of names."""
    if isinstance(answer, Versioned):
        return answer[:2]
    names = cast("object", answer.keys if isinstance(answer, KeyPage) else answer)
    if not isinstance(names, list):
        return names
    listed = cast("list[object]", names)
    return sorted(map(str, listed)) if all(isinstance(name, str) for name in listed) else listed
