"""Empty tables, and a raw client that inspects what they hold."""

from __future__ import annotations

import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from botocore.config import Config  # pyright: ignore[reportMissingTypeStubs] — without stubs
from botocore.session import Session  # pyright: ignore[reportMissingTypeStubs] — without stubs
from key_value.aio.stores.dynamodb import DynamoDBStore

from .service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from servers.dynamodb import DynamoDBServer

REGION = "eu-central-1"
CREDENTIALS: dict[str, Any] = {"aws_access_key_id": "AKIAEXAMPLE", "aws_secret_access_key": "hunter2"}

BotocoreSession: Any = Session  # with untyped methods


class Raw(NamedTuple):
    """The raw client, and the table under test."""

    client: Any
    table: str

    def put(self, collection: str, key: str, **attributes: Any) -> None:
        item = {"collection": {"S": collection}, "key": {"S": key}, **attributes}
        self.client.put_item(TableName=self.table, Item=item)

    def get(self, collection: str, key: str) -> dict[str, Any] | None:
        """Return the item, or None if it or the table does not exist."""
        key_of = {"collection": {"S": collection}, "key": {"S": key}}
        with suppress(self.client.exceptions.ResourceNotFoundException):
            return self.client.get_item(TableName=self.table, Key=key_of, ConsistentRead=True).get("Item")
        return None

    def names(self) -> list[tuple[str, str]]:
        pages = self.client.get_paginator("scan").paginate(TableName=self.table, ConsistentRead=True)
        return [(item["collection"]["S"], item["key"]["S"]) for page in pages for item in page["Items"]]


def raw_client(url: str) -> Any:
    retries = Config(retries={"total_max_attempts": 5, "mode": "standard"})
    return BotocoreSession().create_client(
        "dynamodb", region_name=REGION, endpoint_url=url, config=retries, **CREDENTIALS
    )


@pytest.fixture(scope="session")
def client(dynamodb_server: DynamoDBServer) -> Iterator[Any]:
    client = raw_client(dynamodb_server.url)
    yield client
    client.close()


@pytest.fixture
def raw(client: Any) -> Iterator[Raw]:
    """A table that does not exist yet and is deleted after the test."""
    table = f"kv-{uuid.uuid4().hex}"
    yield Raw(client, table)
    if table in client.list_tables(ExclusiveStartTableName=table[:-1], Limit=1)["TableNames"]:
        client.delete_table(TableName=table)


@pytest.fixture
def place(dynamodb_server: DynamoDBServer, raw: Raw) -> dict[str, Any]:
    return {"table_name": raw.table, "region_name": REGION, "endpoint_url": dynamodb_server.url, **CREDENTIALS}


@pytest.fixture
def store(place: dict[str, Any]) -> DynamoDBStore:
    return DynamoDBStore(**place)


def at(place: dict[str, Any], url: str) -> dict[str, Any]:
    """Return the same options with another URL of the server."""
    return {**place, "endpoint_url": url}


@pytest.fixture
async def service(dynamodb_server: DynamoDBServer) -> AsyncIterator[Service]:
    async with Service(dynamodb_server.url) as service:
        yield service
