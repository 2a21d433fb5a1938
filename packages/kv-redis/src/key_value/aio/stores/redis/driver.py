"""The only module that uses redis-py: opens connections, parses URLs, maps errors."""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from ssl import SSLError
from typing import Any, cast

from key_value.aio.core.clients import check_client
from key_value.aio.core.driver_errors import DriverErrors, Meaning, reason_of
from key_value.aio.core.forks import ForkAware, sever
from key_value.aio.core.resp.positions import UnservedSlotError
from key_value.aio.errors import KeyValueStoreError, StoreConnectionError, StoreSetupError, StoreTimeoutError
from key_value.aio.stores.redis.connection import Connection, ConnectionLostError, DeadlineError, Owner

from redis import exceptions
from redis.asyncio import ConnectionPool, Redis, RedisCluster
from redis.asyncio.connection import Connection as TcpConnection
from redis.asyncio.connection import DefaultParser, SSLConnection
from redis.asyncio.connection import parse_url as parse_driver_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel
from redis.backoff import NoBackoff
from redis.crc import key_slot as slot_of
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    NoScriptError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)

__all__ = [
    "DRIVER_ERRORS",
    "AskError",
    "Client",
    "ClusterDownError",
    "MovedError",
    "NoScriptError",
    "ReadOnlyError",
    "ResponseError",
    "SSLConnection",
    "TryAgainError",
    "UnknownOptionError",
    "UnusableError",
    "check_connection",
    "check_kind",
    "client_options",
    "find_master",
    "is_cluster",
    "is_unsent",
    "open_connection",
    "parse_driver_url",
    "slot_of",
]


Client = Redis | RedisCluster

_DEFAULT_CONNECTIONS = 50
# The time limit for one Sentinel before the next is asked.
_SENTINEL_TIMEOUT_SECONDS = 0.5

_parse_error = cast("Callable[[str], Exception]", cast("Any", DefaultParser).parse_error)


class _Opening(ForkAware):
    """The connections that redis-py is opening. After a fork, the child leaves them to its parent."""

    def __init__(self) -> None:
        super().__init__()
        self.drivers: set[Any] = set()

    def after_fork_in_child(self) -> None:
        for driver in self.drivers:
            if driver.is_connected:
                sever(driver._writer.transport)  # noqa: SLF001 — no public access
        self.drivers.clear()


_opening = _Opening()


class UnusableError(Exception):
    """A failure that a retry does not fix. The message is the reason, without secrets."""


class UnknownOptionError(ValueError):
    """redis-py has no option of this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"redis-py has no option {name!r}")
        self.name = name


_UNKNOWN_OPTION = re.compile(r"unexpected keyword argument '(.+)'")

_CREDENTIALS = "wrong user name or password, or missing credentials"
_RESHARDING = "the cluster is moving keys, or one of its nodes is down"

# An error reply begins with a code; a name or a value may follow it.
_CODES = {
    "WRONGTYPE": "a value that is not a string is stored under the name of the entry",
    "MISCONF": "the server refuses writes because it cannot save to its disk",
    "NOREPLICAS": "the server refuses writes because it has too few replicas",
    "BUSY": "the server is busy with a script",
    "ERR": "the server refuses the command",
}


# Error replies to SELECT, which have no code.
_NO_DATABASE = ("DB index is out of range", "invalid DB index", "SELECT is not allowed")


def _reply_meaning(error: Exception) -> Meaning:
    text = str(error)
    if text.removeprefix("ERR ").startswith(_NO_DATABASE):
        return StoreSetupError, "the server has no database with this number"
    code = text.partition(" ")[0]
    return KeyValueStoreError, _CODES.get(code, code if code.isupper() else type(error).__qualname__)


def _cluster_meaning(error: Exception) -> Meaning:
    if "Cluster mode is not enabled" in str(error):
        return StoreSetupError, "the server is not a cluster node: pass a Redis instead of the RedisCluster"
    return StoreConnectionError, "no node of the cluster answers for the key"


def _connection_reason(error: Exception) -> str:
    text = str(error)
    if "max number of clients" in text:
        return "the server has no free connection (maxclients)"
    return reason_of(error)


DRIVER_ERRORS: DriverErrors = {
    UnusableError: (StoreSetupError, str),
    DeadlineError: (StoreTimeoutError, str),
    ConnectionLostError: (StoreConnectionError, str),
    exceptions.TimeoutError: (StoreTimeoutError, "no answer within socket_timeout or socket_connect_timeout"),
    exceptions.ConnectionError: (StoreConnectionError, _connection_reason),
    exceptions.BusyLoadingError: (StoreConnectionError, "the server is loading its data"),
    exceptions.AuthenticationError: (StoreSetupError, _CREDENTIALS),
    exceptions.AuthorizationError: (StoreSetupError, _CREDENTIALS),
    exceptions.NoPermissionError: (StoreSetupError, "this user lacks the right to a required command or key"),
    # During a failover or resharding, the same call works a moment later.
    exceptions.ReadOnlyError: (StoreConnectionError, "the server is a replica, as during a failover"),
    exceptions.MasterDownError: (StoreConnectionError, "the server has lost its master"),
    exceptions.ClusterDownError: (StoreConnectionError, _RESHARDING),
    UnservedSlotError: (StoreConnectionError, _RESHARDING),
    exceptions.AskError: (StoreConnectionError, _RESHARDING),
    exceptions.TryAgainError: (StoreConnectionError, _RESHARDING),
    exceptions.RedisClusterException: _cluster_meaning,
    MasterNotFoundError: (StoreConnectionError, "no Sentinel that answers knows a running master of this name"),
    exceptions.MovedError: (
        StoreSetupError,
        "the server is a node of a cluster: pass its URL in a list, or a RedisCluster",
    ),
    exceptions.OutOfMemoryError: (KeyValueStoreError, "the server is out of memory (maxmemory)"),
    exceptions.ResponseError: _reply_meaning,
    exceptions.RedisError: KeyValueStoreError,
}


def check_connection(options: Mapping[str, Any]) -> None:
    """Raise UnknownOptionError for an option that redis-py does not have, and ValueError for others that it rejects."""
    try:
        _make_driver_connection(options)
    except (TypeError, ValueError, exceptions.RedisError) as exc:
        unknown = _UNKNOWN_OPTION.search(str(exc))
        if unknown is not None:
            raise UnknownOptionError(unknown[1]) from exc
        message = f"redis-py rejects these options: {exc}"
        raise ValueError(message) from exc


async def open_connection(options: Mapping[str, Any], owner: Owner) -> Connection:
    """Return a connection on which redis-py has completed TLS, authentication and SELECT."""
    driver = _make_driver_connection(options)
    _check_files(driver)
    connection = Connection(_parse_error, owner)
    _opening.drivers.add(driver)
    try:
        await driver.connect()
    except BaseException:
        if driver.is_connected:
            driver._writer.transport.abort()  # noqa: SLF001 — closing a TLS connection may take 30 s
            await driver.disconnect(nowait=True)
        raise
    finally:
        _opening.drivers.discard(driver)
    # Detach the streams from redis-py, which would warn about an unclosed connection.
    writer, driver._writer, driver._reader = driver._writer, None, None  # noqa: SLF001 — no public access
    connection.attach(writer)
    return connection


async def find_master(sentinels: Sequence[Mapping[str, Any]], service: str) -> tuple[str, int]:
    """Return host and port of the service's master, from the first Sentinel that knows it."""
    finder: Any = Sentinel([])
    *others, last = random.sample(sentinels, len(sentinels))
    # The last one has no time limit but the caller's.
    finder.sentinels = [
        *(_sentinel_client(each, _SENTINEL_TIMEOUT_SECONDS) for each in others),
        _sentinel_client(last, None),
    ]
    try:
        return await finder.discover_master(service)
    finally:
        await finder.aclose()


