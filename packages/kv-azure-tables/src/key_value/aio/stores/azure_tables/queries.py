"""Query conditions, scan cursors, and the names of live entries."""

import json
from collections.abc import Sequence
from typing import Any

from key_value.aio.stores.azure_tables.entities import (
    Entity,
    Naming,
    is_past,
    live_names_of,
    names_of,
    needs_value,
    stored_names,
)
from key_value.aio.stores.azure_tables.names import range_of, stored_name
from key_value.aio.stores.azure_tables.table import Requests

__all__ = ["condition_for", "cursor_of", "live_names", "position_of"]


def condition_for(collection: str, prefix: str) -> str:
    condition = f"PartitionKey eq {_quoted(stored_name(collection))}"
    begin, end = range_of(prefix)
    if begin:
        condition += f" and RowKey ge {_quoted(begin)}"
    if end is not None:
        condition += f" and RowKey lt {_quoted(end)}"
    return condition


def _quoted(text: str) -> str:
    return "'{}'".format(text.replace("'", "''"))


def cursor_of(position: dict[str, str | None] | None) -> str | None:
    return None if position is None else json.dumps(position)


def position_of(cursor: str) -> dict[str, str | None]:
    try:
        position: Any = json.loads(cursor)
        # Azure may omit one of the two keys: https://learn.microsoft.com/rest/api/storageservices/query-timeout-and-pagination
        found = {name: position[name] for name in ("PartitionKey", "RowKey")}
    except (ValueError, TypeError, KeyError):
        found = {}
    if not found or not all(text is None or isinstance(text, str) for text in found.values()):
        message = "the cursor does not come from a scan of this table"
        raise ValueError(message)
    return found


async def live_names(requests: Requests, entities: Sequence[Entity], naming: Naming) -> list[tuple[str, str]]:
    """Return collections and keys of the live ones among entities that were read without their values."""

    async def look(entity: Entity) -> tuple[str, str] | None:
        if is_past(entity):
            return None
        if not needs_value(entity):
            return names_of(entity)
        whole = await requests.get(stored_names(entity))
        return None if whole is None else live_names_of(whole, naming)

    return [names for names in await requests.each(look, entities) if names is not None]
