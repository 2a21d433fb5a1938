from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from key_value.aio.core.batches import in_batches

if TYPE_CHECKING:
    from collections.abc import Sequence


async def cut(things: Sequence[int], size: int, heaviest: int = 1000) -> list[list[int]]:
    async def handle(some: Sequence[int]) -> list[int]:
        return list(some)

    return sorted(await in_batches(things, size, handle, lambda thing: thing, heaviest))


async def test_a_batch_has_so_many_things_at_the_most() -> None:
    assert await cut([1, 2, 3, 4, 5], 2) == [[1, 2], [3, 4], [5]]
    assert await cut([], 2) == []


async def test_a_batch_weighs_so_much_at_the_most_unless_one_thing_does() -> None:
    assert await cut([1, 2, 3, 9, 1], 100, heaviest=5) == [[1], [1, 2], [3], [9]]


async def test_ten_batches_are_under_way_at_the_most() -> None:
    in_flight = most = 0

    async def handle(_some: Sequence[int]) -> None:
        nonlocal in_flight, most
        in_flight += 1
        most = max(most, in_flight)
        await asyncio.sleep(0)
        in_flight -= 1

    await in_batches(range(50), 1, handle)
    assert most == 10


async def test_the_first_error_ends_the_others() -> None:
    handled: list[int] = []

    async def handle(some: Sequence[int]) -> None:
        if some[0] == 0:
            raise LookupError
        await asyncio.sleep(0)
        handled.extend(some)

    with pytest.raises(LookupError):
        await in_batches(range(50), 1, handle)
    assert len(handled) < 49
