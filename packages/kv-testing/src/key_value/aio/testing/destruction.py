"""Destroying and culling: only entries of this store are removed."""

from key_value.aio.protocols import (
    AsyncCullProtocol,
    AsyncDestroyCollectionProtocol,
    AsyncDestroyStoreProtocol,
    AsyncEnumerateKeysProtocol,
)
from key_value.aio.testing.clock import FakeClock
from key_value.aio.testing.contract import StoreContract, StoreT, ability
from key_value.aio.testing.names import NASTY_NAMES
from key_value.aio.testing.selection import declares_no, helper, needs
from key_value.aio.testing.tables import for_each

__all__ = ["DestructionTests"]

ALIKE = [
    "shelf",
    "shelf2",
    "shel",
    "shelf:",
    "shelf::",
    "shelf::a",
    "Shelf",
    "shelf*",
    "s?elf",
    "shelf__a",
    "shelf/a",
    "*",
]


class DestructionTests(StoreContract[StoreT]):
    @needs(AsyncDestroyStoreProtocol)
    async def test_destroy_removes_every_entry(self, store: StoreT) -> None:
        destroyable = ability(store, AsyncDestroyStoreProtocol)
        await store.put("a", {"n": 1})
        await store.put_many(NASTY_NAMES, [{"n": 1}] * len(NASTY_NAMES), collection="shelf")
        assert await destroyable.destroy() is True
        assert await store.get("a") is None
        assert await store.get_many(NASTY_NAMES, collection="shelf") == [None] * len(NASTY_NAMES)

    @needs(AsyncDestroyStoreProtocol, helper("read_stored"))
    async def test_destroy_leaves_nothing_in_the_backend(self, store: StoreT) -> None:
        destroyable = ability(store, AsyncDestroyStoreProtocol)
        await store.put("a", {"n": 1}, collection="shelf")
        await destroyable.destroy()
        assert await self.read_stored(store, "shelf", "a") is None

    @needs(AsyncDestroyStoreProtocol, helper("put_foreign"), helper("has_foreign"))
    async def test_destroy_leaves_what_others_wrote(self, store: StoreT) -> None:
        destroyable = ability(store, AsyncDestroyStoreProtocol)
        await store.put("a", {"n": 1})
        await self.put_foreign(store)
        await destroyable.destroy()
        assert await self.has_foreign(store)

    @needs(AsyncDestroyStoreProtocol)
    async def test_a_destroyed_store_is_usable(self, store: StoreT) -> None:
        destroyable = ability(store, AsyncDestroyStoreProtocol)
        await store.put("a", {"n": 1}, collection="shelf")
        await destroyable.destroy()
        assert await store.get("a", collection="shelf") is None
        await store.put("a", {"n": 2}, collection="shelf")
        assert await store.get("a", collection="shelf") == {"n": 2}

    @needs(AsyncDestroyStoreProtocol)
    async def test_an_empty_store_can_be_destroyed(self, store: StoreT) -> None:
        destroyable = ability(store, AsyncDestroyStoreProtocol)
        assert await destroyable.destroy() is True
        assert await destroyable.destroy() is True
        await store.put("a", {"n": 1})
        assert await store.get("a") == {"n": 1}

    @needs(AsyncDestroyCollectionProtocol)
    @for_each("doomed", ALIKE)
    async def test_destroying_a_collection_leaves_those_that_look_alike(self, store: StoreT, doomed: str) -> None:
        destroyable = ability(store, AsyncDestroyCollectionProtocol)
        for collection in ALIKE:
            await store.put("a", {"collection": collection}, collection=collection)
        assert await destroyable.destroy_collection(doomed) is True
        found = {collection: await store.get("a", collection=collection) for collection in ALIKE}
        assert found == {name: None if name == doomed else {"collection": name} for name in ALIKE}

    @needs(AsyncDestroyCollectionProtocol)
    async def test_destroying_an_empty_collection_removes_nothing(self, store: StoreT) -> None:
        destroyable = ability(store, AsyncDestroyCollectionProtocol)
        await store.put("a", {"n": 1}, collection="shelf")
        assert await destroyable.destroy_collection("absent") is False
        assert await store.get("a", collection="shelf") == {"n": 1}

    @needs(AsyncDestroyCollectionProtocol)
    async def test_a_destroyed_collection_is_usable(self, store: StoreT) -> None:
        destroyable = ability(store, AsyncDestroyCollectionProtocol)
        await store.put("a", {"n": 1}, collection="shelf")
        await destroyable.destroy_collection("shelf")
        assert await store.get("a", collection="shelf") is None
        await store.put("a", {"n": 2}, collection="shelf")
        assert await store.get("a", collection="shelf") == {"n": 2}

    @needs(AsyncDestroyCollectionProtocol, AsyncEnumerateKeysProtocol)
    async def test_a_destroyed_collection_has_no_keys(self, store: StoreT) -> None:
        destroyable = ability(store, AsyncDestroyCollectionProtocol)
        enumerable = ability(store, AsyncEnumerateKeysProtocol)
        await store.put_many(NASTY_NAMES[:20], [{"n": 1}] * 20, collection="shelf")
        await destroyable.destroy_collection("shelf")
        assert await enumerable.keys("shelf") == []

    @needs(AsyncCullProtocol)
    async def test_culling_leaves_what_has_not_expired(self, store: StoreT, clock: FakeClock) -> None:
        cullable = ability(store, AsyncCullProtocol)
        await store.put("expired", {"n": 1}, ttl=100)
        await store.put("live", {"n": 2}, ttl=300)
        await store.put("forever", {"n": 3})
        clock.advance(200)
        await cullable.cull()
        assert await store.get_many(["expired", "live", "forever"]) == [None, {"n": 2}, {"n": 3}]

    @needs(AsyncCullProtocol, helper("read_stored"), declares_no("native_expiry"))
    async def test_culling_frees_what_has_expired(self, store: StoreT, clock: FakeClock) -> None:
        cullable = ability(store, AsyncCullProtocol)
        await store.put("expired", {"n": 1}, collection="shelf", ttl=100)
        clock.advance(200)
        await cullable.cull()
        assert await self.read_stored(store, "shelf", "expired") is None
