"""What a store on Elasticsearch or OpenSearch is constructed with."""

from collections.abc import Callable
from typing import Any, get_args
from urllib.parse import urlsplit

from key_value.aio.core.clients import check_client
from key_value.aio.core.search.driver import SearchDriver
from key_value.aio.core.search.indices import Refresh
from key_value.aio.core.secret_text import Text
from key_value.aio.core.urls import StoreURL, http_parts, redacted

__all__ = ["check_place", "check_refresh", "place_in_url"]


def check_place(
    name: str, client: Any, load_driver: Callable[[], SearchDriver], url: str | None, api_key: Text | None
) -> None:
    """Raise ValueError, which shows no credential, for what cannot be or not together; TypeError for another client.

    `name` is that of the option for a client.
    """
    if (client is None) is (url is None) or (client is not None and api_key is not None):
        message = f"pass {name}, or url and what else leads to the server"
        raise ValueError(message)
    if client is not None:
        check_client(client, load_driver().client_type, name=name)
    if url is not None and not _is_url(url):
        message = "url must be http://host:port or https://host:port, with a user and a password if need be"
        raise ValueError(message)
    if url is not None and api_key is not None and "@" in url:
        message = "pass an api_key or a user in the url, not both"
        raise ValueError(message)


def check_refresh(refresh: str) -> None:
    """Raise ValueError for another word."""
    if refresh not in get_args(Refresh):
        message = f"refresh must be one of {list(get_args(Refresh))}, not {refresh!r:.80}"
        raise ValueError(message)


def _is_url(url: str) -> bool:
    parts = http_parts(url)
    return parts is not None and not parts.query and not parts.fragment


def place_in_url(url: StoreURL) -> dict[str, str]:
    """The options in `opensearch://user:password@host:port/index_prefix`, and the same with `+https` for TLS."""
    prefix = url.path.strip("/")
    if url.host is None or not prefix or "/" in prefix:
        message = f"{redacted(url.url)} must be {url.scheme}://host:port/index_prefix"
        raise ValueError(message)
    secure = url.scheme.endswith("+https")
    place = urlsplit(url.url).netloc
    return {"url": f"{'https' if secure else 'http'}://{place}", "index_prefix": prefix}
