"""The table: created on first use, checked if it exists, and reported if it is missing."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.errors import StoreSetupError
from key_value.aio.stores.dynamodb import DynamoDBStore

from .conftest import at
from .service import Service, refusal

if TYPE_CHECKING:
    from aiohttp import web
    from http_service import Asked
    from servers.dynamodb import DynamoDBServer

    from .conftest import Raw

SCHEMA = [{"AttributeName": "collection", "KeyType": "HASH"}, {"AttributeName": "key", "KeyType": "RANGE"}]
STRINGS = [{"AttributeName": "collection", "AttributeType": "S"}, {"AttributeName": "key", "AttributeType": "S"}]

PROCESS = """
import asyncio, json, sys
from key_value.aio.stores.dynamodb import DynamoDBStore

async def main(place, number):
    async with DynamoDBStore(**json.loads(place)) as store:
        sys.stdin.readline()
        await store.close()
        await store.put(number, {"n": int(number)})

asyncio.run(main(*sys.argv[1:]))
"""


def described(raw: Raw) -> dict[str, Any]:
    return raw.client.describe_table(TableName=raw.table)["Table"]


def rule_of(raw: Raw) -> dict[str, Any]:
    return raw.client.describe_time_to_live(TableName=raw.table)["TimeToLiveDescription"]


def create(raw: Raw, **options: Any) -> None:
    table = {"KeySchema": SCHEMA, "AttributeDefinitions": STRINGS, "BillingMode": "PAY_PER_REQUEST", **options}
    raw.client.create_table(TableName=raw.table, **table)


async def test_a_missing_table_is_created_on_first_use(store: DynamoDBStore, raw: Raw) -> None:
    await store.put("key", {"n": 1})
    await store.close()
    table = described(raw)
    assert table["KeySchema"] == SCHEMA
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert rule_of(raw) == {"TimeToLiveStatus": "ENABLED", "AttributeName": "ttl"}


async def test_a_table_is_created_as_configured(place: dict[str, Any], raw: Raw) -> None:
    config: dict[str, Any] = {
        "ProvisionedThroughput": {"ReadCapacityUnits": 7, "WriteCapacityUnits": 5},
        "AttributeDefinitions": [{"AttributeName": "owner", "AttributeType": "S"}],
        "GlobalSecondaryIndexes": [
            {
                "IndexName": "by-owner",
                "KeySchema": [{"AttributeName": "owner", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
                "ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1},
            }
        ],
    }
    async with DynamoDBStore(**place, table_config=config) as store:
        await store.put("key", {"n": 1})
    table = described(raw)
    assert table["ProvisionedThroughput"]["ReadCapacityUnits"] == 7
    assert [index["IndexName"] for index in table["GlobalSecondaryIndexes"]] == ["by-owner"]


async def test_an_existing_table_is_used(store: DynamoDBStore, raw: Raw) -> None:
    create(raw)
    async with store:
        await store.put("key", {"n": 1})
    assert raw.names() == [("default_collection", "key")]
    assert rule_of(raw)["AttributeName"] == "ttl"


async def test_a_ttl_rule_for_another_attribute_is_left_alone(store: DynamoDBStore, raw: Raw) -> None:
    create(raw)
    raw.client.update_time_to_live(
        TableName=raw.table, TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires"}
    )
    async with store:
        await store.put("key", {"n": 1}, ttl=60)
    assert rule_of(raw)["AttributeName"] == "expires"


async def test_a_missing_table_is_an_error_without_auto_create(place: dict[str, Any], raw: Raw) -> None:
    store = DynamoDBStore(**place, auto_create=False)
    for call in (store.setup(), store.get("key"), store.put("key", {"n": 1})):
        with pytest.raises(StoreSetupError, match="does not exist"):
            await call
    # A failed setup is retried by the next call.
    create(raw)
    await store.put("key", {"n": 1})
    await store.close()
    assert rule_of(raw)["TimeToLiveStatus"] == "DISABLED"


async def test_a_deleted_table_is_reported_and_recreated_after_close(store: DynamoDBStore, raw: Raw) -> None:
    await store.put("key", {"n": 1})
    raw.client.delete_table(TableName=raw.table)
    for call in (store.get("key"), store.put_many(["key"], [{}]), store.keys(), store.setup()):
        with pytest.raises(StoreSetupError, match="no such table"):
            await call
    await store.close()
    await store.put("key", {"n": 1})
    await store.close()


@pytest.mark.parametrize(
    "schema",
    [
        [("key", "HASH", "S")],
        [("collection", "HASH", "S"), ("key", "RANGE", "N")],
        [("key", "HASH", "S"), ("collection", "RANGE", "S")],
    ],
    ids=str,
)
async def test_a_table_with_another_primary_key_is_refused(
    store: DynamoDBStore, raw: Raw, schema: list[tuple[str, str, str]]
) -> None:
    keys = [{"AttributeName": name, "KeyType": kind} for name, kind, _ in schema]
    types = [{"AttributeName": name, "AttributeType": of_type} for name, _, of_type in schema]
    create(raw, KeySchema=keys, AttributeDefinitions=types)
    with pytest.raises(StoreSetupError, match="another primary key"):
        await store.setup()
    await store.close()


@pytest.mark.parametrize("config", [{"TableName": "other"}, {"KeySchema": []}], ids=str)
def test_a_table_config_with_reserved_settings_is_refused(place: dict[str, Any], config: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="table_config"):
        DynamoDBStore(**place, table_config=config)


async def test_a_table_being_created_is_awaited(dynamodb_server: DynamoDBServer, place: dict[str, Any]) -> None:
    described = 0

    def rule(asked: Asked) -> web.Response | None:
        nonlocal described
        if asked.operation != "DescribeTable":
            return None
        described += 1
        # As on AWS: absent, not visible yet, being created, and then what the server answers.
        if described <= 2:
            return refusal("ResourceNotFoundException")
        if described <= 4:
            return json_answer({"Table": {"TableName": asked.document["TableName"], "TableStatus": "CREATING"}})
        return None

    async with Service(dynamodb_server.url) as service:
        service.rule = rule
        async with DynamoDBStore(**at(place, service.url)) as store:
            await store.put("key", {"n": 1})
        assert described == 5
        assert service.operations()["CreateTable"] == 1


def json_answer(answer: dict[str, Any]) -> web.Response:
    from aiohttp import web

    return web.json_response(answer)


@pytest.mark.parametrize("operation", ["DescribeTable", "CreateTable", "DescribeTimeToLive", "UpdateTimeToLive"])
async def test_a_missing_permission_is_named(
    dynamodb_server: DynamoDBServer, place: dict[str, Any], operation: str
) -> None:
    async with Service(dynamodb_server.url) as service:
        service.refuse("AccessDeniedException", operation=operation)
        store = DynamoDBStore(**at(place, service.url))
        with pytest.raises(StoreSetupError, match=f"lack the right to {operation}"):
            await store.setup()
        await store.close()


async def test_stores_starting_concurrently_create_one_table(
    dynamodb_server: DynamoDBServer, place: dict[str, Any], raw: Raw
) -> None:
    async with Service(dynamodb_server.url) as service:
        stores = [DynamoDBStore(**at(place, service.url)) for _ in range(8)]
        service.hold(8)
        await asyncio.gather(*(store.setup() for store in stores))
        assert service.operations()["CreateTable"] > 1
        await asyncio.gather(*(store.put(f"key {number}", {"n": number}) for number, store in enumerate(stores)))
        for store in stores:
            await store.close()
    assert len(raw.names()) == 8


def test_processes_starting_concurrently_create_one_table(place: dict[str, Any], raw: Raw) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", PROCESS, json.dumps(place), str(number)], stdin=subprocess.PIPE)  # noqa: S603 — trusted program
        for number in range(4)
    ]
    for process in processes:
        process.communicate(b"\n")
    assert [process.returncode for process in processes] == [0] * 4
    assert sorted(key for _, key in raw.names()) == ["0", "1", "2", "3"]
