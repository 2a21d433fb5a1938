"""Checks of the options of VaultStore."""

import re
from typing import TYPE_CHECKING, Any

from key_value.aio.core.urls import http_parts, redacted

if TYPE_CHECKING:
    from key_value.aio.core.urls import StoreURL

__all__ = ["DEFAULT_URL", "check_options", "checked_mount_point", "options_in"]

DEFAULT_URL = "http://localhost:8200"

_MOUNT_POINT = re.compile(r"[^/\x00-\x20\x7f]+(/[^/\x00-\x20\x7f]+)*")
_TOKEN = re.compile(r"[\x21-\x7e]+")

_SCHEMES = {"vault": "https", "vault+http": "http"}


def checked_mount_point(mount_point: str) -> str:
    """Return the mount point without leading and trailing slashes. Raises ValueError if it is invalid."""
    bare = mount_point.strip("/")
    if not _MOUNT_POINT.fullmatch(bare) or {".", ".."} & set(bare.split("/")):
        message = f"mount_point must be a path such as secret or team/kv, not {mount_point!r:.100}"
        raise ValueError(message)
    return bare


def check_options(client: Any, url: str, token: str | None, namespace: str | None) -> None:
    """Raise ValueError for invalid or conflicting options. Messages show no token."""
    if client is not None and (url != DEFAULT_URL or token is not None or namespace is not None):
        message = "pass a client or connection options (url, token, namespace), not both"
        raise ValueError(message)
    if not _is_address(url):
        message = "url must be http://host[:port] or https://host[:port]"
        raise ValueError(message)
    for name, text in (("token", token), ("namespace", namespace)):
        if text is not None and not _TOKEN.fullmatch(text):
            message = f"{name} must be printable ASCII without spaces, and not empty"
            raise ValueError(message)


def _is_address(url: str) -> bool:
    parts = http_parts(url)
    return parts is not None and "@" not in parts.netloc and not re.search(r"[?#]", url)


def options_in(url: "StoreURL") -> dict[str, Any]:
    """Parse `vault://:token@host:port/mount/point`, or `vault+http://` without TLS. Raises ValueError otherwise."""
    if not url.host or url.username:
        message = f"{redacted(url.url)} must be {url.scheme}://[:token@]host[:port][/mount/point]"
        raise ValueError(message)
    host = f"[{url.host}]" if ":" in url.host else url.host
    port = "" if url.port is None else f":{url.port}"
    options: dict[str, Any] = {"url": f"{_SCHEMES[url.scheme]}://{host}{port}"}
    if url.password is not None:
        options["token"] = url.password
    if url.path.strip("/"):
        options["mount_point"] = url.path.strip("/")
    return options
