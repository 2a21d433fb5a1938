"""The contracts of a store, on azurite, with options and with a client."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import pytest
from azure.core.exceptions import ResourceExistsError
from key_value.aio.core.sanitization import EscapingStrategy
from key_value.aio.stores.azure_tables import AzureTablesStore
from key_value.aio.testing import StoreTests
from key_value.aio.testing.contract import StoreContract
from key_value.aio.testing.fault_tests import FaultTests
from key_value.aio.testing.stateful import check_against_dict
from key_value.aio.testing.versioned import VersionedTests
from servers.azure_tables import AzureTablesServer
from typing_extensions import override

from .conftest import AsyncClient, Client, options_of, table_of, through

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import RunServer

    from .conftest import Raw

KEY = "Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5"


class AzureTablesContract(StoreContract[AzureTablesStore]):
    time_limit = 200.0
    secrets = (KEY,)
    raw: Raw
    place: dict[str, Any]
    """Set by the fixture `store`."""

    @override
    def reopen(self, store: AzureTablesStore) -> AzureTablesStore:
        return AzureTablesStore(**self.place)

    @override
    def address(self, store: AzureTablesStore) -> tuple[str, dict[str, Any]]:
        return "key_value.aio.stores.azure_tables:AzureTablesStore", self.place

    @override
    async def read_stored(self, store: AzureTablesStore, collection: str, key: str) -> str | None:
        found = await asyncio.to_thread(self.raw.get, collection, key)
        return None if found is None else found["Value"]

    @override
    async def corrupt_stored(self, store: AzureTablesStore, collection: str, key: str, data: bytes) -> None:
        try:
            text = data.decode()
        except UnicodeDecodeError:
            pytest.skip("a property is text")
        if len(text) > 32 * 1024:
            pytest.skip("a property has 32 Ki characters")
        await asyncio.to_thread(self.raw.put, collection, key, Value=text)

    @override
    async def put_foreign(self, store: AzureTablesStore) -> None:
        await store.setup()
        await asyncio.to_thread(self.raw.put, "foreign", "page", Text="hunter2")

    @override
    async def has_foreign(self, store: AzureTablesStore) -> bool:
        return self.raw.get("foreign", "page")["Text"] == "hunter2"


class TestAzureTablesStore(AzureTablesContract, StoreTests[AzureTablesStore]):
    many_keys = 1_200
    contenders = 8
    increments = 5

    @pytest.fixture
    def store(self, place: dict[str, Any], raw: Raw) -> AzureTablesStore:
        # A thousand concurrent requests queue, and azurite is slow on a busy machine.
        self.raw, self.place = raw, {**place, "timeout": 120.0}
        return AzureTablesStore(**self.place)


class TestAzureTablesStoreWithClient(AzureTablesContract, VersionedTests[AzureTablesStore]):
    """The contracts that depend on how requests are sent, with a client that is passed in."""

    any_event_loop = False
    contenders = 8
    increments = 5

    @pytest.fixture
    def store(self, place: dict[str, Any], raw: Raw) -> AzureTablesStore:
        self.raw, self.place = raw, place
        return StoreWithClient(place)

    @override
    def reopen(self, store: AzureTablesStore) -> AzureTablesStore:
        return StoreWithClient(self.place)

    async def test_batches_and_names_work(self, store: AzureTablesStore) -> None:
        keys = [f"key/{number} ✓" for number in range(30)]
        await store.put_many(keys, [{"key": key} for key in keys])
        assert await store.get_many([*keys, "absent"]) == [*({"key": key} for key in keys), None]
        assert sorted(await store.keys()) == sorted(keys)
        assert await store.delete_many([*keys[:20], "absent"]) == 20
        assert await store.destroy_collection("default_collection") is True


class StoreWithClient(AzureTablesStore):
    """A store with a passed-in client of its own, which it closes too."""

    def __init__(self, place: dict[str, Any]) -> None:
        self._given: Any = AsyncClient.from_connection_string(place["connection_string"], place["table_name"])
        super().__init__(client=self._given, timeout=120.0)

    @override
    async def close(self) -> None:
        await super().close()
        await self._given.close()


async def test_a_client_that_was_passed_in_is_never_closed(place: dict[str, Any]) -> None:
    async with AsyncClient.from_connection_string(place["connection_string"], place["table_name"]) as client:
        store = AzureTablesStore(client=client)
        await store.put("key", {"n": 1})
        await store.close()
        assert (await client.get_entity("default_collection", "key"))["RowKey"] == "key"


class WithTable:
    """The emulator, with its table recreated on restart: unlike Azure, it saves only now and then."""

    def __init__(self, server: AzureTablesServer, table_name: str) -> None:
        self._server, self._table_name = server, table_name
        self.kill = server.kill

    @property
    def host(self) -> str:
        return self._server.host

    @property
    def port(self) -> int:
        return self._server.port

    def restart(self) -> None:
        self._server.restart()
        place = options_of(self._server, self._table_name)
        with (
            Client.from_connection_string(place["connection_string"], self._table_name) as client,
            suppress(ResourceExistsError),
        ):
            client.create_table()


class TestAzureTablesStoreUnderFaults(FaultTests[AzureTablesStore]):
    secrets = (KEY,)
    time_limit = 200.0
    answer_limit = 30.0
    timeout = 2.5
    load = 100

    @pytest.fixture(scope="class")
    @classmethod
    def fault_server(cls, run_server: RunServer) -> Iterator[AzureTablesServer]:
        """Run a separate server, because the emulator slows down the more it stores."""
        with run_server(AzureTablesServer(private=True)) as server:
            yield server

    @pytest.fixture
    def server_address(self, fault_server: AzureTablesServer) -> Iterator[tuple[str, int]]:
        with table_of(fault_server) as raw:
            raw.client.create_table()
            self.server, self.table_name = fault_server, raw.client.table_name
            yield fault_server.address

    @pytest.fixture
    @override
    def killable_server(self, private_azure_tables: AzureTablesServer) -> WithTable:
        self.server, self.table_name = private_azure_tables, "killed"
        # A server that has just started needs seconds for all users at once.
        self.timeout = 10.0
        return WithTable(private_azure_tables, self.table_name)

    @override
    def store_at(self, host: str, port: int) -> AzureTablesStore:
        place: dict[str, Any] = through(self.server, options_of(self.server, self.table_name), host, port)
        return AzureTablesStore(**place, timeout=self.timeout)


def test_an_azure_tables_store_behaves_like_a_dict(azure_tables_server: AzureTablesServer) -> None:
    # In a transaction azurite misreads some commas of a row key, and line separators of both keys.
    escaping = EscapingStrategy("[,\u2028\u2029]", 200_000)
    with ExitStack() as tables:

        def make_store() -> AzureTablesStore:
            raw = tables.enter_context(table_of(azure_tables_server))
            options = options_of(azure_tables_server, raw.client.table_name)
            return AzureTablesStore(
                **options, collection_sanitization_strategy=escaping, key_sanitization_strategy=escaping
            )

        check_against_dict(make_store)
