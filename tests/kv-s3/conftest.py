"""S3 servers, empty buckets, and a raw client that inspects what they hold."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from botocore.config import Config  # pyright: ignore[reportMissingTypeStubs] — without stubs
from botocore.exceptions import ClientError  # pyright: ignore[reportMissingTypeStubs] — without stubs
from botocore.session import Session  # pyright: ignore[reportMissingTypeStubs] — without stubs
from key_value.aio.stores.s3 import S3Store

from .service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from servers.ceph import CephGateway
    from servers.s3 import S3Server


REGION = "us-east-1"

BotocoreSession: Any = Session  # with untyped methods


class Raw(NamedTuple):
    """The raw client, and the bucket under test."""

    client: Any
    bucket: str

    def put(self, name: str, data: bytes = b"", **options: Any) -> None:
        self.client.put_object(Bucket=self.bucket, Key=name, Body=data, **options)

    def get(self, name: str) -> bytes | None:
        try:
            return self.client.get_object(Bucket=self.bucket, Key=name)["Body"].read()
        except (self.client.exceptions.NoSuchKey, self.client.exceptions.NoSuchBucket):
            return None

    def metadata(self, name: str) -> dict[str, str]:
        return self.client.head_object(Bucket=self.bucket, Key=name)["Metadata"]

    def delete(self, name: str) -> None:
        self.client.delete_object(Bucket=self.bucket, Key=name)

    def names(self) -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        return [each["Key"] for page in pages for each in page.get("Contents", ())]

    def exists(self) -> bool:
        try:
            self.client.head_bucket(Bucket=self.bucket)
        except ClientError:
            return False
        return True

    def create(self) -> None:
        self.client.create_bucket(Bucket=self.bucket)

    def remove(self) -> None:
        if self.exists():
            # XML cannot represent the other names.
            together = [name for name in self.names() if name.isprintable()]
            for start in range(0, len(together), 1000):
                objects = [{"Key": name} for name in together[start : start + 1000]]
                self.client.delete_objects(Bucket=self.bucket, Delete={"Objects": objects, "Quiet": True})
            for name in self.names():
                self.delete(name)
            self.client.delete_bucket(Bucket=self.bucket)


def raw_client(server: S3Server | CephGateway) -> Any:
    access_key, secret = server.credentials
    return BotocoreSession().create_client(
        "s3",
        region_name=REGION,
        endpoint_url=server.endpoint,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret,
        config=Config(
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


def options_of(server: S3Server | CephGateway, bucket: str) -> dict[str, Any]:
    access_key, secret = server.credentials
    return {
        "bucket_name": bucket,
        "region_name": REGION,
        "endpoint_url": server.endpoint,
        "aws_access_key_id": access_key,
        "aws_secret_access_key": secret,
    }


def at(place: dict[str, Any], url: str) -> dict[str, Any]:
    """Return the same options with another URL of the server."""
    return {**place, "endpoint_url": url}


@pytest.fixture(scope="session")
def client(s3_server: S3Server) -> Iterator[Any]:
    client = raw_client(s3_server)
    yield client
    client.close()


@pytest.fixture(scope="session")
def ceph_client(ceph: CephGateway) -> Iterator[Any]:
    client = raw_client(ceph)
    yield client
    client.close()


@pytest.fixture
def raw(client: Any) -> Iterator[Raw]:
    """A bucket that does not exist yet and is deleted after the test."""
    raw = Raw(client, f"kv-{uuid.uuid4().hex}")
    yield raw
    raw.remove()


@pytest.fixture
def raw_ceph(ceph_client: Any) -> Iterator[Raw]:
    raw = Raw(ceph_client, f"kv-{uuid.uuid4().hex}")
    yield raw
    raw.remove()


@pytest.fixture
def place(s3_server: S3Server, raw: Raw) -> dict[str, Any]:
    return options_of(s3_server, raw.bucket)


@pytest.fixture
def ceph_place(ceph: CephGateway, raw_ceph: Raw) -> dict[str, Any]:
    return options_of(ceph, raw_ceph.bucket)


@pytest.fixture
def store(place: dict[str, Any]) -> S3Store:
    return S3Store(**place)


@pytest.fixture
async def service(s3_server: S3Server) -> AsyncIterator[Service]:
    async with Service(s3_server.endpoint) as service:
        yield service


@pytest.fixture
async def store_at_service(service: Service, place: dict[str, Any]) -> AsyncIterator[S3Store]:
    async with S3Store(**at(place, service.url)) as store:
        service.requests.clear()
        yield store
