"""Functions shared by several test modules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Value = dict[str, Any]


def add_visit(value: Value | None) -> Value:
    value = value or {"visits": 0}
    value["visits"] += 1
    return value


def raising(error: Exception) -> Callable[[], Awaitable[object]]:
    async def fail() -> None:
        raise error

    return fail


async def lease_of(store: Any, key: str = "job") -> Any:
    return await store.get(f"lease:{key}", collection="locks")
