"""A client that cannot serve a store is refused when the store is made, and not by a driver at the first call."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import pytest
from aiobotocore.session import AioSession  # pyright: ignore[reportMissingTypeStubs] — it has none

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# Each store, the option that takes a client, and what else it needs.
STORES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "redis": ("RedisStore", "client", {}),
    "valkey": ("ValkeyStore", "client", {}),
    "memcached": ("MemcachedStore", "client", {}),
    "dynamodb": ("DynamoDBStore", "client", {"table_name": "table"}),
    "s3": ("S3Store", "client", {"bucket_name": "bucket"}),
    "postgresql": ("PostgreSQLStore", "pool", {}),
    "mongodb": ("MongoDBStore", "client", {}),
    "opensearch": ("OpenSearchStore", "opensearch_client", {"index_prefix": "kv"}),
    "elasticsearch": ("ElasticsearchStore", "elasticsearch_client", {"index_prefix": "kv"}),
    "firestore": ("FirestoreStore", "client", {}),
    "azure_tables": ("AzureTablesStore", "client", {}),
    "chdb": ("ChDBStore", "session", {}),
    "aerospike": ("AerospikeStore", "client", {}),
    "vault": ("VaultStore", "client", {}),
}


def made(backend: str, client: object) -> Any:
    name, option, options = STORES[backend]
    store: Any = getattr(importlib.import_module(f"key_value.aio.stores.{backend}"), name)
    return store(**options, **{option: client})


@pytest.mark.parametrize("backend", STORES)
@pytest.mark.parametrize("client", [5, "localhost", object()], ids=["number", "text", "object"])
@pytest.mark.filterwarnings("ignore::UserWarning")  # of the type, which comes before it in some
def test_what_is_no_client_is_refused(backend: str, client: object) -> None:
    with pytest.raises(TypeError, match=rf"{STORES[backend][1]} must be .+, not builtins\.{type(client).__name__}"):
        made(backend, client)


@pytest.fixture
async def client_of_sqs() -> AsyncIterator[Any]:
    session: Any = AioSession()
    options = {"region_name": "us-east-1", "aws_access_key_id": "key", "aws_secret_access_key": "hunter2"}
    async with session.create_client("sqs", **options) as client:
        yield client


@pytest.mark.parametrize("backend", ["dynamodb", "s3"])
async def test_a_client_for_another_service_is_refused(backend: str, client_of_sqs: Any) -> None:
    with pytest.raises(TypeError, match=f"client must be one for the service '{backend}', not 'sqs'"):
        made(backend, client_of_sqs)


@pytest.mark.parametrize("backend", ["dynamodb", "s3"])
def test_a_client_that_was_not_entered_is_refused(backend: str) -> None:
    session: Any = AioSession()
    context = session.create_client(backend, region_name="us-east-1")
    with pytest.raises(TypeError, match=r"client must be .*as `async with` gives it, not aiobotocore\.session"):
        made(backend, context)
    context._coro.close()  # noqa: SLF001 — it would warn that it was never awaited
