"""Connection options for redis-py, from URLs and from the options of a store."""

import re
from collections.abc import Mapping, Sequence
from inspect import signature
from typing import Any, Protocol, cast, runtime_checkable

from key_value.aio.core.urls import StoreURL, host_and_port, parse_url, redacted
from key_value.aio.stores.redis.driver import SSLConnection, UnknownOptionError, check_connection, parse_driver_url

__all__ = [
    "URLObject",
    "checked_connections",
    "complete",
    "describe",
    "master_options",
    "parse_urls",
    "sentinel_options",
]

_SCHEMES = ("redis", "rediss", "unix")
_DATABASE = re.compile(r"(/\d{0,9})?", re.ASCII)
_MAX_DATABASE = 2**31 - 1
_MAX_PORT = 2**16 - 1


@runtime_checkable
class URLObject(Protocol):
    """A URL object such as pydantic's RedisDsn."""

    def unicode_string(self) -> str: ...


def parse_urls(url: object) -> list[dict[str, Any]]:
    """Return the connection options of a URL, or of each URL in a sequence.

    Raises ValueError for an invalid URL; the message does not show credentials.
    """
    urls: Sequence[object] = cast("Sequence[object]", url) if isinstance(url, Sequence) else [url]
    urls = [url] if isinstance(url, str) else urls
    if not urls:
        message = "url must be a URL, or a list of URLs that are nodes of a cluster"
        raise ValueError(message)
    return [_parse(each) for each in urls]


def _parse(url: object) -> dict[str, Any]:
    try:
        parts = parse_url(url)
    except ValueError as exc:
        message = f"url: {exc}; percent-encode reserved characters, as in redis://user:p%40ss@host:6379/0"
        raise ValueError(message) from None
    wrong = _unsupported_part(parts)
    if wrong is None:
        try:
            return dict(parse_driver_url(parts.url))
        except ValueError:
            # redis-py's message may show a secret.
            wrong = "redis-py rejects one of the options"
    message = f"url: {redacted(parts.url)}: {wrong}"
    raise ValueError(message) from None


def _unsupported_part(url: StoreURL) -> str | None:
    """Describe the first part that redis-py would silently drop or change."""
    if any(character <= " " or character == "\x7f" for character in url.url):
        return "spaces and control characters must be percent-encoded"
    if url.scheme not in _SCHEMES:
        return "the scheme must be redis, rediss (for TLS) or unix"
    if "" in url.query.values():
        return "an option has no value"
    return _unsupported_socket_part(url) if url.scheme == "unix" else _unsupported_server_part(url)


def _unsupported_server_part(url: StoreURL) -> str | None:
    if url.port == 0:
        # redis-py treats port 0 as no port.
        return f"the port must be from 1 to {_MAX_PORT}"
    return None if _DATABASE.fullmatch(url.path) else "the path must be a database number"


def _unsupported_socket_part(url: StoreURL) -> str | None:
    if url.host is None and len(url.path) > 1:
        return None
    return "a unix socket URL has the form unix:///path or unix://user:password@/path"


def complete(
    node: Mapping[str, Any], credentials: Mapping[str, Any], tls: Mapping[str, Any], *, ssl: bool
) -> dict[str, Any]:
    """Return the options of a node, completed where its URL leaves them open. TLS options apply only with TLS.

    Raises ValueError for an invalid port or database number, and for options that redis-py rejects.
    """
    options = {**credentials, **node}
    if ssl and "connection_class" not in options:
        options["connection_class"] = SSLConnection
    if options.get("connection_class") is SSLConnection:
        options = {**tls, **options}
    _check_range(options, "port", 1, _MAX_PORT)
    _check_range(options, "db", 0, _MAX_DATABASE)
    try:
        check_connection(options)
    except UnknownOptionError as exc:
        raise ValueError(_describe_unknown(exc.name)) from None
    return options


def _describe_unknown(name: str) -> str:
    from key_value.aio.stores.redis.store import RedisStore

    own = signature(RedisStore).parameters.keys() - {"client", "url"}
    if name in own:
        return f"redis-py has no option {name!r}; pass it to RedisStore as an argument, or use open_store"
    return f"neither RedisStore nor redis-py has an option {name!r}; the options of RedisStore are {sorted(own)}"


def sentinel_options(node: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a URL that apply to Sentinel, which has no databases."""
    return {name: option for name, option in node.items() if name != "db"}


def master_options(node: Mapping[str, Any], db: int) -> dict[str, Any]:
    """Return the options of a Sentinel's URL that apply to the master: all but address and credentials."""
    sentinel_only = {"host", "port", "username", "password"}
    return {"db": db, **{name: option for name, option in node.items() if name not in sentinel_only}}


def checked_connections(nodes: Sequence[dict[str, Any]], default: int) -> int:
    """Remove max_connections from the options and return it. Raises ValueError if it is below 1."""
    limits = [node.pop("max_connections", default) for node in nodes]
    if min(limits) < 1:
        message = "the options must give a max_connections above zero"
        raise ValueError(message)
    return limits[0]


def _check_range(options: Mapping[str, Any], name: str, least: int, most: int) -> None:
    number = options.get(name)
    if number is None:
        return
    if not str(number).isdecimal() or not least <= int(number) <= most:
        message = f"the options must give a {name} from {least} to {most}"
        raise ValueError(message)


def describe(nodes: Sequence[Mapping[str, Any]]) -> str:
    """Return the addresses of the nodes, without credentials."""
    return ",".join(_describe(node) for node in nodes)


def _describe(node: Mapping[str, Any]) -> str:
    database = node.get("db") or 0
    if "path" in node:
        return f"unix://{node['path']}?db={database}"
    scheme = "rediss" if node.get("connection_class") is SSLConnection else "redis"
    host = str(node.get("host", "localhost"))
    return f"{scheme}://{host_and_port(host, node.get('port', 6379))}/{database}"
