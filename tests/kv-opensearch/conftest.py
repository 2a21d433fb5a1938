"""Empty indices, and the raw client that inspects them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.stores.opensearch import OpenSearchStore
from search_cases import Raw, raw_of

from .service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from servers.opensearch import OpenSearchServer

__all__ = ["Raw"]


@pytest.fixture
def raw(opensearch_server: OpenSearchServer) -> Iterator[Raw]:
    yield from raw_of(opensearch_server)


@pytest.fixture
def place(raw: Raw) -> dict[str, Any]:
    return {"url": raw.server.url, "index_prefix": raw.prefix}


@pytest.fixture
def store(place: dict[str, Any]) -> OpenSearchStore:
    return OpenSearchStore(**place)


@pytest.fixture
async def service(raw: Raw) -> AsyncIterator[Service]:
    async with Service(raw.server.url) as service:
        yield service
