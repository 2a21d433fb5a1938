"""The kit passes sound wrappers and notices each defect of the broken ones."""

from collections.abc import Mapping
from typing import Any, cast

import pytest
from key_value.aio.core.capabilities import Capabilities
from key_value.aio.core.wrappers import BaseCallWrapper, BaseNameWrapper, BaseValueWrapper, BaseWrapper
from key_value.aio.errors import ReadOnlyError, StoreConnectionError
from key_value.aio.protocols import AsyncEnumerateKeysProtocol, AsyncKeyValue
from key_value.aio.stores.memory import MemoryStore
from key_value.aio.testing import StoreTests, WrapperTests
from key_value.aio.testing.inner_stores import FullStore, PlainStore
from key_value.aio.testing.stateful import check_against_dict
from key_value.aio.testing.wrapper import EVERY_CALL
from typing_extensions import Self

SECRET = "hunter2"  # noqa: S105


class Prefixed(BaseNameWrapper):
    def _inner_key(self, key: str, collection: str | None) -> str:
        del collection
        return f"prefix__{key}"

    def _outer_key(self, inner_key: str, collection: str | None) -> str | None:
        del collection
        return inner_key.removeprefix("prefix__") if inner_key.startswith("prefix__") else None


class Wrapped(BaseValueWrapper):
    def _inner_value(self, value: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"wrapped": dict(value)}

    def _outer_value(self, inner_value: dict[str, Any]) -> dict[str, Any]:
        return inner_value["wrapped"]


class ReadOnly(BaseCallWrapper):
    async def _around(self, call: Any, operation: Any) -> Any:
        if call.method not in {"get", "ttl", "get_many", "ttl_many", "keys", "collections"}:
            raise ReadOnlyError(call.method)
        return await operation()


class TestBaseWrapper(WrapperTests):
    def wrap(self, store: AsyncKeyValue) -> AsyncKeyValue:
        return BaseWrapper(store)


class TestNameWrapper(WrapperTests):
    def wrap(self, store: AsyncKeyValue) -> AsyncKeyValue:
        return Prefixed(store)


class TestValueWrapper(WrapperTests):
    secrets = (SECRET,)

    def wrap(self, store: AsyncKeyValue) -> AsyncKeyValue:
        return Wrapped(store)


class TestCallWrapper(WrapperTests):
    def wrap(self, store: AsyncKeyValue) -> AsyncKeyValue:
        return BaseCallWrapper(store)


class TestReadOnlyWrapper(WrapperTests):
    read_only = True

    def wrap(self, store: AsyncKeyValue) -> AsyncKeyValue:
        return ReadOnly(store)


class TestStoreBehindWrappers(StoreTests[AsyncKeyValue]):
    max_name_bytes = 65_536 - len("prefix__")

    @pytest.fixture
    def store(self) -> AsyncKeyValue:
        return BaseCallWrapper(BaseValueWrapper(Prefixed(MemoryStore())))


def test_a_store_behind_wrappers_behaves_like_a_dict() -> None:
    check_against_dict(lambda: BaseCallWrapper(BaseValueWrapper(Prefixed(MemoryStore()))))


class HasKeysInAnyCase(BaseWrapper):
    async def keys(self, collection: str | None = None, *, limit: int | None = None) -> list[str]:
        return await self._keys(collection, limit=limit)


class HidesEveryAbility(BaseWrapper):
    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)


class ForgetsCapabilities(BaseWrapper):
    capabilities = Capabilities()  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]


class DoesNotClose(BaseWrapper):
    async def close(self) -> None:
        pass


class EntersWithoutSetup(BaseWrapper):
    async def __aenter__(self) -> Self:
        return self


class NeedsAStoreOfOurs(BaseWrapper):
    async def setup(self) -> None:
        await cast("Any", self.key_value).setup()


class ForgetsTheCollection(BaseWrapper):
    async def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
        found = await self.key_value.get(key, collection=collection)
        return found or await self.key_value.get(key, collection="shelf")


class ForgetsTheTtl(BaseWrapper):
    async def put(self, key: str, value: Mapping[str, Any], **options: Any) -> None:
        await self.key_value.put(key, value, collection=options.get("collection"))


class ChangesTheCallersValue(BaseValueWrapper):
    def _inner_value(self, value: Mapping[str, Any]) -> Mapping[str, Any]:
        cast("dict[str, Any]", value)["stamp"] = 1
        return value

    def _outer_value(self, inner_value: dict[str, Any]) -> dict[str, Any]:
        return {name: part for name, part in inner_value.items() if name != "stamp"}


class ListsInnerNames(Prefixed):
    def _outer_key(self, inner_key: str, collection: str | None) -> str | None:
        del collection
        return inner_key


class SwallowsErrors(BaseCallWrapper):
    async def _around(self, call: Any, operation: Any) -> Any:
        del call
        try:
            return await operation()
        except StoreConnectionError:
            return None


class ReplacesErrors(BaseCallWrapper):
    async def _around(self, call: Any, operation: Any) -> Any:
        try:
            return await operation()
        except StoreConnectionError as error:
            raise StoreConnectionError(call.method) from error


class IsFalse(BaseWrapper):
    def __bool__(self) -> bool:
        return False


class ShowsItsSecret(BaseWrapper):
    def __repr__(self) -> str:
        return f"ShowsItsSecret({SECRET})"


ABILITIES = "test_a_wrapper_has_the_abilities_of_the_inner_store"
ERRORS = "test_an_error_of_the_inner_store_comes_out_as_it_is"

BROKEN: dict[type[BaseWrapper], tuple[str, dict[str, Any]]] = {
    HasKeysInAnyCase: (ABILITIES, {"inner": PlainStore, "protocol": AsyncEnumerateKeysProtocol}),
    HidesEveryAbility: (ABILITIES, {"inner": FullStore, "protocol": AsyncEnumerateKeysProtocol}),
    ForgetsCapabilities: ("test_capabilities_are_those_of_the_inner_store", {}),
    DoesNotClose: ("test_setup_and_close_reach_the_inner_store", {}),
    EntersWithoutSetup: ("test_a_context_opens_and_closes_the_inner_store", {}),
    NeedsAStoreOfOurs: ("test_any_object_with_the_eight_methods_can_be_wrapped", {}),
    ForgetsTheCollection: ("test_a_collection_is_kept_apart_from_others", {}),
    ForgetsTheTtl: ("test_a_ttl_reaches_the_inner_store", {}),
    ChangesTheCallersValue: ("test_the_values_of_the_caller_are_left_as_they_are", {}),
    ListsInnerNames: ("test_keys_are_listed_as_they_were_put", {}),
    SwallowsErrors: (ERRORS, {"call": EVERY_CALL["get"]}),
    ReplacesErrors: (ERRORS, {"call": EVERY_CALL["keys"]}),
    IsFalse: ("test_a_wrapper_is_a_store", {}),
    ShowsItsSecret: ("test_a_repr_shows_no_secret", {}),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_wrapper_fails_the_test_of_what_it_breaks(broken: type[BaseWrapper]) -> None:
    class Tests(WrapperTests):
        secrets = (SECRET,)

        def wrap(self, store: AsyncKeyValue) -> AsyncKeyValue:
            return broken(store)

    test, arguments = BROKEN[broken]
    with pytest.raises((AssertionError, AttributeError, pytest.fail.Exception)):
        getattr(Tests(), test)(**arguments)
    getattr(TestValueWrapper(), test)(**arguments)
