"""The store contracts on servers with exact and with folded names, with options and with clients."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import aioboto3  # pyright: ignore[reportMissingTypeStubs] — without stubs
import pytest
from aiobotocore.config import AioConfig  # pyright: ignore[reportMissingTypeStubs] — without stubs
from key_value.aio.stores.s3 import S3Store
from key_value.aio.testing import StoreTests
from key_value.aio.testing.batches import BatchTests
from key_value.aio.testing.corruption import CorruptionTests
from key_value.aio.testing.destruction import DestructionTests
from key_value.aio.testing.enumeration import EnumerationTests
from key_value.aio.testing.expiry import ExpiryTests
from key_value.aio.testing.fault_tests import FaultTests
from key_value.aio.testing.names import NameTests
from key_value.aio.testing.stateful import check_against_dict
from service_cases import ServiceClientTests, ServiceContract
from typing_extensions import override

from .conftest import REGION, at, options_of

if TYPE_CHECKING:
    from servers.s3 import S3Server

    from .conftest import Raw


Session: Any = aioboto3.Session  # with untyped methods


class S3Contract(ServiceContract[S3Store]):
    store_type = S3Store
    secrets = ("correct/horse+battery", "hunter2hunter2")
    raw: Raw

    @override
    async def read_stored(self, store: S3Store, collection: str, key: str) -> bytes | None:
        return await asyncio.to_thread(self.raw.get, f"{collection}/{key}")

    @override
    async def corrupt_stored(self, store: S3Store, collection: str, key: str, data: bytes) -> None:
        await asyncio.to_thread(self.raw.put, f"{collection}/{key}", data)

    @override
    async def put_foreign(self, store: S3Store) -> None:
        await store.setup()
        await asyncio.to_thread(self.raw.put, "foreign/page.html", b"<html>")
        await asyncio.to_thread(self.raw.put, "foreign.json", b"{}")

    @override
    async def has_foreign(self, store: S3Store) -> bool:
        return (self.raw.get("foreign/page.html"), self.raw.get("foreign.json")) == (b"<html>", b"{}")


class TestS3Store(S3Contract, StoreTests[S3Store]):
    """On a server that stores objects as files."""

    # More than one S3 page; each key takes two requests, and the kit's tests have one minute.
    many_keys = 1_200


class TestS3StoreWithClient(S3Contract, ServiceClientTests[S3Store]):
    """Only a few contracts: this client takes milliseconds of CPU per request."""

    any_event_loop = False
    secrets = ()

    @pytest.fixture
    def store(self, place: dict[str, Any], raw: Raw) -> S3Store:
        self.raw, self.place = raw, place
        return self._open()

    @override
    def reopen(self, store: S3Store) -> S3Store:
        return self._open()

    def _open(self) -> S3Store:
        return StoreWithClient({name: value for name, value in self.place.items() if name != "bucket_name"}, self.raw)


class StoreWithClient(S3Store):
    """A store that creates its client in the running event loop, and closes it."""

    def __init__(self, place: dict[str, Any], raw: Raw) -> None:
        self._made = LazyClient(place)
        super().__init__(client=self._made, bucket_name=raw.bucket)

    @override
    async def close(self) -> None:
        await super().close()
        await self._made.close()


class LazyClient:
    """A client opened by its first request."""

    def __init__(self, place: dict[str, Any]) -> None:
        self.meta: Any = SimpleNamespace(region_name=REGION, service_model=SimpleNamespace(service_name="s3"))
        self._place = place
        self._opening = asyncio.Lock()
        self._entered: tuple[Any, Any] | None = None

    def __getattr__(self, operation: str) -> Any:
        async def ask(**parameters: Any) -> Any:
            async with self._opening:
                if self._entered is None:
                    config: Any = AioConfig(s3={"addressing_style": "path"})
                    creator = Session().client("s3", config=config, **self._place)
                    self._entered = creator, await creator.__aenter__()
            return await getattr(self._entered[1], operation)(**parameters)

        return ask

    async def close(self) -> None:
        entered, self._entered = self._entered, None
        if entered is not None:
            await entered[0].__aexit__(None, None, None)


class TestS3StoreOnCeph(
    S3Contract,
    NameTests[S3Store],
    BatchTests[S3Store],
    EnumerationTests[S3Store],
    DestructionTests[S3Store],
    ExpiryTests[S3Store],
    CorruptionTests[S3Store],
):
    """On a server with exact names that ignores conditions."""

    many_keys = 1_200

    @pytest.fixture
    def store(self, ceph_place: dict[str, Any], raw_ceph: Raw) -> S3Store:
        self.raw, self.place = raw_ceph, ceph_place
        return S3Store(**ceph_place)


class TestS3StoreUnderFaults(FaultTests[S3Store]):
    secrets = ("correct/horse+battery",)
    time_limit = 200.0
    answer_limit = 30.0
    timeout = 4.0

    @pytest.fixture
    def server_address(self, s3_server: S3Server, raw: Raw) -> tuple[str, int]:
        self.place = options_of(s3_server, raw.bucket)
        return s3_server.address

    @pytest.fixture
    @override
    def killable_server(self, private_s3: S3Server) -> S3Server:
        self.place = options_of(private_s3, "kv-killed")
        # A server that has just started needs seconds to answer all users at once.
        self.timeout = 10.0
        return private_s3

    @override
    def store_at(self, host: str, port: int) -> S3Store:
        return S3Store(**at(self.place, f"http://{host}:{port}"), timeout=self.timeout)


def test_an_s3_store_behaves_like_a_dict(place: dict[str, Any], raw: Raw) -> None:
    def make_store() -> S3Store:
        for name in raw.names() if raw.exists() else ():
            raw.delete(name)
        return S3Store(**place)

    check_against_dict(make_store)
