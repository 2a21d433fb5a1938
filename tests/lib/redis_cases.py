"""Tests of a store on a server with the Redis protocol, in a database shared with other applications."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import pytest
from fault_cases import FreezeCases, KillCases
from key_value.aio.errors import KeyValueStoreError, StoreConnectionError, StoreSetupError
from key_value.aio.testing import FaultProxy
from key_value.aio.testing.contract import StoreContract
from key_value.aio.testing.fault_tests import FaultTests
from typing_extensions import override
from workspace import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

StoreT = TypeVar("StoreT", bound=Any)

# The raw client


def address_of(raw: Any) -> tuple[str, int]:
    options = raw.connection_pool.connection_kwargs
    return options["host"], options["port"]


def proxy_to(raw: Any) -> FaultProxy:
    return FaultProxy(*address_of(raw))


def connections_named(raw: Any, name: str) -> int:
    return sum(client["name"] == name for client in raw.client_list())


def connections_to_cluster(raw_cluster: Any, name: str) -> int:
    clients = [raw_cluster.client_list(target_nodes=node) for node in raw_cluster.get_primaries()]
    return sum(client["name"] == name for of_node in clients for client in of_node)


def counter_of_commands(ignored: frozenset[str], *nodes: Any) -> Callable[[], dict[str, int]]:
    """Return a function that counts the commands of all nodes since its last call, except the ignored ones."""
    seen: Counter[str] = Counter()

    def since_last() -> dict[str, int]:
        calls: Counter[str] = Counter()
        for node in nodes:
            for name, each in node.info("commandstats").items():
                calls[name.removeprefix("cmdstat_")] += each["calls"]
        new = calls - seen
        seen.update(new)
        return {name: count for name, count in new.items() if name not in ignored}

    since_last()
    return since_last


def written(collection: str, key: str) -> str:
    """Return an entry in the format of all versions."""
    return json.dumps({"version": 1, "collection": collection, "key": key, "value": {"n": 1}})


# The contracts


class RedisContract(StoreContract[StoreT]):
    raw: Any
    """The raw client, which the fixture `store` sets."""

    @override
    async def read_stored(self, store: StoreT, collection: str, key: str) -> bytes | None:
        return self.raw.get(f"{collection}::{key}")

    @override
    async def corrupt_stored(self, store: StoreT, collection: str, key: str, data: bytes) -> None:
        self.raw.set(f"{collection}::{key}", data)

    @override
    async def put_foreign(self, store: StoreT) -> None:
        self.raw.set("foreign", "text")
        self.raw.hset("foreign::hash", "field", "text")

    @override
    async def has_foreign(self, store: StoreT) -> bool:
        return (self.raw.get("foreign"), self.raw.hget("foreign::hash", "field")) == (b"text", b"text")


class RedisFaultTests(FaultTests[StoreT]):
    @pytest.fixture
    def server_address(self, raw: Any) -> tuple[str, int]:
        return address_of(raw)


# Enumerating and destroying

MANY = 25_000

FOREIGN_STRINGS: dict[bytes, bytes] = {
    b"foreign": b"text",
    b"foreign::text": b"text",
    b"foreign::object": b'{"n": 1}',
    b"foreign::nameless": b'{"version": 1, "value": {"n": 1}}',
    b"foreign::renamed": b'{"version": 1, "collection": "users", "key": "alice", "value": {"n": 1}}',
    b"foreign::later": b'{"version": 2, "collection": "foreign", "key": "later", "value": {"n": 1}}',
    b"foreign::empty": b"",
    b"foreign\xff::binary": b"\xff\xfe",
    b"::": b'{"version": 1, "collection": "", "key": "", "value": {}}',
    b"users::": b'{"version": 1, "collection": "users", "key": "", "value": {}}',
}

GLOBS = ["*", "user?", "user[s]", "user[^a]", "use*", "users\\", "\\*", "[u]sers", "u{s}ers", "-", "^"]


def put_foreign(raw: Any) -> None:
    raw.mset(FOREIGN_STRINGS)
    raw.hset("foreign::hash", "field", "text")
    raw.xadd("foreign::stream", {"field": "text"})
    raw.sadd("foreign::set", "text")


def contents(raw: Any) -> dict[bytes, bytes]:
    return {name: raw.dump(name) for name in raw.scan_iter()}


class SharedDatabaseCases:
    """Needs the fixtures `raw`, `store`, `other_database` (a store on another database) and `commands_run`."""

    async def test_destroy_leaves_what_others_wrote(self, store: Any, raw: Any) -> None:
        put_foreign(raw)
        before = contents(raw)
        for collection in ("users", "a::b", "a:", "höme 🌍", "*"):
            await store.put_many(["a", "b"], [{"n": 1}, {"n": 2}], collection=collection)
        assert await store.destroy() is True
        assert contents(raw) == before

    async def test_destroy_keeps_other_databases(self, store: Any, other_database: Any) -> None:
        await other_database.put("key", {"n": 1})
        await store.destroy()
        assert await other_database.delete("key") is True

    async def test_destroy_removes_entries_of_earlier_versions(self, store: Any, raw: Any) -> None:
        raw.set("users::alice", written("users", "alice"))
        raw.set("a::b::c", written("a::b", "c"))
        raw.set("a:::b", written("a:", "b"))
        await store.destroy()
        assert raw.dbsize() == 0

    async def test_destroying_a_collection_keeps_another_with_the_same_prefix(self, store: Any, raw: Any) -> None:
        # An earlier version stores ("a::b", "c") under the name of ("a", "b::c").
        raw.set("a::b::c", written("a::b", "c"))
        await store.put("key", {"n": 1}, collection="a")
        assert await store.destroy_collection("a") is True
        assert list(raw.scan_iter()) == [b"a::b::c"]

    async def test_destroy_removes_every_collection(self, store: Any, raw: Any) -> None:
        for collection in ("users", "a::b", "a:", "höme 🌍", "*"):
            await store.put("key", {"n": 1}, collection=collection)
        await store.destroy()
        assert raw.dbsize() == 0

    async def test_destroying_a_collection_keeps_other_applications_keys(self, store: Any, raw: Any) -> None:
        put_foreign(raw)
        before = contents(raw)
        await store.put("key", {"n": 1}, collection="foreign")
        assert await store.destroy_collection("foreign") is True
        assert await store.destroy_collection("foreign") is False
        assert contents(raw) == before

    @pytest.mark.parametrize("collection", GLOBS)
    async def test_a_collection_is_not_treated_as_a_pattern(self, store: Any, raw: Any, collection: str) -> None:
        for name in ("users", "usera", collection):
            await store.put("key", {"n": 1}, collection=name)
        assert await store.keys(collection) == ["key"]
        assert await store.destroy_collection(collection) is True
        assert set(raw.keys()) == {b"users::key", b"usera::key"}

    async def test_destroying_runs_no_command_that_blocks_the_server(
        self, store: Any, commands_run: Callable[[], dict[str, int]]
    ) -> None:
        await store.put("key", {"n": 1}, collection="users")
        await store.keys("users")
        await store.destroy_collection("users")
        await store.destroy()
        assert set(commands_run()) == {"set", "scan", "mget", "unlink"}

    async def test_keys_lists_only_the_collection(self, store: Any, raw: Any) -> None:
        put_foreign(raw)
        raw.hset("users::hash", "field", "text")
        await store.put_many(["a", "höme/é 🌍", "a::b", "*"], [{"n": 1}] * 4, collection="users")
        await store.put("c", {"n": 1}, collection="users::a")
        assert sorted(await store.keys("users")) == sorted(["a", "höme/é 🌍", "a::b", "*"])

    async def test_keys_and_destroy_are_complete(self, store: Any, raw: Any) -> None:
        keys = [f"key {number}" for number in range(MANY)]
        raw.mset({f"users::{key}": written("users", key) for key in keys})
        raw.mset({f"foreign {number}": "text" for number in range(1000)})
        assert sorted(await store.keys("users")) == sorted(keys)
        assert len(set(await store.keys("users", limit=MANY - 1))) == MANY - 1
        assert await store.destroy_collection("users") is True
        assert raw.dbsize() == 1000


# Commands sent


class CommandCases:
    """Needs the fixtures `store` and `commands_run`."""

    async def test_each_operation_is_one_command(self, store: Any, commands_run: Callable[[], dict[str, int]]) -> None:
        await store.put("key", {"n": 1})
        assert commands_run() == {"set": 1}
        await store.put("key", {"n": 1}, ttl=60)
        assert commands_run() == {"set": 1}
        await store.get("key")
        await store.ttl("key")
        assert commands_run() == {"get": 2}
        await store.delete("key")
        assert commands_run() == {"unlink": 1}

    async def test_each_batch_is_one_command(self, store: Any, commands_run: Callable[[], dict[str, int]]) -> None:
        keys = [f"key {number}" for number in range(100)]
        await store.put_many(keys, [{"n": 1}] * 100)
        assert commands_run() == {"mset": 1}
        await store.get_many(keys)
        await store.ttl_many(keys)
        assert commands_run() == {"mget": 2}
        await store.delete_many(keys)
        assert commands_run() == {"unlink": 1}

    async def test_no_command_is_sent_for_an_empty_batch(
        self, store: Any, commands_run: Callable[[], dict[str, int]]
    ) -> None:
        await store.put_many([], [])
        assert await store.get_many([]) == []
        assert await store.delete_many([]) == 0
        assert commands_run() == {}


# Faults and lifetimes


class RedisOutageCases(KillCases[StoreT], FreezeCases[StoreT]):
    """Needs the fixture `private_raw`, a raw client of the private server."""

    reason_without_connections: ClassVar[str] = "no free connection"

    async def test_a_replica_is_a_connection_error(self, private_server: Any, private_raw: Any) -> None:
        async with self.open(private_server) as store:
            private_raw.replicaof(private_server.host, private_server.port + 1)
            with pytest.raises(StoreConnectionError, match="the server is a replica"):
                await store.put("key", {"n": 1})
            private_raw.replicaof("NO", "ONE")
            await store.put("key", {"n": 1})

    async def test_a_server_without_memory_is_not_a_connection_error(
        self, private_server: Any, private_raw: Any
    ) -> None:
        async with self.open(private_server) as store:
            await store.put("key", {"n": 1})
            private_raw.config_set("maxmemory", 1)
            for call in (
                store.put("key", {"n": 2}),
                store.put_many(["key"], [{"n": 2}]),
                store.put_many(["key", "other"], [{}, {}], ttl=9),
                store.put_if_absent("other", {"n": 2}),
            ):
                with pytest.raises(KeyValueStoreError, match="out of memory") as refusal:
                    await call
                assert not isinstance(refusal.value, (StoreConnectionError, StoreSetupError))
            with pytest.raises(KeyValueStoreError, match="out of memory") as refusal:
                await store.setup()
            assert not isinstance(refusal.value, StoreConnectionError)
            assert await store.get_many(["key", "other"]) == [{"n": 1}, None]

    async def test_a_server_without_connections_is_a_connection_error(
        self, private_server: Any, private_raw: Any
    ) -> None:
        private_raw.config_set("maxclients", 1)
        store = self.open(private_server)
        with pytest.raises(StoreConnectionError, match=self.reason_without_connections):
            await store.get("key")
        private_raw.config_set("maxclients", 100)
        assert await store.get("key") is None
        await store.close()


async def check_cancelled_close(store: Any, raw: Any, reason: str) -> None:
    """Cancel a close that waits for a call; check that the call fails at once with the reason."""
    await store.get("key")
    raw.client_pause(60_000, all=False)
    put = asyncio.create_task(store.put("key", {"n": 1}))
    closing = asyncio.create_task(store.close())
    # Enough turns of even a slow event loop for the put to be sent and the close to wait.
    for _ in range(20):
        await asyncio.sleep(0.002)
    assert not put.done()
    closing.cancel()
    with pytest.raises(StoreConnectionError, match=reason):
        await put
    raw.client_unpause()


async def check_cluster_node_is_refused(store: Any, advice: str) -> None:
    """Check that a single-server store on a cluster node fails with the advice for keys of other nodes."""
    outcomes = await asyncio.gather(*(store.get(f"key {number}") for number in range(20)), return_exceptions=True)
    await store.close()
    failures = [outcome for outcome in outcomes if outcome is not None]
    assert failures
    for failure in failures:
        assert isinstance(failure, StoreSetupError)
        assert str(failure).endswith(f"the server is a node of a cluster: {advice}")


# Permissions of users


def documented_rights(backend: str) -> list[str]:
    """Return the ACL SETUSER rules documented on the page of the backend."""
    page = (ROOT / "docs/backends" / f"{backend}.md").read_text()
    [rights] = re.findall(r"`ACL SETUSER app on >… ~\* ([^`]+)`", page)
    return rights.split()


async def use_everything(store: Any) -> None:
    """Make a call of each kind, so that every command that a store may send is sent."""
    await store.put("key", {"n": 1}, ttl=60)
    await store.put_many(["a", "b"], [{"n": 2}] * 2)
    await store.put_many(["c", "d"], [{"n": 3}] * 2, ttl=60)
    assert await store.get_many(["key", "a", "c"]) == [{"n": 1}, {"n": 2}, {"n": 3}]
    version = (await store.get_versioned("key")).version
    assert await store.put_if_version("key", {"n": 4}, version) is True
    assert await store.put_if_absent("key", {"n": 5}) is False
    assert await store.delete_if_version("key", version) is False
    assert await store.put_if_absent("e", {"n": 4}) is True
    assert await store.delete_if_version("e", (await store.get_versioned("e")).version) is True
    assert sorted(await store.keys()) == ["a", "b", "c", "d", "key"]
    assert await store.collections() == ["default_collection"]
    assert await store.delete("key") is True
    assert await store.delete_many(["a", "b"]) == 2
    assert await store.destroy_collection("default_collection") is True
    assert await store.destroy() is True
