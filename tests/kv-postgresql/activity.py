"""Load on a server, and queries about its connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from key_value.aio.testing.contract import eventually
from key_value.aio.testing.load import Load

if TYPE_CHECKING:
    from conftest import Raw

TIMEOUT = 2.0
# Allow for a busy machine.
LOAD = Load(50, seconds=TIMEOUT + 20.0)


async def connections_named(raw: Raw, name: str) -> int:
    return await raw.value("SELECT count(*) FROM pg_stat_activity WHERE application_name = $1", name)


async def eventually_disconnected(raw: Raw, name: str) -> bool:
    """Wait until no connection has this name: a server notices only after a moment that its client has left."""

    async def is_disconnected() -> bool:
        return await connections_named(raw, name) == 0

    return await eventually(is_disconnected, within=60)


async def eventually_waiting(raw: Raw, number: int) -> bool:
    """Wait until this number of statements are waiting for a lock."""

    async def is_number() -> bool:
        query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        return await raw.value(query) == number

    return await eventually(is_number, within=60)
