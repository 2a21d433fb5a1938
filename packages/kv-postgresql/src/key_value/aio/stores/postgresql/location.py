"""Connection options from a URL, or from host, port and database."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from key_value.aio.core.urls import host_and_port

__all__ = ["describe", "options_of_url"]

_SCHEMES = ("postgresql", "postgres")
_DEFAULT_PORT = 5432
# asyncpg parses the rest. This check comes first because asyncpg's error message would show the password.
_ADDRESS = re.compile(r"(\[[0-9a-fA-F:.%]+\]|[^\[\]:,/@]*)(:[0-9]+)?")


def options_of_url(url: str, credentials: Mapping[str, Any]) -> dict[str, Any]:
    """Return the connection options for asyncpg; the credentials apply where the URL has none.

    Raises ValueError for an invalid PostgreSQL URL, without showing it.
    """
    try:
        parts = urlsplit(url)
        user, password = parts.username, parts.password
        parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        addresses = parts.netloc.rpartition("@")[2].split(",")
        is_url = (
            parts.scheme in _SCHEMES and all(map(_ADDRESS.fullmatch, addresses)) and "#" not in url and "://" in url
        )
    except ValueError:
        is_url = False
        user = password = None
    if not is_url:
        message = (
            "url must be postgresql://[user:password@]host[:port][/database][?option=value], with reserved characters "
            "in the password percent-encoded"
        )
        raise ValueError(message) from None
    given = {"user": user, "password": password}
    return {
        "dsn": url,
        **{name: value for name, value in credentials.items() if value is not None and not given.get(name)},
    }


def describe(options: Mapping[str, Any]) -> str:
    """Return the location as a URL without credentials."""
    if "dsn" not in options:
        address = host_and_port(options["host"], options["port"])
        return f"postgresql://{address}/{options['database']}"
    parts = urlsplit(str(options["dsn"]))
    query = dict(parse_qsl(parts.query))
    addresses = parts.netloc.rpartition("@")[2] or query.get("host", "")
    if addresses and not re.search(r":[0-9]+$", addresses) and "," not in addresses and not addresses.startswith("/"):
        addresses = f"{addresses}:{query.get('port', _DEFAULT_PORT)}"
    return f"postgresql://{addresses}/{unquote(parts.path[1:]) or query.get('database', query.get('dbname', ''))}"
