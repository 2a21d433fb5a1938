"""OpenSearchStore: a collection is an index, and an entry a document."""

from typing import Any, ClassVar

from key_value.aio.core.driver_errors import DriverErrors, LateErrors
from key_value.aio.core.sanitization import SanitizationStrategy
from key_value.aio.core.search.documents import FlattenedField
from key_value.aio.core.search.driver import SearchDriver
from key_value.aio.core.search.indices import Refresh
from key_value.aio.core.search.names import V1CollectionStrategy, V1KeyStrategy
from key_value.aio.core.secret_text import SecretText
from key_value.aio.core.type_checks import warn_types
from key_value.aio.stores.base.search import BaseSearchStore

__all__ = [
    "OpenSearchStore",
    "OpenSearchV1CollectionSanitizationStrategy",
    "OpenSearchV1KeySanitizationStrategy",
]


class OpenSearchV1KeySanitizationStrategy(V1KeyStrategy):
    """Hashes the ids of documents as earlier versions did, for applications that used this strategy."""


class OpenSearchV1CollectionSanitizationStrategy(V1CollectionStrategy):
    """Names indices as earlier versions did, for applications that used this strategy."""


class OpenSearchStore(BaseSearchStore):
    """Entries as documents of OpenSearch, in an index for each collection.

    Reads see every write that was acknowledged. Listing refreshes the index first, unless told otherwise.
    """

    driver_errors: ClassVar[DriverErrors] = LateErrors("key_value.aio.stores.opensearch.driver")
    # A server whose parser is given a few hundred levels more ends.
    field: ClassVar[FlattenedField] = FlattenedField("flat", "flat_object", depth=100)
    client_option: ClassVar[str] = "opensearch_client"

    @warn_types
    def __init__(
        self,
        *,
        opensearch_client: Any = None,
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
        """Take a URL or a client, and what the names of indices begin with.

        `opensearch_client` is an `AsyncOpenSearch`; it stays the caller's to close, and belongs to one event loop.
        Without one, each event loop gets a client of its own for `url`, which may hold a user and a password; `api_key`
        takes their place.

        The first write to a collection creates its index; with `auto_create=False` a missing one is an error. The
        strategies replace the names of documents and indices.

        `refresh` says who sees to it that listing finds what was written: "listing" itself, by a request of its own
        before; each "write", which then returns at once or, with "wait_for", as soon as it is found; or nobody but the
        server at its "interval", a second by default.

        `timeout` is the time in seconds that an operation may take in all, None for no limit; a batch has as much
        again for each full thousand of its entries. At most `max_connections` requests are under way at once; others
        wait.

        Raises ValueError for a prefix or a URL that cannot be, for a client together with what leads to the server, and
        for a limit that is not above zero.
        """
        super().__init__(
            client=opensearch_client,
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
        # Importing opensearch-py takes most of a second.
        from key_value.aio.stores.opensearch.driver import DRIVER

        return DRIVER
