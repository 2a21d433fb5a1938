"""Empty indices, and the raw client that inspects them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.stores.elasticsearch import ElasticsearchStore
from search_cases import Raw, raw_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers.elasticsearch import ElasticsearchServer

__all__ = ["Raw"]


@pytest.fixture
def raw(elasticsearch_server: ElasticsearchServer) -> Iterator[Raw]:
    yield from raw_of(elasticsearch_server)


@pytest.fixture
def place(raw: Raw) -> dict[str, Any]:
    return {"url": raw.server.url, "index_prefix": raw.prefix}


@pytest.fixture
def store(place: dict[str, Any]) -> ElasticsearchStore:
    return ElasticsearchStore(**place)
