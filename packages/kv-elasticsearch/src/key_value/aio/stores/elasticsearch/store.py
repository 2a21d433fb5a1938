"""ElasticsearchStore: one document per entry, one index per collection."""

from typing import Any, ClassVar

from key_value.aio.core.driver_errors import DriverErrors, LazyDriverErrors
from key_value.aio.core.sanitization import SanitizationStrategy
from key_value.aio.core.search.documents import FlattenedField
from key_value.aio.core.search.driver import SearchDriver
from key_value.aio.core.search.indices import Refresh
from key_value.aio.core.search.names import V1CollectionStrategy, V1KeyStrategy
from key_value.aio.core.secret_text import SecretText
from key_value.aio.core.type_checks import warn_types
from key_value.aio.stores.base.search import BaseSearchStore

__all__ = [
    "ElasticsearchStore",
    "ElasticsearchV1CollectionSanitizationStrategy",
    "ElasticsearchV1KeySanitizationStrategy",
]


class ElasticsearchV1KeySanitizationStrategy(V1KeyStrategy):
    """Hashes document ids like earlier versions, for applications that used this strategy."""


class ElasticsearchV1CollectionSanitizationStrategy(V1CollectionStrategy):
    """Names indices like earlier versions, for applications that used this strategy."""


class ElasticsearchStore(BaseSearchStore):
    """Entries as Elasticsearch documents, in one index per collection.

    Reads see every acknowledged write. Listing refreshes the index first unless `refresh` says otherwise.
    """

    driver_errors: ClassVar[DriverErrors] = LazyDriverErrors("key_value.aio.stores.elasticsearch.driver")
    # The default `depth_limit` of the field type.
    field: ClassVar[FlattenedField] = FlattenedField("flattened", "flattened", depth=20)
    client_option: ClassVar[str] = "elasticsearch_client"

    @warn_types
    def __init__(
        self,
        *,
        elasticsearch_client: Any = None,
        url: str | None = None,
        api_key: str | SecretText | None = None,
        index_prefix: str,
        default_collection: str | None = None,
        key_sanitization_strategy: SanitizationStrategy | None = None,
        collection_sanitization_strategy: SanitizationStrategy | None = None,
        auto_create: bool = True,
        refresh: Refresh = "listing",
        timeout: float | None = 30.0,
        max_connections: int = 50,
    ) -> None:
        """Create a store from a URL or a client. The names of its indices begin with `index_prefix`.

        `elasticsearch_client` is an `AsyncElasticsearch`; the caller closes it, and it belongs to one event loop.
        Without a client, each event loop gets its own. Pass credentials as user name and password in `url`, or as
        `api_key`.

        The first write to a collection creates its index. If `auto_create` is False, a missing index raises
        StoreSetupError. The strategies determine the names of documents and indices.

        `refresh` controls when listing finds new entries. "listing" refreshes the index before each listing. "write"
        refreshes it with each write; "wait_for" lets each write wait for the next refresh. "interval" leaves
        refreshing to the server, every second by default.

        `timeout` is the time limit of an operation in seconds, None for no limit; a batch gets `timeout` once more for
        each full thousand of its entries. At most `max_connections` requests are in flight at once; others wait.

        Raises ValueError for an invalid prefix or URL, for a client together with connection options, and for a limit
        that is not positive; TypeError for a client of another type.
        """
        super().__init__(
            client=elasticsearch_client,
            url=url,
            api_key=api_key,
            index_prefix=index_prefix,
            default_collection=default_collection,
            key_sanitization_strategy=key_sanitization_strategy,
            collection_sanitization_strategy=collection_sanitization_strategy,
            auto_create=auto_create,
            refresh=refresh,
            timeout=timeout,
            max_connections=max_connections,
        )

    @classmethod
    def _load_driver(cls) -> SearchDriver:
        # Deferred: importing elasticsearch-py takes most of a second.
        from key_value.aio.stores.elasticsearch.driver import DRIVER

        return DRIVER
