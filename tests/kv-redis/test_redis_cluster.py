"""A RedisStore on a cluster: batches across slots, nodes that die, slots that move."""

from __future__ import annotations

import asyncio
import gc
import time
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.errors import StoreConnectionError, StoreTimeoutError
from key_value.aio.stores.redis import RedisStore
from redis.cluster import RedisCluster as RawCluster
from servers.redis_cluster import RedisCluster

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.conftest import RunServer

RawClient: Any = RawCluster  # which leaves its options untyped

KEYS = [f"key {number}" for number in range(200)]
VALUES = [{"key": key} for key in KEYS]

TIMEOUT = 1.0
# What a busy machine may add to it.
SLACK = 1.0

DOOMED = 1


# redis-py leaves connections to a killed node unclosed; collected later, their warnings would fail another test.
@pytest.fixture(autouse=True)
def _collect_what_the_driver_leaves() -> Iterator[None]:
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture
async def store(redis_cluster: RedisCluster, raw_cluster: Any) -> AsyncIterator[RedisStore]:
    assert sum(sizes(raw_cluster)) == 0
    async with RedisStore(url=redis_cluster.urls) as store:
        yield store


def sizes(raw: Any) -> list[int]:
    return [raw.dbsize(target_nodes=node) for node in raw.get_primaries()]


# Across slots


async def test_a_batch_is_spread_over_the_nodes(store: RedisStore, raw_cluster: Any) -> None:
    await store.put_many(KEYS, VALUES)
    assert sum(sizes(raw_cluster)) == 200
    assert min(sizes(raw_cluster)) > 0


@pytest.mark.parametrize("ttl", [None, 60])
async def test_a_batch_across_slots_keeps_its_order(store: RedisStore, ttl: int | None) -> None:
    await store.put_many(KEYS, VALUES, ttl=ttl)
    wanted = [*reversed(KEYS), "absent", KEYS[0], KEYS[0]]
    assert await store.get_many(wanted) == [*reversed(VALUES), None, VALUES[0], VALUES[0]]


async def test_a_batch_across_slots_expires(store: RedisStore, raw_cluster: Any) -> None:
    await store.put_many(KEYS, VALUES, ttl=1.9)
    assert all(1000 < raw_cluster.pttl(f"default_collection::{key}") <= 1900 for key in KEYS)


async def test_delete_many_counts_what_all_nodes_had(store: RedisStore, raw_cluster: Any) -> None:
    await store.put_many(KEYS, VALUES)
    assert await store.delete_many([*KEYS[:150], "absent"]) == 150
    assert sum(sizes(raw_cluster)) == 50


async def test_keys_come_from_every_node(store: RedisStore) -> None:
    await store.put_many(KEYS, VALUES, collection="users")
    await store.put_many(KEYS, VALUES, collection="others")
    assert sorted(await store.keys("users")) == sorted(KEYS)
    assert len(set(await store.keys("users", limit=150))) == 150


async def test_destroy_reaches_every_node_and_leaves_what_others_wrote(store: RedisStore, raw_cluster: Any) -> None:
    for key in KEYS:
        raw_cluster.set(f"foreign::{key}", "text")
    await store.put_many(KEYS, VALUES, collection="users")
    await store.put_many(KEYS, VALUES, collection="others")
    assert await store.destroy_collection("users") is True
    assert sum(sizes(raw_cluster)) == 400
    assert await store.destroy() is True
    assert sum(sizes(raw_cluster)) == 200


async def test_the_first_calls_go_to_the_right_nodes(redis_cluster: RedisCluster, raw_cluster: Any) -> None:
    before = redirections(raw_cluster)
    async with RedisStore(url=redis_cluster.urls) as store:
        await asyncio.gather(*(store.put(key, value) for key, value in zip(KEYS, VALUES, strict=True)))
    assert redirections(raw_cluster) == before


