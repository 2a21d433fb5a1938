"""The one module that talks to redis-py: makes clients from options, runs commands on them, knows their errors."""

import sys
from asyncio import Semaphore
from asyncio import TimeoutError as AsyncioTimeoutError
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from hiredis import pack_command  # pyright: ignore[reportUnknownVariableType] — its stub has the argument alone
from key_value.aio.core.driver_errors import DriverErrors
from key_value.aio.errors import KeyValueStoreError, StoreConnectionError, StoreSetupError, StoreTimeoutError

from redis import exceptions
from redis.asyncio import ConnectionPool, Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff, NoBackoff

if sys.version_info >= (3, 11):
    from asyncio import timeout
else:
    from async_timeout import timeout

__all__ = [
    "DRIVER_ERRORS",
    "Client",
    "Command",
    "Session",
    "check_options",
    "client_options",
    "complete",
    "connect",
    "describe",
    "is_cluster",
    "parse_urls",
]

Client = Redis | RedisCluster

DRIVER_ERRORS: DriverErrors = {
    exceptions.TimeoutError: StoreTimeoutError,
    exceptions.ConnectionError: StoreConnectionError,
    exceptions.AuthenticationError: StoreSetupError,
    exceptions.AuthorizationError: StoreSetupError,
    exceptions.NoPermissionError: StoreSetupError,
    # A failover or a resharding is under way: the same call works a moment later.
    exceptions.ReadOnlyError: StoreConnectionError,
    exceptions.ClusterDownError: StoreConnectionError,
    exceptions.AskError: StoreConnectionError,
    exceptions.TryAgainError: StoreConnectionError,
    exceptions.RedisClusterException: StoreConnectionError,
    exceptions.RedisError: KeyValueStoreError,
    # A connection that another task is closing, or that was reset while nobody used it, has None where redis-py and,
    # in Python 3.12 and 3.13, asyncio itself expect a stream.
    AttributeError: StoreConnectionError,
    TypeError: StoreConnectionError,
}

_LOST = (exceptions.ConnectionError, AttributeError, TypeError)

_PAGE = 500
_DEFAULT_CONNECTIONS = 50
_ENTRIES_PER_TIMEOUT = 1000

Command = tuple[str | bytes | int, ...]


class _LeanRedis(Redis):
    """Redis without the retries, metrics and answer callbacks of each command: they are a third of its time.

    Commands are packed in C, which for a hundred names takes an eighth of the time.
    """

    async def execute_command(self, *args: Any, **_: Any) -> Any:
        pool: Any = self.connection_pool
        connection = pool.get_available_connection()
        try:
            await pool.ensure_connection(connection)
            try:
                await connection.send_packed_command(pack_command(args))
            except _LOST:
                # It was reset while nobody used it, which shows only now. This opens it again.
                await connection.send_packed_command(pack_command(args))
            return await connection.read_response(disable_decoding=True)
        finally:
            await pool.release(connection)


