"""Documents in Elasticsearch, written by this store and by py-key-value-aio 0.5.0, and its driver."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from elasticsearch import AsyncElasticsearch, Elasticsearch
from key_value.aio.errors import BaseKeyValueError, StoreConnectionError, StoreSetupError
from key_value.aio.stores.elasticsearch import ElasticsearchStore
from key_value.aio.urls import open_store
from workspace import run

if TYPE_CHECKING:
    from collections.abc import Callable

    from predecessor import Predecessor
    from servers.opensearch import OpenSearchServer

    from .conftest import Raw

VALUES: dict[str, dict[str, Any]] = {
    "empty": {},
    "leaves": {"null": None, "true": True, "text": "höme é 🌍", "integer": 2**53 + 1, "float": 0.1 + 0.2},
    "nested": {"items": [1, {"b": 2}, "three", [4.0], None], "a": {"b": 2}},
}


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {"z": 1}
    for _ in range(depth - 1):
        value = {"d": value}
    return value


async def test_an_entry_is_a_document_of_format_v1(store: ElasticsearchStore, raw: Raw) -> None:
    await store.put("ada/é", {"n": 1}, collection="users", ttl=60)
    await store.close()
    document = raw.get("users", "ada/é")
    assert document is not None
    assert {type(document.pop(name)) for name in ("created_at", "expires_at")} == {str}
    assert document == {"version": 1, "collection": "users", "key": "ada/é", "value": {"flattened": {"n": 1}}}


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        (nested(20), True),
        (nested(21), False),
        ({"text": "x" * 32_000}, True),
        ({"text": "x" * 32_767}, False),
        ({"n": 2**70}, False),
        ({"text": "x" * 3_000_000}, False),
    ],
    ids=["deep", "too deep", "long", "too long", "large number", "megabytes"],
)
async def test_a_value_that_the_field_rejects_is_stored_as_text(
    store: ElasticsearchStore,
    raw: Raw,
    value: dict[str, Any],
    fits: bool,  # noqa: FBT001 — a parameter of the test
) -> None:
    await store.put("key", value)
    assert await store.get("key") == value
    await store.close()
    document = raw.get("default_collection", "key")
    assert document is not None
    stored = document["value"]
    assert (stored["flattened"] if fits else json.loads(stored["json"])) == value
    assert len(stored) == 1


# Exchange with the predecessor


@pytest.fixture(scope="module")
def predecessor(predecessor_of: Callable[[str], Predecessor]) -> Predecessor:
    return predecessor_of("elasticsearch")


@pytest.fixture
def theirs(raw: Raw) -> str:
    """Return source code that constructs the predecessor's store, with its driver's logging disabled."""
    store = f"ElasticsearchStore(url={raw.server.url!r}, index_prefix={raw.prefix!r})"
    return f"__import__('logging').disable() or {store}"


async def test_this_store_reads_what_the_predecessor_wrote(
    store: ElasticsearchStore, predecessor: Predecessor, theirs: str
) -> None:
    names: dict[str, Any] = {"keys": list(VALUES), "collection": "höme"}
    put_many = ("put_many", {**names, "values": list(VALUES.values()), "ttl": 1000})
    await asyncio.to_thread(predecessor.call, theirs, put_many)
    assert await store.get_many(**names) == list(VALUES.values())
    assert 900 < ((await store.ttl("empty", collection="höme"))[1] or 0) <= 1000
    assert sorted(await store.keys("höme")) == sorted(VALUES)
    await store.close()


async def test_the_predecessor_reads_what_this_store_wrote(
    store: ElasticsearchStore, predecessor: Predecessor, theirs: str
) -> None:
    names: dict[str, Any] = {"keys": list(VALUES), "collection": "höme"}
    async with store:
        await store.put_many(**names, values=list(VALUES.values()), ttl=1000)
    [found] = await asyncio.to_thread(predecessor.call, theirs, ("get_many", names))
    assert found == list(VALUES.values())


# The driver


async def test_a_server_of_another_product_is_a_setup_error(opensearch_server: OpenSearchServer) -> None:
    store = ElasticsearchStore(url=opensearch_server.url, index_prefix="kv")
    with pytest.raises(StoreSetupError, match="different product"):
        await store.setup()
    await store.close()


async def test_a_refusal_names_the_reason_of_the_server(store: ElasticsearchStore, raw: Raw) -> None:
    await store.put("key", {"n": 1}, collection="users")
    raw.ask("PUT", f"/{raw.prefix}-users/_settings", {"index.blocks.write": True})
    with pytest.raises(BaseKeyValueError, match="blocked for writing"):
        await store.put("key", {"n": 2}, collection="users")
    raw.ask("PUT", f"/{raw.prefix}-users/_settings", {"index.blocks.write": None})
    await store.close()


async def test_a_missing_server_is_a_connection_error_that_says_so(unused_port: int) -> None:
    store = ElasticsearchStore(url=f"http://ada:hunter2@localhost:{unused_port}", index_prefix="kv")
    with pytest.raises(StoreConnectionError, match="connection refused") as failure:
        await store.setup()
    assert type(failure.value.__cause__).__module__.startswith("elastic_transport")
    assert "hunter2" not in str(failure.value)
    await store.close()


async def test_a_client_that_was_passed_in_is_used_and_never_closed(raw: Raw) -> None:
    async with AsyncElasticsearch(hosts=[raw.server.url]) as client:
        async with ElasticsearchStore(elasticsearch_client=client, index_prefix=raw.prefix) as store:
            await store.put_many(list(VALUES), list(VALUES.values()))
            assert await store.get_many(list(VALUES)) == list(VALUES.values())
            assert await store.put_if_absent("empty", {}) is False
            assert await store.delete("empty") is True
        assert (await client.info())["tagline"] == "You Know, for Search"


def test_a_constructor_needs_no_event_loop_no_server_and_no_driver() -> None:
    program = """
import sys
from key_value.aio.stores.elasticsearch import ElasticsearchStore
ElasticsearchStore(url="http://localhost:9200", index_prefix="kv")
print("elasticsearch" in sys.modules, "aiohttp" in sys.modules)
"""
    assert run(sys.executable, "-c", program) == "False False\n"


def test_a_url_names_the_server_and_the_prefix() -> None:
    store = open_store("elasticsearch+https://ada:hunter2@localhost:9200/kv")
    assert repr(store) == "ElasticsearchStore(kv at https://***@localhost:9200)"


def test_a_synchronous_client_is_refused(place: dict[str, Any]) -> None:
    with pytest.raises(
        TypeError, match=r"elasticsearch_client must be elasticsearch\..*AsyncElasticsearch, not elasticsearch"
    ):
        ElasticsearchStore(elasticsearch_client=Elasticsearch(place["url"]), index_prefix="kv")
