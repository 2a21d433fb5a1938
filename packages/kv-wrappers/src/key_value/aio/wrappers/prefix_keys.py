"""Keys that begin with a prefix."""

from contextlib import aclosing

from key_value.aio.core.names import checked_name, collection_prefix, split_names
from key_value.aio.core.type_checks import checked_limit, warn_types
from key_value.aio.core.wrappers import BaseNameWrapper
from key_value.aio.errors import InvalidKeyError
from key_value.aio.protocols import AsyncKeyValue

__all__ = ["SEPARATOR", "PrefixKeysWrapper", "checked_prefix"]

SEPARATOR = "__"


class PrefixKeysWrapper(BaseNameWrapper):
    """Stores each key as `prefix__key`, and knows only such keys: one tenant of a shared store.

    A prefix that contains `__` or ends in `_` is escaped, so that two prefixes never lead to the same key.
    """

    @warn_types
    def __init__(self, key_value: AsyncKeyValue, prefix: str) -> None:
        """Raises ValueError for a prefix that is empty or cannot begin a key."""
        self.prefix: str = checked_prefix(prefix)
        self._head = collection_prefix(prefix, SEPARATOR)
        super().__init__(key_value)

    def _inner_key(self, key: str, collection: str | None) -> str:  # noqa: ARG002 — the same in all of them
        return self._head + key

    def _inner_prefix(self, prefix: str, collection: str | None) -> str:  # noqa: ARG002
        return self._head + prefix

    def _outer_key(self, inner_key: str, collection: str | None) -> str | None:  # noqa: ARG002
        names = split_names(inner_key, SEPARATOR)
        return names[1] if names is not None and names[0] == self.prefix else None

    async def _collections(self, *, limit: int | None = None) -> list[str]:
        """Those that hold one of its keys; each is asked for its first."""
        checked_limit(limit)
        found: list[str] = []
        for collection in await super()._collections():
            if len(found) == limit:
                break
            async with aclosing(self._iterate(collection)) as keys:
                if await anext(keys, None) is not None:
                    found.append(collection)
        return found


def checked_prefix(prefix: str, what: str = "prefix") -> str:
    try:
        return checked_name(prefix, what)
    except InvalidKeyError as exc:
        message = f"{what} must be a text of 1 to 65536 bytes in UTF-8"
        raise ValueError(message) from exc
