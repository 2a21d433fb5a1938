"""From what a store is given to a configuration of valkey-glide."""

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
from key_value.aio.core.urls import StoreURL, redacted
from key_value.aio.stores.valkey.driver import Configuration, UnusableError

__all__ = ["Place", "check_place", "describe", "make_configuration", "options_in_url"]

_MOST_PORTS = 2**16 - 1
_MOST_DATABASES = 2**31 - 1
# In milliseconds. By default the driver waits for seconds when a server has been away for some, and for a quarter of
# a second for an answer.
_RECONNECT = BackoffStrategy(num_of_retries=2, factor=50, exponent_base=2)
_MOST_CONNECTING = 2000
_NO_LIMIT = 2**31 - 1
# The store has no limit of its own, and a call that was given up stays with the driver for a while.
_CALLS = 1_000_000


class Place(NamedTuple):
    """Where a server is, and how to come there."""

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
    def shown(self) -> str:
        return f"{'valkeys' if _uses_tls(self) else 'valkey'}://{self.host}:{self.port}/{self.db}"


def check_place(place: Place) -> None:
    """Raise ValueError for what cannot be."""
    if not place.host:
        message = "host must not be empty"
        raise ValueError(message)
    for name, value, least, most in (("port", place.port, 1, _MOST_PORTS), ("db", place.db, 0, _MOST_DATABASES)):
        if not least <= value <= most:
            message = f"{name} must be from {least} to {most}, not {value}"
            raise ValueError(message)
    if place.username is not None and place.password is None:
        message = "username needs a password beside it"
        raise ValueError(message)
    if (place.ssl_certfile is None) is not (place.ssl_keyfile is None):
        message = "ssl_certfile and ssl_keyfile go together"
        raise ValueError(message)


def options_in_url(url: StoreURL) -> dict[str, Any]:
    """The options of a store that the parts of a URL stand for. Raises ValueError for a part that means nothing."""
    database = url.path.removeprefix("/")
    if database and not (database.isascii() and database.isdecimal()):
        message = f"{redacted(url.url)}: the path must be the number of a database"
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


def make_configuration(place: Place, seconds: float | None) -> Configuration:
    """Raises UnusableError for files that cannot be read."""
    milliseconds = _NO_LIMIT if seconds is None else max(1, int(seconds * 1000))
    # Half of the limit, so that a server which cannot be reached is told as such.
    advanced: dict[str, Any] = {
        "connection_timeout": min(_MOST_CONNECTING, max(1, milliseconds // 2)),
        "tls_config": _tls_of(place),
    }
    options: dict[str, Any] = {
        "addresses": [NodeAddress(place.host, place.port)],
        "use_tls": _uses_tls(place),
        "credentials": None if place.password is None else ServerCredentials(place.password, place.username),
        "request_timeout": milliseconds,
        "reconnect_strategy": _RECONNECT,
        "database_id": place.db or None,
        "inflight_requests_limit": _CALLS,
    }
    if place.cluster:
        return GlideClusterClientConfiguration(
            **options, advanced_config=AdvancedGlideClusterClientConfiguration(**advanced)
        )
    return GlideClientConfiguration(**options, advanced_config=AdvancedGlideClientConfiguration(**advanced))


def describe(config: Configuration) -> str:
    """Where the servers are, and nothing of who may use them."""
    scheme = "valkeys" if config.use_tls else "valkey"
    places = [str(each.unix_socket_path or f"{each.host}:{each.port}") for each in config.addresses]
    # As `shown` of a place has it.
    return f"{scheme}://{','.join(places)}/{config.database_id or 0}"


def _uses_tls(place: Place) -> bool:
    return place.ssl or any((place.ssl_ca_certs, place.ssl_certfile))


def _tls_of(place: Place) -> TlsAdvancedConfiguration | None:
    if not _uses_tls(place):
        return None
    return TlsAdvancedConfiguration(
        use_insecure_tls=None if place.ssl_verify else True,
        root_pem_cacerts=_content_of(place.ssl_ca_certs),
        client_cert_pem=_content_of(place.ssl_certfile),
        client_key_pem=_content_of(place.ssl_keyfile),
    )


def _content_of(path: str | None) -> bytes | None:
    if path is None:
        return None
    try:
        content = Path(path).expanduser().read_bytes()
    except OSError as exc:
        message = f"the files for TLS cannot be used: {reason_of(exc)}"
        raise UnusableError(message) from exc
    if b"-----BEGIN " not in content:
        message = "the files for TLS cannot be used: no PEM file"
        raise UnusableError(message)
    return content
