"""Hooks of stores written for earlier versions."""

import inspect
from collections.abc import Sequence
from functools import wraps
from typing import Any

from key_value.aio.core.entry import ManagedEntry

__all__ = ["adapt_batch_put"]


def adapt_batch_put(store: type[Any]) -> None:
    """Wrap a `_put_managed_entries` that requires ttl, created_at and expires_at, so that BaseStore can omit them."""
    hook = vars(store).get("_put_managed_entries")
    if hook is None or "expires_at" not in inspect.signature(hook).parameters:
        return

    @wraps(hook)
    async def put_managed_entries(
        self: Any, *, collection: str, keys: Sequence[str], managed_entries: Sequence[ManagedEntry]
    ) -> None:
        first = managed_entries[0]
        await hook(
            self,
            collection=collection,
            keys=keys,
            managed_entries=managed_entries,
            ttl=first.ttl,
            created_at=first.created_at,
            expires_at=first.expires_at,
        )

    store._put_managed_entries = put_managed_entries  # noqa: SLF001 — BaseStore calls this on its own subclasses
