"""The contracts of a store, on Elasticsearch: here a proxy in front of OpenSearch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.stores.elasticsearch import ElasticsearchStore
from key_value.aio.testing import StoreTests
from search_cases import SearchContract, SearchFaultTests, check_search_against_dict

if TYPE_CHECKING:
    from servers.elasticsearch import ElasticsearchServer


class TestElasticsearchStore(SearchContract[ElasticsearchStore], StoreTests[ElasticsearchStore]):
    store_type = ElasticsearchStore
    # Each attempt takes three requests of 2 ms of CPU time each.
    contenders = 8
    increments = 4
    many_keys = 25_000


class TestElasticsearchStoreUnderFaults(SearchFaultTests[ElasticsearchStore]):
    store_type = ElasticsearchStore

    @pytest.fixture
    def private_server(self, private_elasticsearch: ElasticsearchServer) -> ElasticsearchServer:
        return private_elasticsearch


def test_an_elasticsearch_store_behaves_like_a_dict(place: dict[str, Any]) -> None:
    check_search_against_dict(ElasticsearchStore, place)