class Session:
    """A client in the event loop that it belongs to, with as many commands under way as it has connections.

    Answers are bytes, whatever the client's `decode_responses`: entries are UTF-8, and names of others may be nothing.
    """

    def __init__(self, client: Client, connections: int, seconds: float | None) -> None:
        self._client: Any = client  # redis-py types its commands as sync or async, not as the one or the other
        self._free = Semaphore(connections)
        self._seconds = seconds
        self.is_cluster = isinstance(client, RedisCluster)

    async def execute(self, *command: str | bytes | int, entries: int = 1) -> Any:
        """The answer to one command."""
        async with timeout(self._deadline(entries)), self._free:
            if self.is_cluster:
                # By itself the client sends its first commands to any node, before it knows which is the right one.
                await self._client.initialize()
            return await self._client.execute_command(*command, NEVER_DECODE=True)

    async def execute_each(self, commands: Sequence[Command]) -> list[Any]:
        """The answers to several commands, in one transaction and round trip; a cluster takes one for each node."""
        pipeline = self._client.pipeline()
        for command in commands:
            pipeline.execute_command(*command, NEVER_DECODE=True)
        async with timeout(self._deadline(len(commands))), self._free:
            return await pipeline.execute()

    async def get_each(self, names: Sequence[str]) -> list[bytes | None]:
        """The string under each name, None where there is none."""
        if self.is_cluster:
            return await self.execute_each([("GET", name) for name in names])
        return await self.execute("MGET", *names, entries=len(names))

    async def unlink_each(self, names: Sequence[str]) -> int:
        """Remove what is under the names; how many there were."""
        if self.is_cluster:
            return sum(await self.execute_each([("UNLINK", name) for name in names]))
        return await self.execute("UNLINK", *names, entries=len(names))

    async def scan(self, pattern: str) -> AsyncIterator[list[bytes]]:
        """Pages of the names of strings that match the glob pattern. A name may come twice."""
        if self.is_cluster:
            await self._client.initialize()
        for node in self._client.get_primaries() if self.is_cluster else [self._client]:
            cursor = 0
            while True:
                async with timeout(self._seconds), self._free:
                    cursor, names = await node.execute_command(
                        "SCAN", cursor, "MATCH", pattern, "COUNT", _PAGE, "TYPE", "string", NEVER_DECODE=True
                    )
                if names:
                    yield names
                if not int(cursor):
                    break

    async def close(self) -> None:
        # A server that does not answer holds a TLS connection open for half a minute.
        with suppress(AsyncioTimeoutError):
            async with timeout(self._seconds):
                await self._client.aclose()

    def _deadline(self, entries: int) -> float | None:
        return None if self._seconds is None else self._seconds * (1 + entries // _ENTRIES_PER_TIMEOUT)


def parse_urls(url: str | Sequence[str]) -> list[dict[str, Any]]:
    """The connection options in one URL or several. Raises ValueError, without showing the URL and its password."""
    nodes: list[dict[str, Any]] = []
    with suppress(ValueError):
        nodes = [dict(parse_url(each)) for each in ([url] if isinstance(url, str) else url)]
    if not nodes:
        message = (
            "url must be redis://[user:password@]host[:port][/db], rediss://… for TLS or unix://[user:password@]/path, "
            "with characters of the password that mean something in a URL percent-encoded; or a list of such URLs, "
            "each a known node of a cluster"
        )
        raise ValueError(message)
    return nodes


def check_options(nodes: Sequence[Mapping[str, Any]], *, cluster: bool) -> None:
    """Raise ValueError when redis-py does not take the options of a node, or not together."""
    try:
        client = connect(nodes, cluster=cluster, connections=1)
        if isinstance(client, Redis):
            client.connection_pool.make_connection()
    except (TypeError, ValueError, exceptions.RedisError, exceptions.RedisClusterException) as exc:
        message = f"redis-py does not take these options: {exc}"
        raise ValueError(message) from exc


def connect(nodes: Sequence[Mapping[str, Any]], *, cluster: bool, connections: int) -> Client:
    """A client of the one server, or of the cluster these nodes belong to. It connects at its first command."""
    # Entries are written again by whoever must, not by the driver: by default redis-py makes eleven attempts, each
    # with a timeout of its own. A session's deadline stands in for both.
    common: dict[str, Any] = {"socket_timeout": None, "socket_connect_timeout": None, "max_connections": connections}
    # With protocol 3 redis-py takes a connection that the server has closed for one with notifications, and uses it.
    options: dict[str, Any] = {**common, **nodes[0], "protocol": 2}
    if cluster:
        if options.pop("connection_class", None) is SSLConnection:
            options["ssl"] = True
        # A few, to follow slots to where they have moved.
        options["retry"] = Retry(ExponentialBackoff(cap=0.5, base=0.05), 3)
        others = [ClusterNode(node.get("host", "localhost"), node.get("port", 6379)) for node in nodes[1:]]
        return RedisCluster(**options, startup_nodes=others)
    return _LeanRedis.from_pool(ConnectionPool(**options, retry=Retry(NoBackoff(), 0)))


def describe(nodes: Sequence[Mapping[str, Any]]) -> str:
    """Where the nodes are, without who may use them."""
    return ",".join(_describe(node) for node in nodes)


def _describe(node: Mapping[str, Any]) -> str:
    database = node.get("db") or 0
    if "path" in node:
        return f"unix://{node['path']}?db={database}"
    scheme = "rediss" if node.get("connection_class") is SSLConnection else "redis"
    return f"{scheme}://{node.get('host', 'localhost')}:{node.get('port', 6379)}/{database}"


def complete(
    node: Mapping[str, Any], credentials: Mapping[str, Any], tls: Mapping[str, Any], *, ssl: bool
) -> dict[str, Any]:
    """The options of a node, with what its URL leaves open. TLS options go to a connection that uses TLS."""
    options = {**credentials, **node}
    if ssl and "connection_class" not in options:
        options["connection_class"] = SSLConnection
    return {**tls, **options} if options.get("connection_class") is SSLConnection else options


def is_cluster(client: Client) -> bool:
    return isinstance(client, RedisCluster)


def client_options(client: Client) -> tuple[list[Mapping[str, Any]], int]:
    """The nodes a caller's client was made for, and how many connections it opens to one."""
    if isinstance(client, RedisCluster):
        nodes: list[Mapping[str, Any]] = [
            {"host": node.host, "port": node.port} for node in client.nodes_manager.startup_nodes.values()
        ]
        return nodes, client.connection_kwargs.get("max_connections", _DEFAULT_CONNECTIONS)
    pool = client.connection_pool
    # Sentinel tells the address of the master when it is asked; until then it has the name of the service.
    service = getattr(pool, "service_name", None)
    node = {**pool.connection_kwargs, **({} if service is None else {"host": service})}
    return [node], min(pool.max_connections, _DEFAULT_CONNECTIONS)
