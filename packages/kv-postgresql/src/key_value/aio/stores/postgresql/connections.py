"""The only module that uses asyncpg: opens connections, runs statements, maps errors."""

import sys
import time
from asyncio import Future, Semaphore, ensure_future, gather
from asyncio import TimeoutError as AsyncioTimeoutError
from collections.abc import Mapping
from typing import Any, Protocol

import asyncpg  # pyright: ignore[reportMissingTypeStubs] — neither stubs nor py.typed exist
from asyncpg import exceptions  # pyright: ignore[reportMissingTypeStubs]
from key_value.aio.core.driver_errors import DriverErrors, reason_of
from key_value.aio.core.numbers import scaled_timeout
from key_value.aio.errors import (
    DeserializationError,
    KeyValueStoreError,
    StoreConnectionError,
    StoreSetupError,
    StoreTimeoutError,
)

if sys.version_info >= (3, 11):
    from asyncio import timeout
else:
    from async_timeout import timeout

__all__ = ["CREATED_CONCURRENTLY", "DRIVER_ERRORS", "FORBIDDEN", "OwnConnections", "Pool", "PoolConnections", "Session"]

Pool = asyncpg.Pool
_driver: Any = asyncpg

# Another process is creating the same table; which of these is raised depends on its progress.
CREATED_CONCURRENTLY: tuple[type[Exception], ...] = (
    exceptions.DuplicateTableError,
    exceptions.DuplicateObjectError,
    exceptions.UniqueViolationError,
)
FORBIDDEN: tuple[type[Exception], ...] = (exceptions.InsufficientPrivilegeError, exceptions.InvalidSchemaNameError)

_CLOSING_SECONDS = 5.0
_CANCEL_TIMEOUT_SECONDS = 1.0
_POOLER = "a pooler runs prepared statements on other connections: pass statement_cache_size=0"


def _reason_with_code(error: Any) -> str:
    # The message may show stored data.
    return f"{type(error).__qualname__} (SQLSTATE {error.sqlstate})"


def _misuse(error: Exception) -> str:
    # The message of a subclass may show a parameter.
    return str(error) if type(error) is exceptions.InterfaceError else type(error).__qualname__


def _limit(error: Exception) -> str:
    return str(error) or reason_of(error)


DRIVER_ERRORS: DriverErrors = {
    TimeoutError: (StoreTimeoutError, _limit),
    OverflowError: (DeserializationError, "an entry has an invalid expiry date"),
    exceptions.PostgresError: (KeyValueStoreError, _reason_with_code),
    exceptions.PostgresConnectionError: (StoreConnectionError, "the server closed the connection"),
    exceptions.InvalidPasswordError: (StoreSetupError, "wrong user name or password"),
    exceptions.InvalidAuthorizationSpecificationError: (
        StoreSetupError,
        "unknown user, or rejected from this address (pg_hba.conf)",
    ),
    exceptions.InvalidCatalogNameError: (StoreSetupError, "unknown database"),
    exceptions.InsufficientPrivilegeError: (StoreSetupError, "this user lacks a required right"),
    exceptions.SyntaxOrAccessError: (StoreSetupError, _reason_with_code),
    exceptions.UndefinedTableError: (StoreSetupError, "the table of entries does not exist any more"),
    exceptions.InvalidSQLStatementNameError: (StoreSetupError, _POOLER),
    exceptions.DuplicatePreparedStatementError: (StoreSetupError, _POOLER),
    # Temporary failures: the same call works later.
    exceptions.TooManyConnectionsError: (StoreConnectionError, "too many connections"),
    exceptions.OperatorInterventionError: (StoreConnectionError, "the server is starting, stopping or recovering"),
    exceptions.ReadOnlySQLTransactionError: (StoreConnectionError, "the server is read-only, like a standby"),
    exceptions.TransactionRollbackError: (StoreConnectionError, "conflict with another transaction"),
    exceptions.TargetServerAttributeNotMatched: (StoreConnectionError, "no server matches target_session_attrs"),
    exceptions.QueryCanceledError: (StoreTimeoutError, "the server has a shorter limit (statement_timeout)"),
    exceptions.LockNotAvailableError: (StoreTimeoutError, "the server has a shorter limit (lock_timeout)"),
    exceptions.DiskFullError: (KeyValueStoreError, "the server's disk is full"),
    exceptions.ProgramLimitExceededError: (KeyValueStoreError, "the value is too large or too deeply nested for JSONB"),
    # Raised by asyncpg itself: the connection was lost, or the pool has not been opened.
    exceptions.InterfaceError: (StoreConnectionError, _misuse),
    exceptions.InternalClientError: StoreConnectionError,
    exceptions.ClientConfigurationError: (StoreSetupError, "asyncpg rejects these options"),
}

Rows = list[Any]


class Session(Protocol):
    """Runs statements in the event loop that it belongs to."""

    background: "Future[None] | None"
    """A background task, which runs until the session is closed."""

    async def fetch(self, statement: str, *parameters: Any, entries: int = 1) -> Rows:
        """Run one statement in its own transaction and return its rows."""
        ...

    async def run_script(self, script: str) -> None:
        """Run several statements without parameters, in one transaction."""
        ...

    async def close(self) -> None: ...


