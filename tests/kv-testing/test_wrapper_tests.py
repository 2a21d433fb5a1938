"""The kit passes sound wrappers and detects each defect of the broken ones."""

from collections.abc import Mapping
from typing import Any, cast

import pytest
from key_value.aio.core.capabilities import Capabilities
from key_value.aio.core.type_checks import checked_limit
from key_value.aio.core.wrappers import BaseCallWrapper, BaseNameWrapper, BaseValueWrapper, BaseWrapper, Call
from key_value.aio.errors import ReadOnlyError, StoreConnectionError
from key_value.aio.protocols import AsyncKeyValue, KeyPage, Versioned
from key_value.aio.stores.memory import MemoryStore
from key_value.aio.testing import StoreTests, WrapperTests
from key_value.aio.testing.stateful import check_against_dict
from typing_extensions import Self

SECRET = "hunter2"  # noqa: S105
REFUSED = {"text": "refused"}


class Prefixed(BaseNameWrapper):
    def _inner_key(self, key: str, collection: str | None) -> str:
        del collection
        return f"prefix__{key}"

    def _outer_key(self, inner_key: str, collection: str | None) -> str | None:
        del collection
        return inner_key.removeprefix("prefix__") if inner_key.startswith("prefix__") else None

    def _inner_prefix(self, prefix: str, collection: str | None) -> str:
        del collection
        return f"prefix__{prefix}"

    async def _collections(self, *, limit: int | None = None) -> list[str]:
        listed: Any = self
        checked_limit(limit)
        return [each for each in await super()._collections() if await listed.keys(each, limit=1)][:limit]


class Wrapped(BaseValueWrapper):
    def _inner_value(self, value: Mapping[str, Any]) -> Mapping[str, Any] | None:
        return None if value == REFUSED else {"wrapped": dict(value)}

    def _outer_value(self, inner_value: dict[str, Any]) -> dict[str, Any]:
        return inner_value["wrapped"]


class ReadOnly(BaseCallWrapper):
    async def _around(self, call: Call[Any]) -> Any:
        if call.operation.writes:
            raise ReadOnlyError(call.name)
        return await super()._around(call)


class TestBaseWrapper(WrapperTests):
    def wrap(self, store: AsyncKeyValue) -> AsyncKeyValue:
        return BaseWrapper(store)


class TestNameWrapper(WrapperTests):
    def wrap(self, store: AsyncKeyValue) -> AsyncKeyValue:
        return Prefixed(store)


class TestValueWrapper(WrapperTests):
    secrets = (SECRET,)
    refused_value = REFUSED

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


class AlwaysHasKeys(BaseWrapper):
    async def keys(self, collection: str | None = None, *, limit: int | None = None) -> list[str]:
        return await self._around(Call("keys", collection, limit=limit))


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


class RequiresABaseStore(BaseWrapper):
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


class ListsForeignCollections(Prefixed):
    async def _collections(self, *, limit: int | None = None) -> list[str]:
        return await BaseNameWrapper._collections(self, limit=limit)  # noqa: SLF001 — bypasses Prefixed


class ScansBeyondItsPrefix(Prefixed):
    async def _scan(self, collection: str | None = None, **options: Any) -> KeyPage:
        inner: Any = self.key_value
        page = await inner.scan(collection, **options)
        return KeyPage([key.removeprefix("prefix__") for key in page.keys], page.cursor)


class ReadsForeignVersions(Prefixed):
    async def _get_versioned(self, key: str, *, collection: str | None = None) -> Versioned:
        inner: Any = self.key_value
        return await inner.get_versioned(key, collection=collection)


class StoresInPlainText(Wrapped):
    async def _put_if_absent(self, key: str, value: Mapping[str, Any], **options: Any) -> bool:
        inner: Any = self.key_value
        return await inner.put_if_absent(key, value, **options)


class ForgetsTheTtlOfAVersion(Wrapped):
    async def _put_if_version(self, key: str, value: Mapping[str, Any], version: str | None, **options: Any) -> bool:
        options["ttl"] = None
        return await super()._put_if_version(key, value, version, **options)


