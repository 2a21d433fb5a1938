"""The contracts of a store, on OpenSearch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.stores.opensearch import OpenSearchStore
from key_value.aio.testing import StoreTests
from search_cases import SearchContract, SearchFaultTests, check_search_against_dict

if TYPE_CHECKING:
    from servers.opensearch import OpenSearchServer


class TestOpenSearchStore(SearchContract[OpenSearchStore], StoreTests[OpenSearchStore]):
    store_type = OpenSearchStore
    # Each attempt is three requests, of two milliseconds of the CPU each.
    contenders = 8
    increments = 4
    many_keys = 25_000


class TestOpenSearchStoreUnderFaults(SearchFaultTests[OpenSearchStore]):
    store_type = OpenSearchStore

    @pytest.fixture
    def private_server(self, private_opensearch: OpenSearchServer) -> OpenSearchServer:
        return private_opensearch


def test_an_opensearch_store_behaves_like_a_dict(place: dict[str, Any]) -> None:
    check_search_against_dict(OpenSearchStore, place)
