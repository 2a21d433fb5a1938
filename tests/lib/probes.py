"""Probes of a store, and the full text of an error."""

from __future__ import annotations

import traceback
from typing import Any


async def serves(store: Any) -> bool:
    """Return whether the store returns an entry that it has just stored; close the store."""
    async with store:
        await store.put("key", {"n": 1})
        return await store.get("key") == {"n": 1}


def text_of(error: BaseException) -> str:
    """Return the repr and the traceback, including the causes."""
    return f"{error!r} {''.join(traceback.format_exception(type(error), error, error.__traceback__))}"
