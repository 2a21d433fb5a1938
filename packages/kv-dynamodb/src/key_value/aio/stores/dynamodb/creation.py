"""The checks of the table, and its creation by the first process that needs it."""

import re
from asyncio import sleep
from collections.abc import Mapping
from time import monotonic
from typing import Any

from key_value.aio.core.aws.errors import code_of
from key_value.aio.errors import StoreConnectionError, StoreSetupError
from key_value.aio.stores.dynamodb.items import COLLECTION, KEY, TTL
from key_value.aio.stores.dynamodb.table import ServiceError, Table

__all__ = ["check_table_config", "check_table_name", "prepare"]

_TABLE_NAME = re.compile(r"[A-Za-z0-9_.-]{3,255}|arn:[A-Za-z0-9_.:/-]{1,1000}")

_SCHEMA = [{"AttributeName": COLLECTION, "KeyType": "HASH"}, {"AttributeName": KEY, "KeyType": "RANGE"}]
_ATTRIBUTES = [{"AttributeName": COLLECTION, "AttributeType": "S"}, {"AttributeName": KEY, "AttributeType": "S"}]
_RESERVED_PARAMETERS = frozenset({"TableName", "KeySchema"})

# AWS takes a few seconds to create a table, and half a minute for one with indexes.
_CREATION_TIMEOUT_SECONDS = 300.0
_POLL_INTERVALS_SECONDS = (0.02, 0.1, 0.5, 1.0)


def check_table_name(name: str) -> None:
    """Raise ValueError for an invalid table name."""
    if not _TABLE_NAME.fullmatch(name):
        message = (
            "table_name must be 3 to 255 letters, digits, underscores, hyphens and dots, or the ARN of a table, "
            f"not {name!r:.300}"
        )
        raise ValueError(message)


def check_table_config(table_config: Mapping[str, Any]) -> None:
    """Raise ValueError for parameters that the store sets itself."""
    reserved = sorted(_RESERVED_PARAMETERS.intersection(table_config))
    if reserved:
        message = f"table_config must not contain {reserved}: the store sets the table name and key schema"
        raise ValueError(message)


async def prepare(table: Table, table_config: Mapping[str, Any], *, auto_create: bool) -> None:
    """Wait until the table is active, and check its schema. With `auto_create`, create a missing table.

    Raises StoreSetupError if the table is missing or has another schema, StoreConnectionError if it does not become
    active.
    """
    description = await _describe(table)
    if description is None:
        if not auto_create:
            message = f"the table {table.name} does not exist; create it, or pass auto_create=True"
            raise StoreSetupError(message)
        await _create(table, table_config)
    description = await _wait_until_active(table, description)
    _check_schema(table.name, description)
    if auto_create:
        await _enable_ttl(table)


async def _describe(table: Table) -> dict[str, Any] | None:
    try:
        return (await table.control("describe_table"))["Table"]
    except ServiceError as error:
        if code_of(error) != "ResourceNotFoundException":
            raise
        return None


async def _create(table: Table, table_config: Mapping[str, Any]) -> None:
    attributes = [
        *table_config.get("AttributeDefinitions", ()),
        *(each for each in _ATTRIBUTES if each not in table_config.get("AttributeDefinitions", ())),
    ]
    billing = "PROVISIONED" if "ProvisionedThroughput" in table_config else "PAY_PER_REQUEST"
    options = {"BillingMode": billing, **table_config, "AttributeDefinitions": attributes}
    try:
        await table.control("create_table", KeySchema=_SCHEMA, **options)
    except ServiceError as error:
        # Another process created it first.
        if code_of(error) != "ResourceInUseException":
            raise


async def _wait_until_active(table: Table, description: dict[str, Any] | None) -> dict[str, Any]:
    """Wait until the table can be used, as it can during an update, and return its description."""
    deadline = monotonic() + _CREATION_TIMEOUT_SECONDS
    attempt = 0
    while description is None or description["TableStatus"] not in ("ACTIVE", "UPDATING"):
        if monotonic() > deadline:
            message = f"the table {table.name} did not become active within {_CREATION_TIMEOUT_SECONDS:g} s"
            raise StoreConnectionError(message)
        if attempt:
            await sleep(_POLL_INTERVALS_SECONDS[min(attempt, len(_POLL_INTERVALS_SECONDS)) - 1])
        attempt += 1
        # DescribeTable may not find a table that was just created.
        description = await _describe(table)
    return description


def _check_schema(name: str, description: dict[str, Any]) -> None:
    types = {each["AttributeName"]: each["AttributeType"] for each in description["AttributeDefinitions"]}
    found = [
        (each["AttributeName"], each["KeyType"], types[each["AttributeName"]]) for each in description["KeySchema"]
    ]
    if found != [(COLLECTION, "HASH", "S"), (KEY, "RANGE", "S")]:
        message = (
            f"the table {name} has another primary key than the strings {COLLECTION!r} (HASH) and {KEY!r} (RANGE): "
            f"{', '.join(f'{attribute} ({kind}, {of_type})' for attribute, kind, of_type in found)}"
        )
        raise StoreSetupError(message)


async def _enable_ttl(table: Table) -> None:
    """Enable DynamoDB's TTL, which removes expired items, unless it is enabled for any attribute."""
    found = await table.control("describe_time_to_live")
    if found["TimeToLiveDescription"]["TimeToLiveStatus"] not in ("DISABLED", "DISABLING"):
        return
    try:
        await table.control("update_time_to_live", TimeToLiveSpecification={"Enabled": True, "AttributeName": TTL})
    except ServiceError as error:
        # Another process enabled it first, or it was changed within the last hour, which AWS allows only once. The TTL
        # only decides when space is freed.
        if code_of(error) not in ("ValidationException", "ResourceInUseException"):
            raise
