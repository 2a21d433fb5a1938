"""Checks of store options, and their conversion to a valkey-glide configuration."""

from pathlib import Path
from typing import Any, NamedTuple

from glide import (
    AdvancedGlideClientConfiguration,
    AdvancedGlideClusterClientConfiguration,
    BackoffStrategy,
    GlideClientConfiguration,
    GlideClusterClientConfiguration,
    NodeAddress,
    ServerCredentials,
    TlsAdvancedConfiguration,
)
from key_value.aio.core.driver_errors import reason_of
from key_value.aio.core.urls import StoreURL, host_and_port, redacted
from key_value.aio.stores.valkey.driver import Configuration, UnusableError

__all__ = ["ServerOptions", "check_server_options", "describe", "make_configuration", "options_in_url"]

_MAX_PORT = 2**16 - 1
_MAX_DATABASE = 2**31 - 1
# The factor is in milliseconds. By default, the driver's pauses grow to seconds when a server is down for long.
_RECONNECT = BackoffStrategy(num_of_retries=2, factor=50, exponent_base=2)
_MAX_CONNECT_TIMEOUT_MILLISECONDS = 2000
_NO_LIMIT_MILLISECONDS = 2**31 - 1
# The store does not limit its calls, and the driver keeps counting an abandoned call for a while.
_MAX_CALLS_IN_FLIGHT = 1_000_000


class ServerOptions(NamedTuple):
    """The address of a server, with credentials and TLS options."""

    host: str
    port: int
    db: int
    username: str | None
    password: str | None
    cluster: bool
    ssl: bool
    ssl_ca_certs: str | None
    ssl_certfile: str | None
    ssl_keyfile: str | None
    ssl_verify: bool

    @property
    def description(self) -> str:
        return f"{'valkeys' if _uses_tls(self) else 'valkey'}://{host_and_port(self.host, self.port)}/{self.db}"


def check_server_options(options: ServerOptions) -> None:
    """Raise ValueError for invalid options."""
    if not options.host:
        message = "host must not be empty"
        raise ValueError(message)
    for name, value, least, most in (("port", options.port, 1, _MAX_PORT), ("db", options.db, 0, _MAX_DATABASE)):
        if not least <= value <= most:
            message = f"{name} must be from {least} to {most}, not {value}"
            raise ValueError(message)
    if options.username is not None and options.password is None:
        message = "username requires a password"
        raise ValueError(message)
    if (options.ssl_certfile is None) is not (options.ssl_keyfile is None):
        message = "ssl_certfile and ssl_keyfile must be passed together"
        raise ValueError(message)


def options_in_url(url: StoreURL) -> dict[str, Any]:
    """Return the store options given by the parts of a URL. Raises ValueError for a missing host or invalid path."""
    database = url.path.removeprefix("/")
    if database and not (database.isascii() and database.isdecimal()):
        message = f"{redacted(url.url)}: the path must be a database number"
        raise ValueError(message)
    if url.host is None:
        message = f"{redacted(url.url)} must name a host, as in {url.scheme}://host:6379/0"
        raise ValueError(message)
    given = {
        "host": url.host,
        "port": url.port,
        "db": int(database) if database else None,
        "username": url.username or None,
        "password": url.password,
        "ssl": True if url.scheme == "valkeys" else None,
    }
    return {name: value for name, value in given.items() if value is not None}


def make_configuration(options: ServerOptions, seconds: float | None) -> Configuration:
    """Return the driver's configuration for the options. Raises UnusableError for TLS files that cannot be read."""
    milliseconds = _NO_LIMIT_MILLISECONDS if seconds is None else max(1, int(seconds * 1000))
    # Connecting gets half of the limit, so that an unreachable server is reported as such and not as a timeout.
    advanced: dict[str, Any] = {
        "connection_timeout": min(_MAX_CONNECT_TIMEOUT_MILLISECONDS, max(1, milliseconds // 2)),
        "tls_config": _tls_of(options),
    }
    settings: dict[str, Any] = {
        "addresses": [NodeAddress(options.host, options.port)],
        "use_tls": _uses_tls(options),
        "credentials": None if options.password is None else ServerCredentials(options.password, options.username),
        "request_timeout": milliseconds,
        "reconnect_strategy": _RECONNECT,
        "database_id": options.db or None,
        "inflight_requests_limit": _MAX_CALLS_IN_FLIGHT,
    }
    if options.cluster:
        return GlideClusterClientConfiguration(
            **settings, advanced_config=AdvancedGlideClusterClientConfiguration(**advanced)
        )
    return GlideClientConfiguration(**settings, advanced_config=AdvancedGlideClientConfiguration(**advanced))


def describe(config: Configuration) -> str:
    """Return the addresses of the servers, without credentials."""
    scheme = "valkeys" if config.use_tls else "valkey"
    addresses = [str(each.unix_socket_path or host_and_port(each.host, each.port)) for each in config.addresses]
    # The same form as `ServerOptions.description`.
    return f"{scheme}://{','.join(addresses)}/{config.database_id or 0}"


def _uses_tls(options: ServerOptions) -> bool:
    return options.ssl or any((options.ssl_ca_certs, options.ssl_certfile))


def _tls_of(options: ServerOptions) -> TlsAdvancedConfiguration | None:
    if not _uses_tls(options):
        return None
    return TlsAdvancedConfiguration(
        use_insecure_tls=None if options.ssl_verify else True,
        root_pem_cacerts=_read_pem(options.ssl_ca_certs),
        client_cert_pem=_read_pem(options.ssl_certfile),
        client_key_pem=_read_pem(options.ssl_keyfile),
    )


def _read_pem(path: str | None) -> bytes | None:
    if path is None:
        return None
    try:
        content = Path(path).expanduser().read_bytes()
    except OSError as exc:
        message = f"the TLS files cannot be used: {reason_of(exc)}"
        raise UnusableError(message) from exc
    if b"-----BEGIN " not in content:
        message = "the TLS files cannot be used: not a PEM file"
        raise UnusableError(message)
    return content
