"""ValkeyStore, which stores each entry as a string named `collection::key`."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from key_value.aio.core.lifecycle import PerLoop
from key_value.aio.core.numbers import checked_timeout
from key_value.aio.core.secret_text import Text, plain
from key_value.aio.core.type_checks import warn_types
from key_value.aio.stores.base.resp import BaseRespStore, resp_capabilities
from key_value.aio.stores.valkey.driver import (
    DRIVER_ERRORS,
    Client,
    Configuration,
    check_configuration,
    check_kind,
    configuration_of,
    is_cluster,
)
from key_value.aio.stores.valkey.options import (
    ServerOptions,
    check_server_options,
    describe,
    make_configuration,
    options_in_url,
)
from key_value.aio.stores.valkey.session import ClientSession, OwnSession

if TYPE_CHECKING:
    from key_value.aio.core.capabilities import Capabilities
    from key_value.aio.core.urls import StoreURL

__all__ = ["ValkeyStore"]


class ValkeyStore(BaseRespStore):
    """Entries in Valkey, with native expiry in milliseconds. Each operation and batch is one round trip.

    In a cluster, a batch takes one round trip to each node that holds some of its keys, and is not atomic.
    """

    driver_errors = DRIVER_ERRORS

    @warn_types
    def __init__(
        self,
        *,
        client: Client | None = None,
        config: Configuration | None = None,
        default_collection: str | None = None,
        host: str = "localhost",
        port: int = 6379,
        db: int = 0,
        username: Text | None = None,
        password: Text | None = None,
        cluster: bool = False,
        ssl: bool = False,
        ssl_ca_certs: str | None = None,
        ssl_certfile: str | None = None,
        ssl_keyfile: str | None = None,
        ssl_verify: bool = True,
        timeout: float | None = 5.0,
    ) -> None:
        """Create a store from a client, a client configuration, or the options of one server.

        `client` is a GlideClient or GlideClusterClient; the caller closes it, and it belongs to one event loop.
        `config` is the configuration of such a client, with every option of valkey-glide; its class decides between a
        single server and a cluster. Otherwise `host` and `port` name the server, or with `cluster` any node of a
        cluster. Without a client, each event loop gets its own, created at the first use. pydantic's SecretStr is
        accepted in place of strings.

        `timeout` is the time limit of an operation in seconds, None for no limit; a batch gets `timeout` once more for
        each full thousand of its entries. The limits of a client or configuration also apply: without a
        `request_timeout`, 250 ms.

        TLS is enabled by `ssl` and by any of the TLS files, which are PEM; `ssl_verify=False` accepts any certificate.

        Raises ValueError for both client and config, for invalid options, and for a limit that is not positive;
        TypeError for a client or config of another type.
        """
        if client is not None and config is not None:
            message = "pass a client or a config, not both"
            raise ValueError(message)
        seconds = checked_timeout(timeout)
        if client is not None:
            check_kind(client)
            own = configuration_of(client)
            self._sessions = _sessions(lambda: ClientSession(own, seconds, client))
            where, in_cluster = describe(own), is_cluster(client)
        elif config is not None:
            check_configuration(config)
            self._sessions = _sessions(lambda: OwnSession(config, seconds))
            where, in_cluster = describe(config), is_cluster(config)
        else:
            options = ServerOptions(
                *(host, port, db, plain(username), plain(password), cluster),
                *(ssl, ssl_ca_certs, ssl_certfile, ssl_keyfile, ssl_verify),
            )
            check_server_options(options)
            self._sessions = _sessions(lambda: OwnSession(make_configuration(options, seconds), seconds))
            where, in_cluster = options.description, cluster
        self._location = where
        self.capabilities: Capabilities = resp_capabilities(atomic_put_many=not in_cluster)
        super().__init__(default_collection=default_collection)

    @classmethod
    def _url_options(cls, url: "StoreURL") -> dict[str, Any]:
        return options_in_url(url)

    def __repr__(self) -> str:
        return f"ValkeyStore({self._location})"

    def _session(self) -> ClientSession:
        return self._sessions.get()

    async def _close(self) -> None:
        await self._sessions.close()


def _sessions(create: Callable[[], ClientSession]) -> PerLoop[ClientSession]:
    return PerLoop(
        create, lambda session: session.close(), lambda session: session.release(), lambda session: session.idle
    )