def redirections(raw: Any) -> int:
    """How often the nodes have answered MOVED."""
    errors = [raw.info("errorstats", target_nodes=node) for node in raw.get_primaries()]
    return sum(each.get("errorstat_MOVED", {"count": 0})["count"] for each in errors)


async def test_one_known_node_is_enough(redis_cluster: RedisCluster, raw_cluster: Any) -> None:
    async with RedisStore(url=redis_cluster.urls[2:]) as store:
        await store.put_many(KEYS, VALUES)
    assert min(sizes(raw_cluster)) > 0


async def test_a_known_node_may_be_down(redis_cluster: RedisCluster, raw_cluster: Any, unused_port: int) -> None:
    async with RedisStore(url=[f"redis://127.0.0.1:{unused_port}", *redis_cluster.urls]) as store:
        await store.put_many(KEYS, VALUES)
    assert min(sizes(raw_cluster)) > 0


async def test_a_server_that_is_no_cluster_is_an_error(url: str) -> None:
    async with RedisStore(url=[url.rpartition("/")[0]]) as store:
        with pytest.raises(StoreConnectionError):
            await store.get("key")


# Nodes that die


@pytest.fixture(scope="module")
def fragile_cluster(run_server: RunServer) -> Iterator[RedisCluster]:
    """A cluster whose nodes a test may kill, and whose other nodes then go on serving."""
    with run_server(RedisCluster(private=True)) as cluster:
        with RawClient.from_url(cluster.url) as raw:
            raw.config_set("cluster-require-full-coverage", "no", target_nodes=RawCluster.PRIMARIES)
        yield cluster


@pytest.fixture
def fragile_raw(fragile_cluster: RedisCluster) -> Iterator[Any]:
    with RawClient.from_url(fragile_cluster.url) as raw:
        raw.flushall(target_nodes=RawCluster.PRIMARIES)
        yield raw


@pytest.fixture
async def fragile_store(fragile_cluster: RedisCluster, fragile_raw: Any) -> AsyncIterator[RedisStore]:
    async with RedisStore(url=fragile_cluster.urls, timeout=TIMEOUT) as store:
        await store.put_many(KEYS, VALUES)
        assert min(sizes(fragile_raw)) > 0
        yield store


def keys_of(raw: Any, port: int) -> set[str]:
    return {key for key in KEYS if raw.get_node_from_key(f"default_collection::{key}").port == port}


async def answer(store: RedisStore, key: str) -> Any:
    """What a get gives, or the error that it raises."""
    start = time.monotonic()
    try:
        return await store.get(key)
    except Exception as error:  # noqa: BLE001 — the test looks at it
        return error
    finally:
        assert time.monotonic() - start < TIMEOUT + SLACK


async def check_answers(store: RedisStore, lost: set[str]) -> None:
    answers = dict(zip(KEYS, await asyncio.gather(*(answer(store, key) for key in KEYS)), strict=True))
    assert {key for key in lost if not isinstance(answers[key], StoreConnectionError)} == set()
    with pytest.raises(StoreConnectionError):
        await store.get_many(KEYS)
    served = [key for key in KEYS if key not in lost]
    assert await asyncio.gather(*(store.get(key) for key in served)) == [{"key": key} for key in served]
    assert await store.get_many(served) == [{"key": key} for key in served]


async def test_a_killed_node_costs_its_slots_and_no_others(
    fragile_cluster: RedisCluster, fragile_raw: Any, fragile_store: RedisStore
) -> None:
    lost = keys_of(fragile_raw, fragile_cluster.nodes[DOOMED].port)
    fragile_cluster.kill_node(DOOMED)
    await check_answers(fragile_store, lost)
    await asyncio.to_thread(fragile_cluster.restart_node, DOOMED)
    # The nodes keep nothing on disk.
    assert {key for key in KEYS if await fragile_store.get(key) is None} == lost
    await fragile_store.put_many(KEYS, VALUES)
    assert await fragile_store.get_many(KEYS) == VALUES


