"""A wrapper that passes everything through and hides nothing."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, SupportsFloat, TypeVar

from key_value.aio.core.capabilities import Capabilities
from key_value.aio.errors import KeyValueStoreError
from key_value.aio.protocols import (
    AsyncCullProtocol,
    AsyncDestroyCollectionProtocol,
    AsyncDestroyStoreProtocol,
    AsyncEnumerateCollectionsProtocol,
    AsyncEnumerateKeysProtocol,
    AsyncKeyValue,
)

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["BaseWrapper", "with_ability"]

Ability = TypeVar("Ability")

_ABILITIES = {
    AsyncEnumerateKeysProtocol: "keys",
    AsyncEnumerateCollectionsProtocol: "collections",
    AsyncDestroyStoreProtocol: "destroy",
    AsyncDestroyCollectionProtocol: "destroy_collection",
    AsyncCullProtocol: "cull",
}


class BaseWrapper(AsyncKeyValue):
    """A store around `key_value`, the inner one, which is any object with the eight methods.

    An optional protocol is satisfied exactly when the inner store satisfies it: the public method of an ability is an
    attribute of the instance, bound to the private one of the same name that a subclass may override. Lifecycle and
    capabilities are the inner store's.
    """

    key_value: AsyncKeyValue

    def __init__(self, key_value: AsyncKeyValue | None = None) -> None:
        """Wrap the store. A subclass may instead set `key_value` itself, before or after."""
        if key_value is not None:
            self.key_value = key_value

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "key_value":
            self._show_abilities(value)

    def _show_abilities(self, *stores: AsyncKeyValue) -> None:
        """Make public the abilities that all of the inner stores have, and no others."""
        for protocol, ability in _ABILITIES.items():
            if all(isinstance(store, protocol) for store in stores):
                super().__setattr__(ability, getattr(self, f"_{ability}"))
            else:
                vars(self).pop(ability, None)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.key_value!r})"

    @property
    def capabilities(self) -> Capabilities:
        return getattr(self.key_value, "capabilities", Capabilities())

    # Lifecycle

    async def setup(self) -> None:
        """Open the inner store now instead of at its first use."""
        setup = getattr(self.key_value, "setup", None)
        if setup is not None:
            await setup()

    async def close(self) -> None:
        """Close the inner store."""
        close = getattr(self.key_value, "close", None)
        if close is not None:
            await close()

    async def __aenter__(self) -> "Self":
        await self.setup()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # The eight methods

    async def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
        return await self.key_value.get(key, collection=collection)

    async def ttl(self, key: str, *, collection: str | None = None) -> tuple[dict[str, Any] | None, float | None]:
        return await self.key_value.ttl(key, collection=collection)

    async def put(
        self,
        key: str,
        value: Mapping[str, Any],
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> None:
        return await self.key_value.put(key, value, collection=collection, ttl=ttl)

    async def delete(self, key: str, *, collection: str | None = None) -> bool:
        return await self.key_value.delete(key, collection=collection)

    async def get_many(self, keys: Sequence[str], *, collection: str | None = None) -> list[dict[str, Any] | None]:
        return await self.key_value.get_many(keys, collection=collection)

    async def ttl_many(
        self, keys: Sequence[str], *, collection: str | None = None
    ) -> list[tuple[dict[str, Any] | None, float | None]]:
        return await self.key_value.ttl_many(keys, collection=collection)

    async def put_many(
        self,
        keys: Sequence[str],
        values: Sequence[Mapping[str, Any]],
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> None:
        return await self.key_value.put_many(keys, values, collection=collection, ttl=ttl)

    async def delete_many(self, keys: Sequence[str], *, collection: str | None = None) -> int:
        return await self.key_value.delete_many(keys, collection=collection)

    # The abilities, public where the inner store has them

    async def _keys(self, collection: str | None = None, *, limit: int | None = None) -> list[str]:
        return await self._inner(AsyncEnumerateKeysProtocol).keys(collection, limit=limit)

    async def _collections(self, *, limit: int | None = None) -> list[str]:
        return await self._inner(AsyncEnumerateCollectionsProtocol).collections(limit=limit)

    async def _destroy(self) -> bool:
        return await self._inner(AsyncDestroyStoreProtocol).destroy()

    async def _destroy_collection(self, collection: str) -> bool:
        return await self._inner(AsyncDestroyCollectionProtocol).destroy_collection(collection)

    async def _cull(self) -> None:
        await self._inner(AsyncCullProtocol).cull()

    def _inner(self, protocol: type[Ability]) -> Ability:
        """The inner store as one that has the ability. Raises KeyValueStoreError when it has not."""
        return with_ability(self.key_value, protocol)


def with_ability(store: AsyncKeyValue, protocol: type[Ability]) -> Ability:
    """The store as one that has the ability. Raises KeyValueStoreError when it has not."""
    if not isinstance(store, protocol):
        message = f"{store!r} does not satisfy {protocol.__name__}"
        raise KeyValueStoreError(message)
    return store
