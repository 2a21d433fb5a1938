"""Empty servers, and a raw client that inspects what they hold."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import asyncpg  # pyright: ignore[reportMissingTypeStubs] — without stubs
import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from servers.postgresql import PostgreSQLServer


Driver: Any = asyncpg  # untyped


class Raw:
    """A client of a PostgreSQL server that opens an asyncpg connection for each statement."""

    def __init__(self, url: str) -> None:
        self.url = url

    @asynccontextmanager
    async def connected(self) -> AsyncGenerator[Any]:
        connection = await Driver.connect(self.url)
        try:
            yield connection
        finally:
            await connection.close()

    async def fetch(self, statement: str, *parameters: Any) -> list[Any]:
        async with self.connected() as connection:
            return await connection.fetch(statement, *parameters)

    async def value(self, statement: str, *parameters: Any) -> Any:
        """Return the first column of the first row, or None without rows."""
        rows = await self.fetch(statement, *parameters)
        return rows[0][0] if rows else None

    def run(self, *statements: str) -> None:
        """Run statements in fixtures and tests without an event loop."""

        async def run() -> None:
            for statement in statements:
                await self.fetch(statement)

        asyncio.run(run())


@pytest.fixture
def url(postgresql_server: PostgreSQLServer) -> str:
    return postgresql_server.url


@pytest.fixture
def raw_at() -> Callable[[str], Raw]:
    """Return a function that empties the server at a URL and returns a raw client of it."""

    def raw_at(url: str) -> Raw:
        raw = Raw(url)
        raw.run("DROP TABLE IF EXISTS kv_test CASCADE")
        return raw

    return raw_at


@pytest.fixture
def raw(url: str, raw_at: Callable[[str], Raw]) -> Raw:
    return raw_at(url)
