"""PrefixKeysWrapper: a prefix for keys."""

from contextlib import aclosing

from key_value.aio.core.names import checked_name, collection_prefix, split_names
from key_value.aio.core.type_checks import checked_limit, warn_types
from key_value.aio.core.wrappers import BaseNameWrapper
from key_value.aio.errors import InvalidKeyError
from key_value.aio.protocols import AsyncKeyValue

__all__ = ["SEPARATOR", "PrefixKeysWrapper", "checked_prefix"]

SEPARATOR = "__"


class PrefixKeysWrapper(BaseNameWrapper):
    """Stores each key as `prefix__key`, and sees only the keys with its prefix: one tenant of a shared store.

    A prefix that contains `__` or ends in `_` is escaped, so that two prefixes never share a key.
    """

    @warn_types
    def __init__(self, key_value: AsyncKeyValue, prefix: str) -> None:
        """Raises ValueError for a prefix that is empty or not a valid name."""
        self.prefix: str = checked_prefix(prefix)
        self._escaped_prefix = collection_prefix(prefix, SEPARATOR)
        super().__init__(key_value)

    def _inner_key(self, key: str, collection: str | None) -> str:  # noqa: ARG002 — the same in all collections
        return self._escaped_prefix + key

    def _inner_prefix(self, prefix: str, collection: str | None) -> str:  # noqa: ARG002
        return self._escaped_prefix + prefix

    def _outer_key(self, inner_key: str, collection: str | None) -> str | None:  # noqa: ARG002
        names = split_names(inner_key, SEPARATOR)
        return names[1] if names is not None and names[0] == self.prefix else None

    async def _collections(self, *, limit: int | None = None) -> list[str]:
        """Return the collections with a key with the prefix. Reads the first such key of each collection."""
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
        message = f"{what} must be a string of 1 to 65536 bytes in UTF-8"
        raise ValueError(message) from exc
