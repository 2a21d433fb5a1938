"""Where the records are: hosts of a cluster, a namespace and a set."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from key_value.aio.core.urls import StoreURL, redacted
from key_value.aio.stores.aerospike.client import is_client

__all__ = ["Host", "check_options", "described", "options_of_url", "seeds"]

Host = tuple[str, int] | tuple[str, int, str | None]
"""A name and a port; the third is the name in the server's certificate, if TLS is on."""

_DEFAULT_HOSTS: Sequence[Host] = (("127.0.0.1", 3000),)
_MOST_BYTES_OF_NAMESPACE, _MOST_BYTES_OF_SET = 31, 63
# What separates names in Aerospike's own commands, among them the one that empties a set.
_REFUSED = re.compile(r"[:;=/\0-\x20\x7f]")
_HOST = re.compile(r"[^\s\0/@]+")


def check_options(client: Any, given: Mapping[str, Any], namespace: str, set_name: str) -> None:
    """Raise ValueError, or TypeError for a client, for what cannot be or not together. No message shows a password."""
    if client is not None and any(option is not None for option in given.values()):
        message = f"pass a client or {', '.join(given)}, not both"
        raise ValueError(message)
    if client is not None and not is_client(client):
        message = f"client must be one of aerospike.client(), not {type(client).__module__}.{type(client).__qualname__}"
        raise TypeError(message)
    _check_name("namespace", namespace, _MOST_BYTES_OF_NAMESPACE)
    # Without a name, destroying would be of all sets.
    _check_name("set_name", set_name, _MOST_BYTES_OF_SET)
    _check_hosts(seeds(given["hosts"]))
    if (given["user"] is None) is not (given["password"] is None):
        message = "user and password go together"
        raise ValueError(message)
    twice = {"hosts", "user", "password"}.intersection(given["client_config"] or {})
    if twice:
        message = f"{sorted(twice)} are options of the store, and none of client_config"
        raise ValueError(message)


def _check_name(what: str, name: str, most: int) -> None:
    if not 0 < len(name.encode(errors="replace")) <= most or _REFUSED.search(name):
        message = f"{what} must have 1 to {most} bytes, without : ; = / and spaces, not {name!r:.100}"
        raise ValueError(message)


def _check_hosts(hosts: Sequence[tuple[Any, ...]]) -> None:
    if not hosts or not all(_HOST.fullmatch(name) and 0 < port < 2**16 for name, port, *_ in hosts):
        message = f"hosts must be pairs of a name or an address and a port from 1 to 65535, not {hosts!r:.200}"
        raise ValueError(message)


def seeds(hosts: Sequence[Host] | None) -> list[tuple[Any, ...]]:
    """As the client takes them."""
    return [tuple(host) for host in (_DEFAULT_HOSTS if hosts is None else hosts)]


def described(hosts: Sequence[Host] | None, namespace: str, set_name: str) -> str:
    places = ",".join(f"[{name}]:{port}" if ":" in name else f"{name}:{port}" for name, port, *_ in seeds(hosts))
    return f"aerospike://{places}/{namespace}/{set_name}"


def options_of_url(url: StoreURL) -> dict[str, Any]:
    """`aerospike://[user:password@]host[:port][/namespace[/set_name]]`."""
    names = url.path.removeprefix("/").split("/")
    if len(names) > len(("namespace", "set_name")) or (url.host is None and (url.port or url.username or names[0])):
        message = (
            f"{redacted(url.url)} must be aerospike://[user:password@]host[:port][/namespace[/set_name]], with further "
            "options behind a question mark, such as ?timeout=1"
        )
        raise ValueError(message)
    options: dict[str, Any] = {} if url.host is None else {"hosts": [(url.host, url.port or 3000)]}
    options.update({name: text for name, text in zip(("namespace", "set_name"), names, strict=False) if text})
    if url.username is not None or url.password is not None:
        options.update(user=url.username, password=url.password)
    return options
