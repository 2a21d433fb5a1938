"""Options for the location of the records: hosts of a cluster, a namespace and a set."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from key_value.aio.core.urls import StoreURL, host_and_port, redacted
from key_value.aio.stores.aerospike.client import is_client

__all__ = ["Host", "check_options", "describe", "options_of_url", "seeds"]

Host = tuple[str, int] | tuple[str, int, str | None]
"""Name and port, and with TLS the name in the server's certificate."""

_DEFAULT_HOSTS: Sequence[Host] = (("127.0.0.1", 3000),)
_MAX_NAMESPACE_BYTES, _MAX_SET_BYTES = 31, 63
# Separators in Aerospike's info commands, such as the one that truncates a set.
_INVALID_CHARACTERS = re.compile(r"[:;=/\0-\x20\x7f]")
_HOST = re.compile(r"[^\s\0/@]+")


def check_options(client: Any, given: Mapping[str, Any], namespace: str, set_name: str) -> None:
    """Raise ValueError for invalid or conflicting options, TypeError for another client. Messages show no password."""
    if client is not None and any(option is not None for option in given.values()):
        message = f"pass a client or {', '.join(given)}, not both"
        raise ValueError(message)
    if client is not None and not is_client(client):
        message = f"client must come from aerospike.client(), not {type(client).__module__}.{type(client).__qualname__}"
        raise TypeError(message)
    _check_name("namespace", namespace, _MAX_NAMESPACE_BYTES)
    # Truncating with an empty set name would empty all sets.
    _check_name("set_name", set_name, _MAX_SET_BYTES)
    _check_hosts(seeds(given["hosts"]))
    if (given["user"] is None) is not (given["password"] is None):
        message = "user and password must be passed together"
        raise ValueError(message)
    misplaced = {"hosts", "user", "password"}.intersection(given["client_config"] or {})
    if misplaced:
        message = f"pass {sorted(misplaced)} as options of the store, not in client_config"
        raise ValueError(message)


def _check_name(what: str, name: str, most: int) -> None:
    if not 0 < len(name.encode(errors="replace")) <= most or _INVALID_CHARACTERS.search(name):
        message = f"{what} must have 1 to {most} bytes and no : ; = / or spaces, not {name!r:.100}"
        raise ValueError(message)


def _check_hosts(hosts: Sequence[tuple[Any, ...]]) -> None:
    if not hosts or not all(_HOST.fullmatch(name) and 0 < port < 2**16 for name, port, *_ in hosts):
        message = f"hosts must be pairs of a name or address and a port from 1 to 65535, not {hosts!r:.200}"
        raise ValueError(message)


def seeds(hosts: Sequence[Host] | None) -> list[tuple[Any, ...]]:
    """Return the hosts in the client's form."""
    return [tuple(host) for host in (_DEFAULT_HOSTS if hosts is None else hosts)]


def describe(hosts: Sequence[Host] | None, namespace: str, set_name: str) -> str:
    addresses = ",".join(host_and_port(name, port) for name, port, *_ in seeds(hosts))
    return f"aerospike://{addresses}/{namespace}/{set_name}"


def options_of_url(url: StoreURL) -> dict[str, Any]:
    """Parse `aerospike://[user:password@]host[:port][/namespace[/set_name]]`. Raises ValueError for another form."""
    names = url.path.removeprefix("/").split("/")
    if len(names) > len(("namespace", "set_name")) or (url.host is None and (url.port or url.username or names[0])):
        message = (
            f"{redacted(url.url)} must be aerospike://[user:password@]host[:port][/namespace[/set_name]], with further "
            "options after a question mark, such as ?timeout=1"
        )
        raise ValueError(message)
    options: dict[str, Any] = {} if url.host is None else {"hosts": [(url.host, url.port or 3000)]}
    options.update({name: text for name, text in zip(("namespace", "set_name"), names, strict=False) if text})
    if url.username is not None or url.password is not None:
        options.update(user=url.username, password=url.password)
    return options
