"""Where a server is: options of redis-py's connections, from URLs and from what a store is given."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, cast, runtime_checkable

from key_value.aio.core.urls import StoreURL, parse_url, redacted
from key_value.aio.stores.redis.driver import SSLConnection, check_connection, parse_driver_url

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
_MOST_DATABASES = 2**31 - 1
_MOST_PORTS = 2**16 - 1


@runtime_checkable
class URLObject(Protocol):
    """As pydantic's RedisDsn."""

    def unicode_string(self) -> str: ...


def parse_urls(url: object) -> list[dict[str, Any]]:
    """The connection options in a URL, or each of a sequence. Raises ValueError, without showing who may use them."""
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
        message = f"url: {exc}; percent-encode what means something in a URL, as in redis://user:p%40ss@host:6379/0"
        raise ValueError(message) from None
    wrong = _wrong_part(parts)
    if wrong is None:
        try:
            return dict(parse_driver_url(parts.url))
        except ValueError:
            # Its message may show what is secret.
            wrong = "redis-py does not take one of the options"
    message = f"url: {redacted(parts.url)}: {wrong}"
    raise ValueError(message) from None


def _wrong_part(url: StoreURL) -> str | None:
    """What redis-py would drop or change in silence."""
    if any(character <= " " or character == "\x7f" for character in url.url):
        return "spaces and control characters must be percent-encoded"
    if url.scheme not in _SCHEMES:
        return "the scheme must be redis, rediss (for TLS) or unix"
    if "" in url.query.values():
        return "an option has no value"
    return _wrong_socket(url) if url.scheme == "unix" else _wrong_server(url)


def _wrong_server(url: StoreURL) -> str | None:
    if url.port == 0:
        # Which redis-py takes for none.
        return f"the port must be from 1 to {_MOST_PORTS}"
    return None if _DATABASE.fullmatch(url.path) else "the path must be the number of a database"


def _wrong_socket(url: StoreURL) -> str | None:
    if url.host is None and len(url.path) > 1:
        return None
    return "a socket is given as unix:///path, or unix://user:password@/path"


def complete(
    node: Mapping[str, Any], credentials: Mapping[str, Any], tls: Mapping[str, Any], *, ssl: bool
) -> dict[str, Any]:
    """The options of a node, with what its URL leaves open. TLS options go to a connection that uses TLS.

    Raises ValueError for a port or database that cannot be, and for what redis-py does not take.
    """
    options = {**credentials, **node}
    if ssl and "connection_class" not in options:
        options["connection_class"] = SSLConnection
    if options.get("connection_class") is SSLConnection:
        options = {**tls, **options}
    _check_range(options, "port", 1, _MOST_PORTS)
    _check_range(options, "db", 0, _MOST_DATABASES)
    check_connection(options)
    return options


def sentinel_options(node: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a URL that go to Sentinel, which has no databases."""
    return {name: option for name, option in node.items() if name != "db"}


def master_options(node: Mapping[str, Any], db: int) -> dict[str, Any]:
    """Those of a Sentinel's URL that go to the master: all but where the Sentinel is, and who may use it."""
    sentinels = {"host", "port", "username", "password"}
    return {"db": db, **{name: option for name, option in node.items() if name not in sentinels}}


def checked_connections(nodes: Sequence[dict[str, Any]], otherwise: int) -> int:
    """Take the limit of connections out of the options. Raises ValueError for one below 1."""
    limits = [node.pop("max_connections", otherwise) for node in nodes]
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
    """Where the nodes are, without who may use them."""
    return ",".join(_describe(node) for node in nodes)


def _describe(node: Mapping[str, Any]) -> str:
    database = node.get("db") or 0
    if "path" in node:
        return f"unix://{node['path']}?db={database}"
    scheme = "rediss" if node.get("connection_class") is SSLConnection else "redis"
    host = str(node.get("host", "localhost"))
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{node.get('port', 6379)}/{database}"
