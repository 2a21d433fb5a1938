"""The kit passes a small sound store on a server and detects each defect of the broken ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import pytest
import redis
from key_value.aio.core.envelope import dump_entry, load_entry
from key_value.aio.errors import StoreConnectionError, StoreTimeoutError
from key_value.aio.stores.base import BaseStore, ManagedEntry
from key_value.aio.testing import FaultTests
from key_value.aio.testing.fault_tests import FAULTS
from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

if TYPE_CHECKING:
    from key_value.aio.core.driver_errors import DriverErrors
    from key_value.aio.testing import KillableServer
    from servers.redis import RedisServer


class SmallStore(BaseStore):
    driver_errors: ClassVar[DriverErrors] = {
        exceptions.TimeoutError: StoreTimeoutError,
        exceptions.ConnectionError: StoreConnectionError,
    }
    timeout: float | None = 2.0

    def __init__(self, host: str, port: int) -> None:
        super().__init__()
        self.address: dict[str, Any] = {"host": host, "port": port}

    async def _setup(self) -> None:
        retry = Retry(NoBackoff(), 0)
        pool = BlockingConnectionPool(**self.address, max_connections=20, socket_timeout=self.timeout, retry=retry)
        self.client = Redis.from_pool(pool)

    async def _probe(self) -> None:
        await self.client.exists("absent")

    async def _close(self) -> None:
        await self.client.aclose()

    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
        stored = await self.client.get(f"{collection}::{key}")
        return None if stored is None else load_entry(stored)

    async def _put_managed_entry(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        await self.client.set(f"{collection}::{key}", dump_entry(managed_entry))

    async def _delete_managed_entry(self, *, collection: str, key: str) -> bool:
        return bool(await self.client.delete(f"{collection}::{key}"))


class TestSmallStore(FaultTests[SmallStore]):
    @pytest.fixture
    def server_address(self, redis_server: RedisServer) -> tuple[str, int]:
        return redis_server.host, redis_server.port

    @pytest.fixture
    def killable_server(self, private_redis: RedisServer) -> KillableServer:
        return private_redis

    def store_at(self, host: str, port: int) -> SmallStore:
        return SmallStore(host, port)


class LeaksTheDriversErrors(SmallStore):
    driver_errors: ClassVar[DriverErrors] = {}


class WaitsForever(SmallStore):
    timeout = None


class ReportsAnErrorAsAbsence(SmallStore):
    async def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
        try:
            return await super().get(key, collection=collection)
        except StoreConnectionError:
            return None


class ProbesNothing(SmallStore):
    async def _probe(self) -> None:
        pass


class HidesTheCause(SmallStore):
    async def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
        try:
            return await super().get(key, collection=collection)
        except StoreConnectionError as error:
            raise StoreConnectionError(error.message) from None


class LeaksTheValue(SmallStore):
    async def put(self, key: str, value: Any, **options: Any) -> None:
        try:
            await super().put(key, value, **options)
        except StoreConnectionError as error:
            message = f"cannot store {value}"
            raise StoreConnectionError(message) from error.__cause__


class NeverReconnects(SmallStore):
    async def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
        try:
            return await super().get(key, collection=collection)
        except StoreConnectionError:
            self.address["port"] = 1
            await self.close()
            raise


class BlocksTheEventLoop(SmallStore):
    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
        with redis.Redis(**self.address, socket_timeout=0.2) as client:
            stored: Any = client.get(f"{collection}::{key}")
        return None if stored is None else load_entry(stored)


CALL = "test_a_call_through_a_fault_is_a_connection_error"
SETUP = "test_a_setup_through_a_fault_is_a_connection_error_and_tells_when_it_is_over"
AFTERWARDS = "test_the_same_store_serves_when_the_fault_is_over"

BROKEN: dict[type[SmallStore], tuple[str, str, str]] = {
    LeaksTheDriversErrors: (CALL, "refuse", "get"),
    WaitsForever: (CALL, "black hole", "put"),
    ReportsAnErrorAsAbsence: (CALL, "reset", "get"),
    ProbesNothing: (SETUP, "reset", ""),
    HidesTheCause: (CALL, "answer cut short", "get"),
    LeaksTheValue: (CALL, "no answer", "put"),
    NeverReconnects: (AFTERWARDS, "reset", ""),
    BlocksTheEventLoop: ("test_the_event_loop_runs_on_while_the_server_is_slow", "", ""),
}
"""Broken store → the test that must fail, its fault, and the row of its table that must be among the failed rows."""


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_store_fails_the_test_for_its_defect(redis_server: RedisServer, broken: type[SmallStore]) -> None:
    class Tests(FaultTests[SmallStore]):
        answer_limit = 0.5

        def store_at(self, host: str, port: int) -> SmallStore:
            return broken(host, port)

    test, fault, row = BROKEN[broken]
    arguments = {"fault": FAULTS[fault]} if fault else {}
    with pytest.raises((AssertionError, pytest.fail.Exception)) as failure:
        getattr(Tests(), test)(server_address=(redis_server.host, redis_server.port), **arguments)
    if row:
        assert f"[{row}]" in next(line for line in str(failure.value).splitlines() if "Failed rows, " in line)
