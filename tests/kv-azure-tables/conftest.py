"""Azurite, empty tables, and the raw client that inspects them."""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import TableClient
from azure.data.tables.aio import TableClient as AsyncTableClient
from key_value.aio.stores.azure_tables import AzureTablesStore

from .service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator, Iterator

    from servers.azure_tables import AzureTablesServer

# Their methods are only partly typed.
Client: Any = TableClient
AsyncClient: Any = AsyncTableClient


class Raw(NamedTuple):
    client: Any

    def put(self, collection: str, key: str, **properties: Any) -> None:
        self.client.upsert_entity({"PartitionKey": collection, "RowKey": key, **properties}, mode="replace")

    def get(self, collection: str, key: str) -> Any:
        try:
            return self.client.get_entity(collection, key)
        except ResourceNotFoundError:
            return None

    def names(self) -> list[tuple[str, str]]:
        return sorted((entity["PartitionKey"], entity["RowKey"]) for entity in self.client.list_entities())


@contextmanager
def table_of(server: AzureTablesServer) -> Generator[Raw]:
    """Yield a table that does not exist yet, and delete it afterwards."""
    with Client.from_connection_string(server.connection_string, f"kv{uuid.uuid4().hex}") as client:
        yield Raw(client)
        client.delete_table()


def options_of(server: AzureTablesServer, table_name: str) -> dict[str, Any]:
    return {"connection_string": server.connection_string, "table_name": table_name}


def through(server: AzureTablesServer, place: dict[str, Any], host: str, port: int) -> dict[str, Any]:
    """Return the same place, reached through the proxy at `host` and `port`."""
    name, key = server.account
    endpoint = urlsplit(server.url)._replace(netloc=f"{host}:{port}").geturl()
    connection_string = f"AccountName={name};AccountKey={key};TableEndpoint={endpoint};"
    return {**place, "connection_string": connection_string}


@pytest.fixture
def raw(azure_tables_server: AzureTablesServer) -> Iterator[Raw]:
    with table_of(azure_tables_server) as raw:
        yield raw


@pytest.fixture
def place(azure_tables_server: AzureTablesServer, raw: Raw) -> dict[str, Any]:
    return options_of(azure_tables_server, raw.client.table_name)


@pytest.fixture
def store(place: dict[str, Any]) -> AzureTablesStore:
    return AzureTablesStore(**place)


@pytest.fixture
async def service(azure_tables_server: AzureTablesServer) -> AsyncIterator[Service]:
    async with Service(azure_tables_server.url) as service:
        yield service


@pytest.fixture
def place_of_service(service: Service, azure_tables_server: AzureTablesServer, place: dict[str, Any]) -> dict[str, Any]:
    return through(azure_tables_server, place, "127.0.0.1", service.port)
