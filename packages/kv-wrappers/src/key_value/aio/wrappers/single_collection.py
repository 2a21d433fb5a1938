"""All collections in one."""

from itertools import islice

from key_value.aio.core.names import collection_prefix, split_names
from key_value.aio.core.type_checks import checked_limit, warn_types
from key_value.aio.core.wrappers import BaseNameWrapper
from key_value.aio.protocols import AsyncEnumerateKeysProtocol, AsyncKeyValue
from key_value.aio.stores.base import DEFAULT_COLLECTION_NAME
from key_value.aio.wrappers.prefix_keys import SEPARATOR, checked_prefix

__all__ = ["SingleCollectionWrapper"]

# What escapes are made of: with it in a separator, an escaped collection could end anywhere.
_RESERVED = frozenset("%0123456789ABCDEF")


class SingleCollectionWrapper(BaseNameWrapper):
    """Stores the key of a collection as `collection__key` in the one inner collection, for stores that have few.

    A collection that holds the separator, or ends like its beginning, is escaped: no two pairs of names ever meet.
    """

    @warn_types
    def __init__(
        self,
        key_value: AsyncKeyValue,
        single_collection: str,
        default_collection: str | None = None,
        separator: str | None = None,
    ) -> None:
        """`default_collection` stands in for `collection=None`; None means "default_collection".

        Raises ValueError for a collection that cannot be one, and for a `separator` that is empty or holds `%`, a digit
        or one of the letters A to F; None is `__`.
        """
        self.single_collection = checked_prefix(single_collection, "single_collection")
        self.default_collection = (
            DEFAULT_COLLECTION_NAME
            if default_collection is None
            else checked_prefix(default_collection, "default_collection")
        )
        self.separator = SEPARATOR if separator is None else checked_prefix(separator, "separator")
        if not _RESERVED.isdisjoint(self.separator):
            message = "separator must not hold %, digits or the letters A to F"
            raise ValueError(message)
        super().__init__(key_value)

    def _inner_collection(self, collection: str | None) -> str | None:  # noqa: ARG002 — the same for all
        return self.single_collection

    def _inner_key(self, key: str, collection: str | None) -> str:
        return collection_prefix(self._named(collection), self.separator) + key

    def _outer_key(self, inner_key: str, collection: str | None) -> str | None:
        names = split_names(inner_key, self.separator)
        return names[1] if names is not None and names[0] == self._named(collection) else None

    async def _collections(self, *, limit: int | None = None) -> list[str]:
        checked_limit(limit)
        inner_keys = await self._inner(AsyncEnumerateKeysProtocol).keys(self.single_collection)
        names = (split_names(inner_key, self.separator) for inner_key in inner_keys)
        return list(islice(dict.fromkeys(pair[0] for pair in names if pair is not None), limit))

    def _named(self, collection: str | None) -> str:
        return self.default_collection if collection is None else collection
