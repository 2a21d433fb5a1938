"""Tests of a store on a Redis or Valkey cluster: batches across slots, nodes that die, slots that move."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import pytest
from key_value.aio.errors import StoreConnectionError
from redis.cluster import RedisCluster as RawCluster

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from servers.redis_cluster import RedisCluster

    from tests.conftest import RunServer

RawClient: Any = RawCluster  # its options are untyped

KEYS = [f"key {number}" for number in range(200)]
VALUES = [{"key": key} for key in KEYS]

DOOMED = 1
"""The index of the node that is killed."""

StoreT = TypeVar("StoreT", bound=Any)


def raw_client(cluster: RedisCluster) -> Any:
    return RawClient.from_url(cluster.url.replace("valkey", "redis", 1))


def sizes(raw: Any) -> list[int]:
    return [raw.dbsize(target_nodes=node) for node in raw.get_primaries()]


def keys_of(raw: Any, port: int) -> set[str]:
    return {key for key in KEYS if raw.get_node_from_key(f"default_collection::{key}").port == port}


class Migration:
    """The migration of the slot of `key 0` from its node to another."""

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
        """Move the keys. Then the source replies ASK."""
        self._target.cluster("SETSLOT", self._slot, "IMPORTING", self._source_id)
        self._source.cluster("SETSLOT", self._slot, "MIGRATING", self._target_id)
        names = self._source.cluster("GETKEYSINSLOT", self._slot, 100)
        self._source.migrate(*self._address, names, 0, 5000)

    def finish(self) -> None:
        """Assign the slot to the target. Then the source replies MOVED."""
        for node in (self._target, self._source, *self._nodes):
            node.cluster("SETSLOT", self._slot, "NODE", self._target_id)


class ClusterCases(Generic[StoreT]):
    """Needs the fixtures `cluster`, and `raw_cluster`: a native client of the empty cluster."""

    server: ClassVar[type[RedisCluster]]
    timeout: ClassVar[float] = 3.0
    slack: ClassVar[float] = 20.0
    """Margin in seconds for a busy machine, in addition to the timeout."""

    def open(self, cluster: RedisCluster, **options: Any) -> StoreT:
        raise NotImplementedError

    async def serves_again(self, store: StoreT, keys: list[str]) -> None:
        """Wait until the store has found the node of the keys again. By default, expect the first call to find it."""

    @pytest.fixture
    async def store(self, cluster: RedisCluster, raw_cluster: Any) -> AsyncIterator[StoreT]:
        assert sum(sizes(raw_cluster)) == 0
        async with self.open(cluster) as store:
            yield store

    @pytest.fixture(scope="class")
    @classmethod
    def fragile_cluster(cls, run_server: RunServer) -> Iterator[RedisCluster]:
        """Run a cluster in which a test may kill a node while the other nodes continue to serve their slots."""
        with run_server(cls.server(private=True)) as cluster:
            with raw_client(cluster) as raw:
                raw.config_set("cluster-require-full-coverage", "no", target_nodes=RawCluster.PRIMARIES)
            yield cluster

    @pytest.fixture
    def fragile_raw(self, fragile_cluster: RedisCluster) -> Iterator[Any]:
        with raw_client(fragile_cluster) as raw:
            raw.flushall(target_nodes=RawCluster.PRIMARIES)
            yield raw

    @pytest.fixture
    async def fragile_store(self, fragile_cluster: RedisCluster, fragile_raw: Any) -> AsyncIterator[StoreT]:
        async with self.open(fragile_cluster, timeout=self.timeout) as store:
            await store.put_many(KEYS, VALUES)
            assert min(sizes(fragile_raw)) > 0
            yield store

    # Across slots

    @pytest.mark.parametrize("ttl", [None, 60])
    async def test_a_batch_across_slots_keeps_its_order(self, store: StoreT, raw_cluster: Any, ttl: int | None) -> None:
        await store.put_many(KEYS, VALUES, ttl=ttl)
        assert sum(sizes(raw_cluster)) == 200
        assert min(sizes(raw_cluster)) > 0
        wanted = [*reversed(KEYS), "absent", KEYS[0], KEYS[0]]
        assert await store.get_many(wanted) == [*reversed(VALUES), None, VALUES[0], VALUES[0]]

    async def test_a_batch_across_slots_expires(self, store: StoreT, raw_cluster: Any) -> None:
        start = time.time()
        await store.put_many(KEYS, VALUES, ttl=100.9)
        expiries = [raw_cluster.pexpiretime(f"default_collection::{key}") / 1000 for key in KEYS]
        # A server reads the clock once for all commands that it has received.
        assert start + 100.9 - 0.2 < min(expiries) <= max(expiries) < time.time() + 100.9

    async def test_delete_many_counts_the_entries_on_all_nodes(self, store: StoreT, raw_cluster: Any) -> None:
        await store.put_many(KEYS, VALUES)
        assert await store.delete_many([*KEYS[:150], "absent"]) == 150
        assert sum(sizes(raw_cluster)) == 50

    async def test_keys_come_from_every_node(self, store: StoreT) -> None:
        await store.put_many(KEYS, VALUES, collection="users")
        await store.put_many(KEYS, VALUES, collection="others")
        assert sorted(await store.keys("users")) == sorted(KEYS)
        assert len(set(await store.keys("users", limit=150))) == 150

    async def test_destroy_reaches_every_node_and_keeps_other_applications_keys(
        self, store: StoreT, raw_cluster: Any
    ) -> None:
        for key in KEYS:
            raw_cluster.set(f"foreign::{key}", "text")
        await store.put_many(KEYS, VALUES, collection="users")
        await store.put_many(KEYS, VALUES, collection="others")
        assert await store.destroy_collection("users") is True
        assert sum(sizes(raw_cluster)) == 400
        assert await store.destroy() is True
        assert sum(sizes(raw_cluster)) == 200

    # Killed nodes

    async def answer(self, store: StoreT, key: str) -> Any:
        """Return the result of a get, or the error that it raises."""
        start = time.monotonic()
        try:
            return await store.get(key)
        except Exception as error:  # noqa: BLE001 — the test checks it
            return error
        finally:
            assert time.monotonic() - start < self.timeout + self.slack

    async def check_answers(self, store: StoreT, lost: set[str]) -> None:
        answers = dict(zip(KEYS, await asyncio.gather(*(self.answer(store, key) for key in KEYS)), strict=True))
        assert {key for key in lost if not isinstance(answers[key], StoreConnectionError)} == set()
        with pytest.raises(StoreConnectionError):
            await store.get_many(KEYS)
        served = [key for key in KEYS if key not in lost]
        assert await asyncio.gather(*(store.get(key) for key in served)) == [{"key": key} for key in served]
        assert await store.get_many(served) == [{"key": key} for key in served]

    async def test_a_killed_node_affects_only_its_slots(
        self, fragile_cluster: RedisCluster, fragile_raw: Any, fragile_store: StoreT
    ) -> None:
        lost = keys_of(fragile_raw, fragile_cluster.nodes[DOOMED].port)
        fragile_cluster.kill_node(DOOMED)
        await self.check_answers(fragile_store, lost)
        await asyncio.to_thread(fragile_cluster.restart_node, DOOMED)
        await self.serves_again(fragile_store, sorted(lost))
        # The nodes keep nothing on disk.
        assert {key for key in KEYS if await fragile_store.get(key) is None} == lost
        await fragile_store.put_many(KEYS, VALUES)
        assert await fragile_store.get_many(KEYS) == VALUES

    async def test_a_write_to_a_dead_node_is_an_error(
        self, fragile_cluster: RedisCluster, fragile_store: StoreT
    ) -> None:
        fragile_cluster.kill_node(DOOMED)
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: fragile_store.put_many(KEYS, VALUES),
            lambda: fragile_store.put_many(KEYS, VALUES, ttl=60),
            lambda: fragile_store.delete_many(KEYS),
            fragile_store.keys,
            fragile_store.destroy,
        ]
        for call in calls:
            start = time.monotonic()
            with pytest.raises(StoreConnectionError):
                await call()
            assert time.monotonic() - start < self.timeout + self.slack
        await asyncio.to_thread(fragile_cluster.restart_node, DOOMED)
        await self.serves_again(fragile_store, KEYS)
        await fragile_store.put_many(KEYS, VALUES)
        assert await fragile_store.get_many(KEYS) == VALUES

    # Migration of slots

    async def test_a_slot_is_served_while_and_after_it_moves(self, fragile_raw: Any, fragile_store: StoreT) -> None:
        migration = Migration(fragile_raw)
        migration.move_keys()
        await self.check_serves(fragile_store)
        migration.finish()
        await self.check_serves(fragile_store)

    async def check_serves(self, store: StoreT) -> None:
        assert await store.get(KEYS[0]) == VALUES[0]
        assert await store.get_many(KEYS) == VALUES
        await store.put(KEYS[0], {"n": 1})
        assert await store.delete(KEYS[0]) is True
        await store.put_many(KEYS, VALUES)
        assert await store.get(KEYS[0]) == VALUES[0]