class StoresRefusedValues(BaseValueWrapper):
    def _inner_value(self, value: Mapping[str, Any]) -> Mapping[str, Any] | None:
        return None if value == REFUSED else value

    async def _put_if_absent(self, key: str, value: Mapping[str, Any], **options: Any) -> bool:
        inner: Any = self.key_value
        return await inner.put_if_absent(key, value, **options)


class ExposesUnknownOperations(Wrapped):
    def __getattr__(self, name: str) -> Any:
        return getattr(self.key_value, name)


class SwallowsErrors(BaseCallWrapper):
    async def _around(self, call: Call[Any]) -> Any:
        try:
            return await super()._around(call)
        except StoreConnectionError:
            return None


class ReplacesErrors(BaseCallWrapper):
    async def _around(self, call: Call[Any]) -> Any:
        try:
            return await super()._around(call)
        except StoreConnectionError as error:
            raise StoreConnectionError(call.name) from error


class IsFalse(BaseWrapper):
    def __bool__(self) -> bool:
        return False


class ShowsItsSecret(BaseWrapper):
    def __repr__(self) -> str:
        return f"ShowsItsSecret({SECRET})"


ABILITIES = "test_a_wrapper_has_the_abilities_of_the_inner_store"
ERRORS = "test_an_error_of_the_inner_store_comes_out_as_it_is"

STORES = "test_every_write_stores_what_put_stores"
REACHES = "test_no_operation_reaches_what_others_stored"
HARMLESS = "test_an_operation_that_nobody_has_heard_of_does_no_harm"

BROKEN: dict[type[BaseWrapper], tuple[str, str]] = {
    AlwaysHasKeys: (ABILITIES, "PlainStore-AsyncEnumerateKeysProtocol"),
    HidesEveryAbility: (ABILITIES, "FullStore-AsyncEnumerateKeysProtocol"),
    ForgetsCapabilities: ("test_capabilities_are_those_of_the_inner_store", ""),
    DoesNotClose: ("test_setup_and_close_reach_the_inner_store", ""),
    EntersWithoutSetup: ("test_a_context_opens_and_closes_the_inner_store", ""),
    RequiresABaseStore: ("test_any_object_with_the_eight_methods_can_be_wrapped", ""),
    ForgetsTheCollection: ("test_a_collection_is_kept_apart_from_others", ""),
    ForgetsTheTtl: ("test_a_ttl_reaches_the_inner_store", ""),
    ChangesTheCallersValue: ("test_the_values_of_the_caller_are_left_as_they_are", ""),
    ListsInnerNames: ("test_keys_are_listed_as_they_were_put", ""),
    SwallowsErrors: (ERRORS, "get"),
    ReplacesErrors: (ERRORS, "keys"),
    ListsForeignCollections: (REACHES, "collections"),
    ScansBeyondItsPrefix: (REACHES, "scan"),
    ReadsForeignVersions: (REACHES, "get_versioned"),
    StoresInPlainText: (STORES, "put_if_absent"),
    ForgetsTheTtlOfAVersion: (STORES, "put_if_version"),
    StoresRefusedValues: ("test_no_write_stores_what_the_wrapper_refuses", "put_if_absent"),
    ExposesUnknownOperations: (HARMLESS, str({"names": False, "values": True, "writes": False})),
    IsFalse: ("test_a_wrapper_is_a_store", ""),
    ShowsItsSecret: ("test_a_repr_shows_no_secret", ""),
}
"""Broken wrapper → the test that must fail, and the row of its table that must be among the failed rows."""


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_wrapper_fails_the_test_for_its_defect(broken: type[BaseWrapper]) -> None:
    class Tests(WrapperTests):
        secrets = (SECRET,)
        refused_value = REFUSED

        def wrap(self, store: AsyncKeyValue) -> AsyncKeyValue:
            return broken(store)

    test, row = BROKEN[broken]
    with pytest.raises((AssertionError, AttributeError, pytest.fail.Exception)) as failure:
        getattr(Tests(), test)()
    sound = TestNameWrapper if issubclass(broken, Prefixed) else TestValueWrapper
    getattr(sound(), test)()
    if row:
        assert f"[{row}]" in str(failure.value).partition("\n")[0]
