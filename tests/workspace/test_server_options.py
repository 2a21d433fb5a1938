"""Invalid options of stores are refused by the constructor, not by a driver at the first call."""

from __future__ import annotations

import importlib
import math
from inspect import signature
from typing import TYPE_CHECKING, Any

import pytest
from aiobotocore.session import AioSession  # pyright: ignore[reportMissingTypeStubs] — it has no stubs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# Backend → store class, client option, other required options.
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


def type_of(backend: str) -> Any:
    return getattr(importlib.import_module(f"key_value.aio.stores.{backend}"), STORES[backend][0])


def store_with_client(backend: str, client: object) -> Any:
    _, option, options = STORES[backend]
    return type_of(backend)(**options, **{option: client})


# Required options if no client is passed.
CONNECTION_OPTIONS: dict[str, dict[str, Any]] = {
    "opensearch": {"url": "http://127.0.0.1:9"},
    "elasticsearch": {"url": "http://127.0.0.1:9"},
    "azure_tables": {"connection_string": "UseDevelopmentStorage=true", "table_name": "table"},
    "aerospike": {"hosts": [("127.0.0.1", 9)]},
    "vault": {"token": "token"},
}
SECONDS = ("timeout", "max_idle", "auto_cull")
COUNTS = ("max_connections", "max_value_bytes", "max_item_bytes", "max_record_bytes", "statement_cache_size")


def options_of(*names: str) -> list[tuple[str, str]]:
    """Return pairs of a backend and an option among these that its store has."""
    return [(each, name) for each in STORES for name in names if name in signature(type_of(each)).parameters]


def make(backend: str, **options: object) -> Any:
    return type_of(backend)(**{**STORES[backend][2], **CONNECTION_OPTIONS.get(backend, {}), **options})


@pytest.mark.parametrize("backend", STORES)
def test_the_required_options_alone_are_accepted(backend: str) -> None:
    make(backend)


@pytest.mark.parametrize(("backend", "option"), options_of(*SECONDS))
@pytest.mark.parametrize("seconds", [0, -1.5, math.nan, 10**400, "5", True, [1]], ids=lambda each: repr(each)[:6])
@pytest.mark.filterwarnings("ignore::UserWarning")  # about the type, before the error
def test_an_invalid_time_is_refused(backend: str, option: str, seconds: object) -> None:
    with pytest.raises(ValueError, match=f"{option} must be a number of seconds above zero, or None"):
        make(backend, **{option: seconds})


@pytest.mark.parametrize(("backend", "option"), options_of("timeout"))
def test_none_and_infinity_mean_no_limit(backend: str, option: str) -> None:
    for seconds in (None, math.inf):
        make(backend, **{option: seconds})


@pytest.mark.parametrize(("backend", "option"), options_of(*COUNTS))
@pytest.mark.parametrize("count", [-1, 1.5, "5", True, None], ids=repr)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_an_invalid_count_is_refused(backend: str, option: str, count: object) -> None:
    with pytest.raises(ValueError, match=f"{option} must be a whole number"):
        make(backend, **{option: count})


@pytest.fixture
async def client_of_sqs() -> AsyncIterator[Any]:
    session: Any = AioSession()
    options = {"region_name": "us-east-1", "aws_access_key_id": "key", "aws_secret_access_key": "hunter2"}
    async with session.create_client("sqs", **options) as client:
        yield client


@pytest.mark.parametrize("backend", ["dynamodb", "s3"])
async def test_a_client_for_another_service_is_refused(backend: str, client_of_sqs: Any) -> None:
    with pytest.raises(TypeError, match=f"client must be a client of the service '{backend}', not 'sqs'"):
        store_with_client(backend, client_of_sqs)


@pytest.mark.parametrize("backend", ["dynamodb", "s3"])
def test_a_client_that_was_not_entered_is_refused(backend: str) -> None:
    session: Any = AioSession()
    context = session.create_client(backend, region_name="us-east-1")
    with pytest.raises(TypeError, match=r"client must be .*as returned by `async with`, not aiobotocore\.session"):
        store_with_client(backend, context)
    context._coro.close()  # noqa: SLF001 — it would warn that it was never awaited
