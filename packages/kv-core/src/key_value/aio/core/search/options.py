"""Validation of the constructor options of the stores on Elasticsearch and OpenSearch."""

from collections.abc import Callable
from typing import Any, get_args
from urllib.parse import urlsplit

from key_value.aio.core.clients import check_client
from key_value.aio.core.search.driver import SearchDriver
from key_value.aio.core.search.indices import Refresh
from key_value.aio.core.secret_text import Text
from key_value.aio.core.urls import StoreURL, http_parts, redacted

__all__ = ["check_connection_options", "check_refresh", "connection_options"]


def check_connection_options(
    client_option: str, client: Any, load_driver: Callable[[], SearchDriver], url: str | None, api_key: Text | None
) -> None:
    """Raise ValueError for invalid or conflicting options, and TypeError for a client of the wrong class.

    `client_option` is the name of the option that takes a client. Messages show no credentials.
    """
    if (client is None) is (url is None) or (client is not None and api_key is not None):
        message = f"pass either {client_option} or url; api_key requires url"
        raise ValueError(message)
    if client is not None:
        check_client(client, load_driver().client_type, name=client_option)
    if url is not None and not _is_url(url):
        message = "url must be http://host:port or https://host:port, optionally with user:password@ before the host"
        raise ValueError(message)
    if url is not None and api_key is not None and "@" in url:
        message = "pass either api_key or a user in the url, not both"
        raise ValueError(message)


def check_refresh(refresh: str) -> None:
    """Raise ValueError for a value that is not one of `Refresh`."""
    if refresh not in get_args(Refresh):
        message = f"refresh must be one of {list(get_args(Refresh))}, not {refresh!r:.80}"
        raise ValueError(message)


def _is_url(url: str) -> bool:
    parts = http_parts(url)
    return parts is not None and not parts.query and not parts.fragment


def connection_options(url: StoreURL) -> dict[str, str]:
    """Return the options in `opensearch://user:password@host:port/index_prefix`, or with `+https` for TLS."""
    prefix = url.path.strip("/")
    if url.host is None or not prefix or "/" in prefix:
        message = f"{redacted(url.url)} must be {url.scheme}://host:port/index_prefix"
        raise ValueError(message)
    secure = url.scheme.endswith("+https")
    location = urlsplit(url.url).netloc
    return {"url": f"{'https' if secure else 'http'}://{location}", "index_prefix": prefix}
