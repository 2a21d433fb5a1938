"""A store on OpenSearch."""

from key_value.aio.stores.opensearch.store import OpenSearchStore

__all__ = ["OpenSearchStore"]
