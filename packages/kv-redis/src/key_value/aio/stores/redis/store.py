"""RedisStore, which stores each entry as a string named `collection::key`."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from key_value.aio.core.lifecycle import PerLoop
from key_value.aio.core.numbers import checked_count, checked_timeout
from key_value.aio.core.secret_text import SecretText, Text, plain
from key_value.aio.core.type_checks import warn_types
from key_value.aio.stores.base.resp import BaseRespStore, resp_capabilities
from key_value.aio.stores.redis.client_session import ClientSession
from key_value.aio.stores.redis.driver import (
    DRIVER_ERRORS,
    Client,
    check_kind,
    client_options,
    is_cluster,
)
from key_value.aio.stores.redis.options import (
    URLObject,
    checked_connections,
    complete,
    describe,
    master_options,
    parse_urls,
    sentinel_options,
)
from key_value.aio.stores.redis.sessions import cluster_session_factory, server_session_factory, service_session_factory

if TYPE_CHECKING:
    from key_value.aio.core.capabilities import Capabilities
    from key_value.aio.core.urls import StoreURL
    from key_value.aio.stores.redis.session import Session

__all__ = ["RedisStore"]


class RedisStore(BaseRespStore):
    """Entries in Redis, with native expiry in milliseconds. Each operation and batch is one round trip.

    In a cluster, a batch takes one round trip to each node that holds some of its keys, and is not atomic.
    """

    driver_errors = DRIVER_ERRORS
    driver_reads_query = True

    @warn_types
    def __init__(
        self,
        *,
        client: Client | None = None,
        default_collection: str | None = None,
        url: str | SecretText | URLObject | Sequence[str | SecretText | URLObject] | None = None,
        sentinel: str | None = None,
        host: str = "localhost",
        port: int = 6379,
        db: int = 0,
        username: Text | None = None,
        password: Text | None = None,
        ssl: bool = False,
        ssl_ca_certs: str | None = None,
        ssl_certfile: str | None = None,
        ssl_keyfile: str | None = None,
        ssl_check_hostname: bool = True,
        ssl_cert_reqs: str | None = None,
        timeout: float | None = 5.0,
        max_connections: int = 8,
    ) -> None:
        """Create a store from a client, a URL, or the options of one server.

        `client` is a redis.asyncio Redis (including one obtained from Sentinel) or RedisCluster; the caller closes it,
        it belongs to one event loop, and commands go through its own pool. `url` is a redis-py URL, with its query
        options; a list of URLs names known nodes of a cluster. With `sentinel`, the name of a service, the URLs are
        those of Sentinels, which report the address of the master: credentials in a URL are then for Sentinel,
        `username` and `password` for the master. pydantic's URLs and SecretStr are accepted in place of strings.
        Without a client, each event loop gets its own connections, on which the commands of all callers are pipelined.

        `timeout` is the time limit of an operation in seconds, None for no limit; a batch gets `timeout` once more for
        each full thousand of its entries. The store uses one connection until a large command or reply delays the
        others, and opens at most `max_connections` to one server. With a client, as many commands are in flight as it
        has connections.

        TLS is enabled by `ssl`, by any of the TLS files, and by rediss:// in the URL.

        Raises ValueError for a malformed URL or one with a part that redis-py ignores, for options that redis-py
        rejects, for both client and url, and for a limit that is not positive; TypeError for a client that is not
        for asyncio.
        """
        if client is not None and (url is not None or sentinel is not None):
            message = "pass a client or a url, not both"
            raise ValueError(message)
        if sentinel is not None and url is None:
            message = "sentinel names a service; pass the url of a Sentinel, or a list of several, with it"
            raise ValueError(message)
        seconds = checked_timeout(timeout)
        checked_count(max_connections, "max_connections", least=1)
        if client is None:
            ssl = ssl or any((ssl_ca_certs, ssl_certfile, ssl_keyfile))
            credentials = {"username": plain(username), "password": plain(password)}
            tls = {
                "ssl_ca_certs": ssl_ca_certs,
                "ssl_certfile": ssl_certfile,
                "ssl_keyfile": ssl_keyfile,
                "ssl_check_hostname": ssl_check_hostname,
                **({} if ssl_cert_reqs is None else {"ssl_cert_reqs": ssl_cert_reqs}),
            }
            parsed = [{"host": host, "port": port, "db": db}] if url is None else parse_urls(url)
            connections = checked_connections(parsed, max_connections)
            cluster = sentinel is None and isinstance(url, Sequence) and not isinstance(url, str)
            if sentinel is None:
                nodes = [complete(node, credentials, tls, ssl=ssl) for node in parsed]
                sessions = cluster_session_factory if cluster else server_session_factory
                create = sessions(nodes, seconds, connections)
            else:
                nodes = [complete(sentinel_options(node), {}, tls, ssl=ssl) for node in parsed]
                master = complete(master_options(parsed[0], db), credentials, tls, ssl=ssl)
                create = service_session_factory(master, sentinel, nodes, seconds, connections)
        else:
            check_kind(client)
            cluster = is_cluster(client)
            nodes, connections = client_options(client)
            create = partial(ClientSession, client, seconds, connections)
        self._sessions: PerLoop[Session] = PerLoop(
            create,
            close=lambda session: session.close(),
            release=lambda session: session.release(),
            is_idle=lambda session: session.idle,
        )
        self._location = describe(nodes) if sentinel is None else f"{sentinel} at {describe(nodes)}"
        self.capabilities: Capabilities = resp_capabilities(atomic_put_many=not cluster)
        super().__init__(default_collection=default_collection)

    @classmethod
    def _url_options(cls, url: "StoreURL") -> dict[str, Any]:
        return {"url": url.url}

    def __repr__(self) -> str:
        return f"RedisStore({self._location})"

    def _session(self) -> "Session":
        return self._sessions.get()

    async def _close(self) -> None:
        await self._sessions.close()
