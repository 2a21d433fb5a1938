"""Where a server is: a URL, or host, port and database."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

__all__ = ["describe", "options_of_url"]

_SCHEMES = ("postgresql", "postgres")
_DEFAULT_PORT = 5432
# asyncpg takes the rest apart. Where it could not, its message would show the password.
_PLACE = re.compile(r"(\[[0-9a-fA-F:.%]+\]|[^\[\]:,/@]*)(:[0-9]+)?")


def options_of_url(url: str, credentials: Mapping[str, Any]) -> dict[str, Any]:
    """What asyncpg connects with; the credentials stand in for those that the URL leaves out.

    Raises ValueError for what is no URL of PostgreSQL, without showing it.
    """
    try:
        parts = urlsplit(url)
        user, password = parts.username, parts.password
        parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        places = parts.netloc.rpartition("@")[2].split(",")
        is_url = parts.scheme in _SCHEMES and all(map(_PLACE.fullmatch, places)) and "#" not in url and "://" in url
    except ValueError:
        is_url = False
        user = password = None
    if not is_url:
        message = (
            "url must be postgresql://[user:password@]host[:port][/database][?option=value], with characters of the "
            "password that mean something in a URL percent-encoded"
        )
        raise ValueError(message) from None
    given = {"user": user, "password": password}
    return {
        "dsn": url,
        **{name: value for name, value in credentials.items() if value is not None and not given.get(name)},
    }


def describe(options: Mapping[str, Any]) -> str:
    """Where it is, without who may use it."""
    if "dsn" not in options:
        host = options["host"]
        return f"postgresql://{host}:{options['port']}/{options['database']}"
    parts = urlsplit(str(options["dsn"]))
    query = dict(parse_qsl(parts.query))
    places = parts.netloc.rpartition("@")[2] or query.get("host", "")
    if places and not re.search(r":[0-9]+$", places) and "," not in places and not places.startswith("/"):
        places = f"{places}:{query.get('port', _DEFAULT_PORT)}"
    return f"postgresql://{places}/{unquote(parts.path[1:]) or query.get('database', query.get('dbname', ''))}"
