"""URLs and clients: checks, and opening a client."""

import re
from typing import Any
from urllib.parse import parse_qsl

from key_value.aio.core import clients
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError
from pymongo.uri_parser import parse_uri

__all__ = ["check_type", "check_url", "open_client"]

_SRV = "mongodb+srv://"
_MIN_CONNECT_TIMEOUT_MS = 500


def check_type(client: "AsyncMongoClient[Any]") -> None:
    """Raise TypeError unless the client is an AsyncMongoClient, ValueError for the write concern w=0."""
    clients.check_client(client, AsyncMongoClient)
    _require_acknowledged(acknowledged=client.write_concern.acknowledged)


def check_url(url: str) -> str:
    """Return the URL without credentials and options. Raises ValueError for an invalid URL, without showing it."""
    is_srv = url.startswith(_SRV)
    try:
        # Parsed as a plain URL, because parsing an SRV URL queries the DNS.
        parts: Any = parse_uri(f"mongodb://{url.removeprefix(_SRV)}" if is_srv else url, warn=False)
        hosts = _hosts(url)
    except (PyMongoError, ValueError, TypeError):
        message = (
            "url must be mongodb://[user:password@]host[:port][,…][/database][?option=value] or mongodb+srv://…, with "
            "options that pymongo knows, and with reserved characters of the password percent-encoded"
        )
        unknown = [name for name, _ in parse_qsl(url.partition("?")[2]) if _is_unknown(name)]
        raise ValueError(f"{message}; pymongo does not know {', '.join(unknown)}" if unknown else message) from None
    _require_acknowledged(acknowledged=parts["options"].get("w") != 0)
    return f"{_SRV if is_srv else 'mongodb://'}{','.join(hosts)}"


def _is_unknown(option: str) -> bool:
    try:
        parse_uri(f"mongodb://host/?{option}=", warn=False)
    except (PyMongoError, ValueError, TypeError) as exc:
        return "Unknown option" in str(exc)
    return False


def _hosts(url: str) -> list[str]:
    """Return the hosts, each with its port. Raises ValueError for a URL that pymongo would misread."""
    is_srv = url.startswith(_SRV)
    before, _, path = url.partition("://")[2].partition("?")[0].partition("/")
    hosts = before.rpartition("@")[2].split(",")
    if "@" in path or not all(host.partition(":")[0] for host in hosts) or (is_srv and ":" in hosts[0]):
        raise ValueError
    return [f"{host}:27017" if not is_srv and not re.search(r"(:\d+|\.sock)$", host) else host for host in hosts]


def open_client(url: str, seconds: float | None) -> "AsyncMongoClient[Any]":
    """Create a client for the running event loop. It connects at its first use."""
    # The default streaming monitor would react only after 10 s to a call that found the server unreachable.
    options: dict[str, Any] = {"serverMonitoringMode": "poll"}
    if seconds is not None:
        # The time limit of a connection attempt, before another is made. The default is 20 s.
        options["connectTimeoutMS"] = max(_MIN_CONNECT_TIMEOUT_MS, int(seconds * 1000))
    # Keyword options would override those of the URL.
    lower_url = url.lower()
    options = {name: value for name, value in options.items() if f"{name.lower()}=" not in lower_url}
    return AsyncMongoClient(url, **options)


def _require_acknowledged(*, acknowledged: bool) -> None:
    if not acknowledged:
        message = "the write concern w=0 does not report whether a write succeeded; a store needs w=1 or more"
        raise ValueError(message)
