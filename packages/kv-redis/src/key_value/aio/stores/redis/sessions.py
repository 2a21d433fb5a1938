"""Sessions for the places that a store is given."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from key_value.aio.stores.redis.cluster import ClusterSession
from key_value.aio.stores.redis.connection import Connection, Owner
from key_value.aio.stores.redis.driver import find_master, open_connection
from key_value.aio.stores.redis.lane import Open
from key_value.aio.stores.redis.session import Session
from key_value.aio.stores.redis.single import ServerSession
from key_value.aio.stores.redis.topology import Address

__all__ = ["sessions_of_cluster", "sessions_of_server", "sessions_of_service"]

Nodes = Sequence[Mapping[str, Any]]


def sessions_of_server(nodes: Nodes, seconds: float | None, connections: int) -> Callable[[], Session]:
    """What makes a session with the one server, for an event loop."""
    [options] = nodes
    return partial(ServerSession, partial(open_connection, options), _shorter(seconds, options), connections)


def sessions_of_service(
    options: Mapping[str, Any], service: str, sentinels: Nodes, seconds: float | None, connections: int
) -> Callable[[], Session]:
    """What makes a session with the server that Sentinel names when a connection is opened."""

    async def open_master(owner: Owner) -> Connection:
        host, port = await find_master(sentinels, service)
        return await open_connection({**options, "host": host, "port": port}, owner)

    return partial(ServerSession, open_master, _shorter(seconds, options), connections)


def sessions_of_cluster(nodes: Nodes, seconds: float | None, connections: int) -> Callable[[], Session]:
    """What makes a session with the cluster that has these nodes. The options of the first count for all.

    Raises ValueError for options that a cluster does not have.
    """
    if any("path" in node or node.get("db") for node in nodes):
        message = "the options of a cluster have neither a socket nor a database"
        raise ValueError(message)
    addresses = [(str(node.get("host", "localhost")), int(node.get("port", 6379))) for node in nodes]

    def open_at(address: Address) -> Open:
        host, port = address
        return partial(open_connection, {**nodes[0], "host": host, "port": port})

    return partial(ClusterSession, open_at, addresses, _shorter(seconds, nodes[0]), connections)


def _shorter(seconds: float | None, options: Mapping[str, Any]) -> float | None:
    """The limit, or the `socket_timeout` of a URL where that is shorter."""
    limits = (seconds, options.get("socket_timeout"))
    return min((limit for limit in limits if limit is not None), default=None)