def _sentinel_client(sentinel: Mapping[str, Any], seconds: float | None) -> Any:
    limits: dict[str, Any] = {"socket_timeout": seconds, "socket_connect_timeout": seconds}
    return Redis.from_pool(ConnectionPool(**{**limits, **_driver_options(sentinel)}))


def check_kind(client: object) -> None:
    """Raise TypeError unless it is a client for asyncio, for one server or a cluster."""
    check_client(client, Redis, RedisCluster)


def is_unsent(error: Exception) -> bool:
    """Whether the call failed because no connection could be opened, so that another node may succeed."""
    hopeless = (exceptions.AuthenticationError, exceptions.AuthorizationError)
    return isinstance(error, exceptions.ConnectionError) and not isinstance(error, hopeless)


def is_cluster(client: Client) -> bool:
    return isinstance(client, RedisCluster)


def client_options(client: Client) -> tuple[list[Mapping[str, Any]], int]:
    """Return the configured nodes of a caller's client, and its maximum number of connections to one."""
    if isinstance(client, RedisCluster):
        nodes: list[Mapping[str, Any]] = [
            {"host": node.host, "port": node.port} for node in client.nodes_manager.startup_nodes.values()
        ]
        return nodes, client.connection_kwargs.get("max_connections", _DEFAULT_CONNECTIONS)
    pool = client.connection_pool
    # A Sentinel pool has only the service name until it has asked for the master's address.
    service = getattr(pool, "service_name", None)
    node = {**pool.connection_kwargs, **({} if service is None else {"host": service})}
    return [node], min(pool.max_connections, _DEFAULT_CONNECTIONS)


def _make_driver_connection(options: Mapping[str, Any]) -> Any:
    others = _driver_options({"socket_timeout": None, "socket_connect_timeout": None, **options})
    return others.pop("connection_class", TcpConnection)(**others)


def _driver_options(options: Mapping[str, Any]) -> dict[str, Any]:
    # By default redis-py makes eleven attempts, each with its own timeout. The channel's time limit replaces both;
    # retrying is up to the caller. Protocol 3 would add push messages.
    return {**options, "protocol": 2, "retry": Retry(NoBackoff(), 0)}


def _check_files(driver: Any) -> None:
    if not isinstance(driver, SSLConnection):
        return
    try:
        cast("Any", driver.ssl_context).get()
    except (OSError, ValueError) as exc:
        reason = (
            (exc.reason or "not a PEM file").replace("_", " ").lower() if isinstance(exc, SSLError) else reason_of(exc)
        )
        message = f"the TLS files cannot be used: {reason}"
        raise UnusableError(message) from exc
