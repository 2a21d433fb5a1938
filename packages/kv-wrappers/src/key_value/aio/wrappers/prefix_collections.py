"""PrefixCollectionsWrapper: a prefix for the names of collections."""

from key_value.aio.core.names import checked_name, collection_prefix, split_names
from key_value.aio.core.type_checks import warn_types
from key_value.aio.core.wrappers import BaseNameWrapper
from key_value.aio.protocols import AsyncDestroyCollectionProtocol, AsyncKeyValue
from key_value.aio.stores.base import DEFAULT_COLLECTION_NAME
from key_value.aio.wrappers.prefix_keys import SEPARATOR, checked_prefix

__all__ = ["PrefixCollectionsWrapper"]


class PrefixCollectionsWrapper(BaseNameWrapper):
    """Stores each collection as `prefix__collection`, and sees only the collections with its prefix.

    A prefix that contains `__` or ends in `_` is escaped, so that two prefixes never share a collection.
    """

    @warn_types
    def __init__(self, key_value: AsyncKeyValue, prefix: str, default_collection: str | None = None) -> None:
        """`default_collection` is the collection used for `collection=None`; None means "default_collection".

        Raises ValueError for a prefix or default collection that is empty or not a valid name.
        """
        self.prefix: str = checked_prefix(prefix)
        self._default_collection = (
            DEFAULT_COLLECTION_NAME
            if default_collection is None
            else checked_prefix(default_collection, "default_collection")
        )
        self._escaped_prefix = collection_prefix(prefix, SEPARATOR)
        super().__init__(key_value)

    @property
    def default_collection(self) -> str:
        return self._default_collection

    def _inner_prefix(self, prefix: str, collection: str | None) -> str:  # noqa: ARG002 — keys are not changed
        return prefix

    def _inner_collection(self, collection: str | None) -> str | None:
        return self._escaped_prefix + (self._default_collection if collection is None else collection)

    def _outer_collection(self, inner_collection: str) -> str | None:
        names = split_names(inner_collection, SEPARATOR)
        return names[1] if names is not None and names[0] == self.prefix else None

    async def _destroy_collection(self, collection: str) -> bool:
        inner_collection = self._inner_collection(checked_name(collection, "collection"))
        return await self._inner(AsyncDestroyCollectionProtocol).destroy_collection(str(inner_collection))
