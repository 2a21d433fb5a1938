"""Wrappers that map names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from key_value.aio.stores.memory import MemoryStore
from key_value.aio.testing import StoreTests, WrapperTests
from key_value.aio.wrappers.prefix_collections import PrefixCollectionsWrapper
from key_value.aio.wrappers.prefix_keys import PrefixKeysWrapper
from key_value.aio.wrappers.single_collection import SingleCollectionWrapper
from typing_extensions import override

if TYPE_CHECKING:
    from key_value.aio.protocols import AsyncKeyValue

NAMES = st.text(st.sampled_from("_%5F:ab"), min_size=1, max_size=6)


class TestPrefixKeysWrapper(WrapperTests):
    @override
    def wrap(self, store: AsyncKeyValue) -> AsyncKeyValue:
        return PrefixKeysWrapper(store, "t1__x")


class TestPrefixCollectionsWrapper(WrapperTests):
    @override
    def wrap(self, store: AsyncKeyValue) -> AsyncKeyValue:
        return PrefixCollectionsWrapper(store, "t1__x")


class TestSingleCollectionWrapper(WrapperTests):
    @override
    def wrap(self, store: AsyncKeyValue) -> AsyncKeyValue:
        return SingleCollectionWrapper(store, "one")


class TestStoreWithOneCollection(StoreTests[SingleCollectionWrapper]):
    example = SingleCollectionWrapper(MemoryStore(), "one")
    max_name_bytes = 10_000  # both names are joined, and an escaped byte takes three

    @pytest.fixture
    def store(self) -> SingleCollectionWrapper:
        return SingleCollectionWrapper(MemoryStore(), "one")


async def test_names_match_the_first_format() -> None:
    inner = MemoryStore()
    await PrefixKeysWrapper(inner, "p").put("k", {"n": 1}, collection="c")
    await PrefixCollectionsWrapper(inner, "p").put("k", {"n": 2}, collection="c")
    await PrefixCollectionsWrapper(inner, "p").put("k", {"n": 3})
    await PrefixCollectionsWrapper(inner, "q", "d").put("k", {"n": 4})
    await SingleCollectionWrapper(inner, "one").put("k", {"n": 5}, collection="c")
    await SingleCollectionWrapper(inner, "one").put("k", {"n": 6})
    await SingleCollectionWrapper(inner, "two", "d", "|").put("k", {"n": 7})
    stored = {
        (c, k): (await inner.get(k, collection=c) or {})["n"]
        for c in await inner.collections()
        for k in await inner.keys(c)
    }
    assert stored == {
        ("c", "p__k"): 1,
        ("p__c", "k"): 2,
        ("p__default_collection", "k"): 3,
        ("q__d", "k"): 4,
        ("one", "c__k"): 5,
        ("one", "default_collection__k"): 6,
        ("two", "d|k"): 7,
    }


async def test_similar_prefixes_never_collide() -> None:
    inner = MemoryStore()
    one: Any = PrefixKeysWrapper(inner, "t1")
    other: Any = PrefixKeysWrapper(inner, "t1__x")
    await one.put("x__k", {"of": "one"})
    await other.put("k", {"of": "other"})
    assert await one.get("x__k") == {"of": "one"}
    assert await other.get("k") == {"of": "other"}
    assert (await one.keys(), await other.keys()) == (["x__k"], ["k"])
    assert await other.destroy_collection("default_collection") is True
    assert await one.keys() == ["x__k"]


@given(st.lists(st.tuples(NAMES, NAMES), min_size=2, max_size=2, unique=True))
def test_two_pairs_of_a_prefix_and_a_name_never_collide(pairs: list[tuple[str, str]]) -> None:
    names: list[Any] = [
        PrefixKeysWrapper(MemoryStore(), prefix)._inner_key(name, None)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        for prefix, name in pairs
    ]
    assert names[0] != names[1]


async def test_destroying_removes_only_entries_with_the_prefix() -> None:
    inner = MemoryStore()
    await inner.put("k", {}, collection="others")
    wrappers: list[Any] = [PrefixKeysWrapper(inner, "p"), PrefixCollectionsWrapper(inner, "p")]
    for wrapper in wrappers:
        await wrapper.put("k", {}, collection="c")
        await wrapper.destroy()
        assert await inner.collections() == ["others"]


@pytest.mark.parametrize("prefix", ["", "n" * 65_537, "\ud800"])
def test_a_prefix_that_is_not_a_valid_name_is_a_value_error(prefix: str) -> None:
    for make in (PrefixKeysWrapper, PrefixCollectionsWrapper, SingleCollectionWrapper):
        with pytest.raises(ValueError, match="must be a string of 1 to 65536 bytes in UTF-8"):
            make(MemoryStore(), prefix)


@pytest.mark.parametrize("separator", ["", "%", "a1", "F"])
def test_a_separator_with_characters_used_in_escapes_is_a_value_error(separator: str) -> None:
    with pytest.raises(ValueError, match="separator must"):
        SingleCollectionWrapper(MemoryStore(), "one", separator=separator)