async def test_a_frozen_node_costs_its_slots_and_no_others(
    fragile_cluster: RedisCluster, fragile_raw: Any, fragile_store: RedisStore
) -> None:
    lost = keys_of(fragile_raw, fragile_cluster.nodes[DOOMED].port)
    fragile_cluster.nodes[DOOMED].pause()
    await check_answers(fragile_store, lost)
    fragile_cluster.nodes[DOOMED].resume()
    await asyncio.to_thread(fragile_cluster.wait_until_ready)
    assert await fragile_store.get_many(KEYS) == VALUES


async def test_a_write_to_a_dead_node_is_an_error(fragile_cluster: RedisCluster, fragile_store: RedisStore) -> None:
    fragile_cluster.kill_node(DOOMED)
    for call in (
        fragile_store.put_many(KEYS, VALUES),
        fragile_store.put_many(KEYS, VALUES, ttl=60),
        fragile_store.delete_many(KEYS),
        fragile_store.keys(),
        fragile_store.destroy(),
    ):
        start = time.monotonic()
        with pytest.raises(StoreConnectionError):
            await call
        assert time.monotonic() - start < TIMEOUT + SLACK
    await asyncio.to_thread(fragile_cluster.restart_node, DOOMED)
    await fragile_store.put_many(KEYS, VALUES)
    assert await fragile_store.get_many(KEYS) == VALUES


async def test_a_cluster_that_is_gone_is_an_error_in_time(
    fragile_cluster: RedisCluster, fragile_store: RedisStore
) -> None:
    fragile_cluster.pause()
    start = time.monotonic()
    answers = await asyncio.gather(*(answer(fragile_store, key) for key in KEYS))
    assert time.monotonic() - start < TIMEOUT + SLACK
    assert {type(each) for each in answers} == {StoreTimeoutError}
    fragile_cluster.resume()
    await asyncio.to_thread(fragile_cluster.wait_until_ready)
    assert await fragile_store.get_many(KEYS) == VALUES


# Slots that move


class Migration:
    """The way of the slot of `key 0` from its node to another."""

    def __init__(self, raw: Any) -> None:
        self.name = f"default_collection::{KEYS[0]}"
        self._slot = raw.keyslot(self.name)
        source = raw.get_node_from_key(self.name)
        target = next(node for node in raw.get_primaries() if node.name != source.name)
        self._nodes = [raw.get_redis_connection(node) for node in raw.get_primaries()]
        self._source, self._target = raw.get_redis_connection(source), raw.get_redis_connection(target)
        self._address = target.host, target.port
        self._source_id, self._target_id = self._source.cluster("MYID"), self._target.cluster("MYID")

    def move_keys(self) -> None:
        """After it, the source answers ASK."""
        self._target.cluster("SETSLOT", self._slot, "IMPORTING", self._source_id)
        self._source.cluster("SETSLOT", self._slot, "MIGRATING", self._target_id)
        names = self._source.cluster("GETKEYSINSLOT", self._slot, 100)
        self._source.migrate(*self._address, names, 0, 5000)

    def finish(self) -> None:
        """After it, the source answers MOVED."""
        for node in (self._target, self._source, *self._nodes):
            node.cluster("SETSLOT", self._slot, "NODE", self._target_id)


async def test_a_slot_is_served_while_and_after_it_moves(fragile_raw: Any, fragile_store: RedisStore) -> None:
    migration = Migration(fragile_raw)
    migration.move_keys()
    await check_serves(fragile_store)
    migration.finish()
    await check_serves(fragile_store)


async def check_serves(store: RedisStore) -> None:
    assert await store.get(KEYS[0]) == VALUES[0]
    assert await store.get_many(KEYS) == VALUES
    await store.put(KEYS[0], {"n": 1})
    assert await store.delete(KEYS[0]) is True
    await store.put_many(KEYS, VALUES)
    assert await store.get(KEYS[0]) == VALUES[0]
