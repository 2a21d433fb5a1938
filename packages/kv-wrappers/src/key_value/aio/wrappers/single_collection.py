"""SingleCollectionWrapper: all collections in one."""

from contextlib import aclosing

from key_value.aio.core.iteration import iterate_keys
from key_value.aio.core.names import collection_prefix, split_names
from key_value.aio.core.type_checks import checked_limit, warn_types
from key_value.aio.core.wrappers import BaseNameWrapper
from key_value.aio.protocols import AsyncKeyValue
from key_value.aio.stores.base import DEFAULT_COLLECTION_NAME
from key_value.aio.wrappers.prefix_keys import SEPARATOR, checked_prefix

__all__ = ["SingleCollectionWrapper"]

# The characters of escape sequences: a separator that contained one would make escaped names ambiguous.
_RESERVED = frozenset("%0123456789ABCDEF")


class SingleCollectionWrapper(BaseNameWrapper):
    """Stores all collections in one inner collection, with keys `collection__key`, for stores with few collections.

    A collection that contains the separator, or ends with the start of it, is escaped, so that stored keys never
    collide.
    """

    @warn_types
    def __init__(
        self,
        key_value: AsyncKeyValue,
        single_collection: str,
        default_collection: str | None = None,
        separator: str | None = None,
    ) -> None:
        """`default_collection` is the collection used for `collection=None`; None means "default_collection".

        Raises ValueError for an invalid collection, and for a `separator` that is empty or contains `%`, a digit or one
        of the letters A to F; None means `__`.
        """
        self.single_collection: str = checked_prefix(single_collection, "single_collection")
        self._default_collection = (
            DEFAULT_COLLECTION_NAME
            if default_collection is None
            else checked_prefix(default_collection, "default_collection")
        )
        self.separator: str = SEPARATOR if separator is None else checked_prefix(separator, "separator")
        if not _RESERVED.isdisjoint(self.separator):
            message = "separator must not contain %, digits or the letters A to F"
            raise ValueError(message)
        super().__init__(key_value)

    @property
    def default_collection(self) -> str:
        return self._default_collection

    def _inner_collection(self, collection: str | None) -> str | None:  # noqa: ARG002 — the same for all
        return self.single_collection

    def _inner_key(self, key: str, collection: str | None) -> str:
        return collection_prefix(self._collection_name(collection), self.separator) + key

    def _inner_prefix(self, prefix: str, collection: str | None) -> str:
        return collection_prefix(self._collection_name(collection), self.separator) + prefix

    def _outer_key(self, inner_key: str, collection: str | None) -> str | None:
        names = split_names(inner_key, self.separator)
        return names[1] if names is not None and names[0] == self._collection_name(collection) else None

    async def _collections(self, *, limit: int | None = None) -> list[str]:
        collections: dict[str, None] = {}
        if checked_limit(limit) == 0:
            return []
        async with aclosing(iterate_keys(self.key_value, self.single_collection)) as inner_keys:
            async for inner_key in inner_keys:
                names = split_names(inner_key, self.separator)
                if names is not None:
                    collections[names[0]] = None
                if len(collections) == limit:
                    break
        return list(collections)

    def _collection_name(self, collection: str | None) -> str:
        return self._default_collection if collection is None else collection
