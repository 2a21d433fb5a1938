"""Whether a store serves, and everything that an error shows."""

from __future__ import annotations

import traceback
from typing import Any


async def serves(store: Any) -> bool:
    """Whether the store, which is closed afterwards, returns an entry that it has just stored."""
    async with store:
        await store.put("key", {"n": 1})
        return await store.get("key") == {"n": 1}


def text_of(error: BaseException) -> str:
    """The repr and the traceback, with the causes."""
    return f"{error!r} {''.join(traceback.format_exception(type(error), error, error.__traceback__))}"
