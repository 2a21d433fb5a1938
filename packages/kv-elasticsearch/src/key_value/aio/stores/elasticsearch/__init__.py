"""A store on Elasticsearch."""

from key_value.aio.stores.elasticsearch.store import ElasticsearchStore

__all__ = ["ElasticsearchStore"]
