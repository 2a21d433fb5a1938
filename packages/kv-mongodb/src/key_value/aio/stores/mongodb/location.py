"""Where a server is: a URL, or a client that was passed in."""

import re
from typing import Any
from urllib.parse import parse_qsl

from key_value.aio.core import clients
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError
from pymongo.uri_parser import parse_uri

__all__ = ["check_kind", "check_url", "open_client"]

_SRV = "mongodb+srv://"
_SHORTEST_MS = 500


def check_kind(client: "AsyncMongoClient[Any]") -> None:
    """Raise TypeError unless it is a client for asyncio, ValueError if nobody acknowledges its writes."""
    clients.check_client(client, AsyncMongoClient)
    _require_acknowledged(acknowledged=client.write_concern.acknowledged)


def check_url(url: str) -> str:
    """The servers of the URL, without its credentials. Raises ValueError, which does not show it, for what is none."""
    is_srv = url.startswith(_SRV)
    try:
        # It would ask the DNS at once.
        parts: Any = parse_uri(f"mongodb://{url.removeprefix(_SRV)}" if is_srv else url, warn=False)
        places = _places(url)
    except (PyMongoError, ValueError, TypeError):
        message = (
            "url must be mongodb://[user:password@]host[:port][,…][/database][?option=value] or mongodb+srv://…, with "
            "options that pymongo knows, and characters of the password that mean something in a URL percent-encoded"
        )
        unknown = [name for name, _ in parse_qsl(url.partition("?")[2]) if _is_unknown(name)]
        raise ValueError(f"{message}; it knows no {', '.join(unknown)}" if unknown else message) from None
    _require_acknowledged(acknowledged=parts["options"].get("w") != 0)
    return f"{_SRV if is_srv else 'mongodb://'}{','.join(places)}"


def _is_unknown(option: str) -> bool:
    try:
        parse_uri(f"mongodb://host/?{option}=", warn=False)
    except (PyMongoError, ValueError, TypeError) as exc:
        return "Unknown option" in str(exc)
    return False


def _places(url: str) -> list[str]:
    """The hosts, each with its port. Raises ValueError for what pymongo would take for something else."""
    is_srv = url.startswith(_SRV)
    before, _, path = url.partition("://")[2].partition("?")[0].partition("/")
    places = before.rpartition("@")[2].split(",")
    if "@" in path or not all(place.partition(":")[0] for place in places) or (is_srv and ":" in places[0]):
        raise ValueError
    return [f"{place}:27017" if not is_srv and not re.search(r"(:\d+|\.sock)$", place) else place for place in places]


def open_client(url: str, seconds: float | None) -> "AsyncMongoClient[Any]":
    """A client in the running event loop, which connects when it is first used."""
    # A monitor that waits for news of the server, as it does by itself, is deaf for 10 s to a call that found it gone.
    options: dict[str, Any] = {"serverMonitoringMode": "poll"}
    if seconds is not None:
        # How long it takes to notice that nothing answers on a new connection, before it tries another: by itself 20 s.
        options["connectTimeoutMS"] = max(_SHORTEST_MS, int(seconds * 1000))
    # Which would stand above those of the URL.
    given = url.lower()
    return AsyncMongoClient(url, **{name: value for name, value in options.items() if f"{name.lower()}=" not in given})


def _require_acknowledged(*, acknowledged: bool) -> None:
    if not acknowledged:
        message = "the write concern w=0 leaves unknown whether anything was stored; a store needs w=1 or more"
        raise ValueError(message)