class OwnConnections:
    """Opens connections on demand, and keeps them for later statements.

    asyncpg's own pool resets a connection after each use, which takes a second round trip and a separate task.
    """

    def __init__(
        self, options: Mapping[str, Any], limit: int, seconds: float | None, idle_seconds: float | None
    ) -> None:
        self.background: Future[None] | None = None
        self._options = options
        self._limit = limit
        self._slots = Semaphore(limit)
        self._seconds = seconds
        self._idle_seconds = idle_seconds
        self._idle: list[tuple[float, Any]] = []
        self._closing: set[Future[None]] = set()
        self._is_closed = False

    async def fetch(self, statement: str, *parameters: Any, entries: int = 1) -> Rows:
        return await self._run("fetch", entries, statement, *parameters)

    async def run_script(self, script: str) -> None:
        await self._run("execute", 1, script)

    async def _run(self, method: str, entries: int, *arguments: Any) -> Any:
        seconds = scaled_timeout(self._seconds, entries)
        try:
            async with timeout(seconds):
                await self._slots.acquire()
                try:
                    connection = self._take_idle() or await self._connect()
                except BaseException:
                    self._slots.release()
                    raise
                try:
                    result = await getattr(connection, method)(*arguments)
                except exceptions.PostgresError:
                    self._return_to_idle(connection)
                    raise
                except BaseException:
                    self._abandon(connection)
                    raise
                self._return_to_idle(connection)
                return result
        except AsyncioTimeoutError as exc:
            raise _timeout_error(seconds) from exc

    async def close(self) -> None:
        """Wait for the statements in flight, then close the connections."""
        try:
            async with timeout(_CLOSING_SECONDS):
                for _ in range(self._limit):
                    await self._slots.acquire()
        except AsyncioTimeoutError:
            # The server does not answer. The remaining connections close when their statements time out.
            self._is_closed = True
        idle, self._idle = self._idle, []
        await gather(*self._closing, *(_close(connection, _CLOSING_SECONDS) for _, connection in idle))

    async def _connect(self) -> Any:
        try:
            return await _driver.connect(**self._options)
        except ConnectionError as exc:
            if "rejected SSL upgrade" not in str(exc):
                raise
            message = "the PostgreSQL server does not offer TLS, which the URL or ssl= requires"
            raise StoreSetupError(message) from exc

    def _take_idle(self) -> Any:
        while self._idle:
            since, connection = self._idle.pop()
            if not connection.is_closed() and not self._is_stale(since):
                return connection
            connection.terminate()
        return None

    def _abandon(self, connection: Any) -> None:
        """Cancel the statement of an abandoned call on the server, so that it cannot take effect after a later one."""
        closing = ensure_future(_close(connection, _CANCEL_TIMEOUT_SECONDS))
        self._closing.add(closing)
        closing.add_done_callback(self._on_closed)

    def _on_closed(self, closing: "Future[None]") -> None:
        self._closing.discard(closing)
        # Released only now, as the connection counts towards the limit until it is closed.
        self._slots.release()

    def _return_to_idle(self, connection: Any) -> None:
        self._slots.release()
        if connection.is_closed() or self._is_closed:
            connection.terminate()
            return
        self._idle.append((time.monotonic(), connection))
        # The first has been idle longest.
        if self._is_stale(self._idle[0][0]):
            self._idle.pop(0)[1].terminate()

    def _is_stale(self, since: float) -> bool:
        return self._idle_seconds is not None and time.monotonic() - since > self._idle_seconds


class PoolConnections:
    """Runs statements on the caller's pool, which the caller closes."""

    def __init__(self, pool: Any, seconds: float | None) -> None:
        self.background: Future[None] | None = None
        self._pool = pool
        self._seconds = seconds

    async def fetch(self, statement: str, *parameters: Any, entries: int = 1) -> Rows:
        return await self._run("fetch", entries, statement, *parameters)

    async def run_script(self, script: str) -> None:
        await self._run("execute", 1, script)

    async def _run(self, method: str, entries: int, *arguments: Any) -> Any:
        if self._pool.is_closing():
            message = "the pool that was passed in has been closed"
            raise StoreSetupError(message)
        seconds = scaled_timeout(self._seconds, entries)
        try:
            # The limit also covers the release of the connection, which never ends if the server hangs.
            async with timeout(seconds), self._pool.acquire(timeout=seconds) as connection:
                return await getattr(connection, method)(*arguments)
        except AsyncioTimeoutError as exc:
            raise _timeout_error(seconds) from exc

    async def close(self) -> None:
        """Do nothing: the caller closes the pool."""


def _timeout_error(seconds: float | None) -> TimeoutError:
    limit = "the time limit of the connection" if seconds is None else f"timeout={seconds:g} s"
    return TimeoutError(f"no answer within {limit}")


async def _close(connection: Any, seconds: float) -> None:
    """Close the connection; a statement still running for a cancelled call is cancelled first."""
    try:
        await connection.close(timeout=seconds)
    except (OSError, AsyncioTimeoutError, exceptions.PostgresError, exceptions.InterfaceError):
        # The server did not take part in the shutdown.
        connection.terminate()
