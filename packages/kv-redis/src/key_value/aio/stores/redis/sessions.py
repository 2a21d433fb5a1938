"""Session factories for a single server, a Sentinel service and a cluster."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from key_value.aio.stores.redis.channel import OpenConnection
from key_value.aio.stores.redis.cluster import ClusterSession
from key_value.aio.stores.redis.connection import Connection, Owner
from key_value.aio.stores.redis.driver import find_master, open_connection
from key_value.aio.stores.redis.session import Session
from key_value.aio.stores.redis.single import ServerSession
from key_value.aio.stores.redis.topology import Address

__all__ = ["cluster_session_factory", "server_session_factory", "service_session_factory"]

Nodes = Sequence[Mapping[str, Any]]


def server_session_factory(nodes: Nodes, seconds: float | None, connections: int) -> Callable[[], Session]:
    """Return a factory of sessions with the one server; it runs in the event loop of the session."""
    [options] = nodes
    return partial(ServerSession, partial(open_connection, options), _shorter_limit(seconds, options), connections)


def service_session_factory(
    options: Mapping[str, Any], service: str, sentinels: Nodes, seconds: float | None, connections: int
) -> Callable[[], Session]:
    """Return a factory of sessions with the master; each new connection asks Sentinel for its address."""

    async def open_master(owner: Owner) -> Connection:
        host, port = await find_master(sentinels, service)
        return await open_connection({**options, "host": host, "port": port}, owner)

    return partial(ServerSession, open_master, _shorter_limit(seconds, options), connections)


def cluster_session_factory(nodes: Nodes, seconds: float | None, connections: int) -> Callable[[], Session]:
    """Return a factory of sessions with the cluster of these nodes. The options of the first apply to all.

    Raises ValueError for a socket path or a database number, which a cluster does not support.
    """
    if any("path" in node or node.get("db") for node in nodes):
        message = "the options of a cluster cannot include a unix socket or a database number"
        raise ValueError(message)
    addresses = [(str(node.get("host", "localhost")), int(node.get("port", 6379))) for node in nodes]

    def open_at(address: Address) -> OpenConnection:
        host, port = address
        return partial(open_connection, {**nodes[0], "host": host, "port": port})

    return partial(ClusterSession, open_at, addresses, _shorter_limit(seconds, nodes[0]), connections)


def _shorter_limit(seconds: float | None, options: Mapping[str, Any]) -> float | None:
    """Return the limit, or the URL's `socket_timeout` if that is shorter."""
    limits = (seconds, options.get("socket_timeout"))
    return min((limit for limit in limits if limit is not None), default=None)
