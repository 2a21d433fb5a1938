"""pytest collects exactly the tests that apply to the store."""

from __future__ import annotations

from typing import Any

import pytest
from key_value.aio.core.wrappers import BaseWrapper
from key_value.aio.stores.memory import MemoryStore
from key_value.aio.stores.null import NullStore
from key_value.aio.testing import StoreTests
from key_value.aio.testing.contract import StoreContract
from key_value.aio.testing.inner_stores import PlainStore
from key_value.aio.testing.scan import ScanTests
from key_value.aio.testing.selection import check_selection
from key_value.aio.testing.values import ValueTests
from typing_extensions import override


class OfAClass(StoreTests[PlainStore]):
    pass


class OfAnUnknownStore(StoreTests[Any]):
    pass


class OfAWrapper(StoreTests[BaseWrapper]):
    pass


class OfAnExample(StoreTests[BaseWrapper]):
    example = BaseWrapper(PlainStore())


class WithAHelper(OfAClass):
    @override
    async def read_stored(self, store: PlainStore, collection: str, key: str) -> str | None:
        return None


class Helped(StoreContract[Any]):
    @override
    async def read_stored(self, store: Any, collection: str, key: str) -> str | None:
        return None


class WithAnInheritedHelper(Helped, ValueTests[PlainStore]):
    pass


class WithADisabledTest(OfAClass):
    test_the_last_put_wins = None  # pyright: ignore[reportAssignmentType] — disabled by its author


def collected(tests: type[Any], name: str) -> bool:
    return callable(getattr(tests, name))


@pytest.mark.parametrize("tests", [OfAClass, OfAnExample])
def test_a_test_of_an_ability_that_the_store_lacks_is_not_collected(tests: type[Any]) -> None:
    assert not collected(tests, "test_keys_lists_every_key_of_a_collection")
    assert not collected(tests, "test_increments_of_many_tasks_add_up")
    assert collected(tests, "test_the_last_put_wins")


def test_a_test_of_a_capability_that_an_example_does_not_declare_is_not_collected() -> None:
    name = "test_the_backends_own_expiry_is_not_early"
    assert [collected(tests, name) for tests in (OfAnExample, OfAClass)] == [False, True]


@pytest.mark.parametrize("tests", [OfAnUnknownStore, OfAWrapper])
def test_every_test_is_collected_if_the_stores_abilities_are_unknown(tests: type[Any]) -> None:
    assert collected(tests, "test_keys_lists_every_key_of_a_collection")


def test_a_test_that_needs_a_helper_is_collected_if_the_helper_is_overridden() -> None:
    name = "test_the_backend_holds_what_was_put"
    assert [collected(tests, name) for tests in (OfAClass, WithAHelper, WithAnInheritedHelper)] == [False, True, True]


def test_a_test_disabled_by_its_author_stays_disabled() -> None:
    class Subclass(WithADisabledTest):
        pass

    assert Subclass.test_the_last_put_wins is None


def test_a_collected_test_is_skipped_if_the_store_lacks_its_requirements() -> None:
    test = OfAnUnknownStore.test_keys_lists_every_key_of_a_collection
    with pytest.raises(pytest.skip.Exception, match="implements AsyncEnumerateKeysProtocol"):
        check_selection(OfAnUnknownStore, test, NullStore())
    check_selection(OfAnUnknownStore, test, MemoryStore())


def test_a_store_of_another_class_than_selected_for_fails_every_test() -> None:
    with pytest.raises(pytest.fail.Exception, match="OfAClass was selected for another store than MemoryStore"):
        check_selection(OfAClass, OfAClass.test_the_last_put_wins, MemoryStore())


def test_a_failure_names_the_contract_and_the_expectation() -> None:
    class Tests(ScanTests[MemoryStore]):
        pass

    class Forgetful(MemoryStore):
        async def _get_collection_keys(self, *, collection: str, limit: int | None = None) -> list[str]:
            return (await super()._get_collection_keys(collection=collection, limit=limit))[1:]

    with pytest.raises(AssertionError) as failure:
        getattr(Tests(), "test_an_empty_prefix_is_that_of_every_key")(store=Forgetful())  # noqa: B009
    first = str(failure.value).splitlines()[0]
    assert first.startswith("Pages of keys: a scan finds every live key")
    assert first.endswith("Expected: an empty prefix is that of every key.")
    with pytest.raises(AssertionError, match=r"(?s)Pages of keys.*Expected: a page of no keys.*\[0\] DID NOT RAISE"):
        getattr(Tests(), "test_a_page_of_no_keys_is_refused")(store=TakesAnyLimit())  # noqa: B009


class TakesAnyLimit(MemoryStore):
    async def scan(self, collection: str | None = None, *, limit: int = 1000, **options: Any) -> Any:
        return await super().scan(collection, limit=limit or 1, **options)
