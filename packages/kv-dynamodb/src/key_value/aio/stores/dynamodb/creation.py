"""The table itself: found, checked, or created by whichever process comes first."""

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
_OURS = frozenset({"TableName", "KeySchema"})

# AWS takes some seconds for a table, and half a minute for one with indexes.
_LONGEST_CREATION = 300.0
_INTERVALS = (0.02, 0.1, 0.5, 1.0)


def check_table_name(name: str) -> None:
    """Raises ValueError for one that no table can have."""
    if not _TABLE_NAME.fullmatch(name):
        message = (
            "table_name must be 3 to 255 letters, digits, underscores, hyphens and dots, or the ARN of a table, "
            f"not {name!r:.300}"
        )
        raise ValueError(message)


def check_table_config(table_config: Mapping[str, Any]) -> None:
    """Raises ValueError for what is not up to the caller."""
    taken = sorted(_OURS.intersection(table_config))
    if taken:
        message = f"table_config cannot hold {taken}: the store needs a table of its own name and key schema"
        raise ValueError(message)


async def prepare(table: Table, table_config: Mapping[str, Any], *, auto_create: bool) -> None:
    """Have the table there, of the right schema and active; with `auto_create` created where it is missing.

    Raises StoreSetupError for one that is missing or has another schema, StoreConnectionError for one that does not
    become active.
    """
    description = await _describe(table)
    if description is None:
        if not auto_create:
            message = f"the table {table.name} does not exist, and auto_create is off"
            raise StoreSetupError(message)
        await _create(table, table_config)
    description = await _active(table, description)
    _check_schema(table.name, description)
    if auto_create:
        await _expire_items(table)


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
        # Another process was faster.
        if code_of(error) != "ResourceInUseException":
            raise


async def _active(table: Table, description: dict[str, Any] | None) -> dict[str, Any]:
    """What the table is like when it can be used. While it is updated, it can."""
    deadline = monotonic() + _LONGEST_CREATION
    attempt = 0
    while description is None or description["TableStatus"] not in ("ACTIVE", "UPDATING"):
        if monotonic() > deadline:
            message = f"the table {table.name} has not become active within {_LONGEST_CREATION:g} s"
            raise StoreConnectionError(message)
        if attempt:
            await sleep(_INTERVALS[min(attempt, len(_INTERVALS)) - 1])
        attempt += 1
        # Right after it was created, a table may not be found.
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


async def _expire_items(table: Table) -> None:
    """Have DynamoDB remove what has expired, unless the table has such a rule already, be it another."""
    found = await table.control("describe_time_to_live")
    if found["TimeToLiveDescription"]["TimeToLiveStatus"] not in ("DISABLED", "DISABLING"):
        return
    try:
        await table.control("update_time_to_live", TimeToLiveSpecification={"Enabled": True, "AttributeName": TTL})
    except ServiceError as error:
        # Another process was faster, or the rule was changed within the hour, which AWS allows once. It only decides
        # when space is freed.
        if code_of(error) not in ("ValidationException", "ResourceInUseException"):
            raise
