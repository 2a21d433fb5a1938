from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from key_value.aio.core.batches import in_batches

if TYPE_CHECKING:
    from collections.abc import Sequence


async def batches_of(things: Sequence[int], size: int, max_weight: int = 1000) -> list[list[int]]:
    async def handle(some: Sequence[int]) -> list[int]:
        return list(some)

    return sorted(await in_batches(things, size, handle, lambda thing: thing, max_weight))


async def test_a_batch_has_at_most_the_given_number_of_items() -> None:
    assert await batches_of([1, 2, 3, 4, 5], 2) == [[1, 2], [3, 4], [5]]
    assert await batches_of([], 2) == []


async def test_a_batch_is_within_the_weight_limit_unless_a_single_item_exceeds_it() -> None:
    assert await batches_of([1, 2, 3, 9, 1], 100, max_weight=5) == [[1], [1, 2], [3], [9]]


async def test_at_most_ten_batches_are_in_flight() -> None:
    in_flight = most = 0

    async def handle(_some: Sequence[int]) -> None:
        nonlocal in_flight, most
        in_flight += 1
        most = max(most, in_flight)
        await asyncio.sleep(0)
        in_flight -= 1

    await in_batches(range(50), 1, handle)
    assert most == 10


async def test_the_first_error_cancels_the_other_batches() -> None:
    handled: list[int] = []

    async def handle(some: Sequence[int]) -> None:
        if some[0] == 0:
            raise LookupError
        await asyncio.sleep(0)
        handled.extend(some)

    with pytest.raises(LookupError):
        await in_batches(range(50), 1, handle)
    assert len(handled) < 49
