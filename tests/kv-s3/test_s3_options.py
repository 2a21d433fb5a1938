"""Options and URLs of an S3Store, what it shows of them, and the reasons reported when no bucket is found."""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import subprocess
import sys
import threading
import traceback
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.core.aws.clients import ClientFactory
from key_value.aio.errors import BaseKeyValueError, StoreConnectionError, StoreSetupError
from key_value.aio.stores.s3 import S3Store
from key_value.aio.urls import open_store

from .conftest import Raw, at

if TYPE_CHECKING:
    from servers.s3 import S3Server

SECRET = "hunter2"  # noqa: S105 — must not appear in messages
PLACE: dict[str, Any] = {
    "bucket_name": "bucket",
    "region_name": "eu-central-1",
    "endpoint_url": "http://127.0.0.1:9",
    "aws_access_key_id": "AKIAEXAMPLE",
    "aws_secret_access_key": SECRET,
    "aws_session_token": SECRET,
}

BAD_OPTIONS: dict[str, dict[str, Any]] = {
    "empty bucket": {"bucket_name": ""},
    "bucket with a slash": {"bucket_name": "a/b"},
    "invalid region": {"region_name": "Frankfurt am Main"},
    "endpoint without a scheme": {"endpoint_url": "localhost:9000"},
    "endpoint with a password": {"endpoint_url": f"http://user:{SECRET}@localhost"},
    "half of the credentials": {"aws_secret_access_key": None},
    "client together with a location": {"client": object()},
    "timeout 0": {"timeout": 0},
    "no connections": {"max_connections": 0},
}


@pytest.mark.parametrize("options", BAD_OPTIONS.values(), ids=BAD_OPTIONS)
def test_invalid_options_are_refused_without_showing_a_secret(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        S3Store(**{**PLACE, **options})
    assert SECRET not in str(caught.value)


def test_a_repr_shows_the_location_of_the_bucket_without_secrets() -> None:
    assert repr(S3Store(**PLACE)) == "S3Store(bucket at http://127.0.0.1:9)"
    assert repr(S3Store(bucket_name="bucket", region_name="eu-central-1")) == "S3Store(bucket at eu-central-1)"


def test_a_constructor_needs_no_event_loop_and_loads_no_driver() -> None:
    program = (
        "import sys; from key_value.aio.stores.s3 import S3Store; S3Store(bucket_name='bucket'); "
        "print('aiobotocore' in sys.modules, 'aiohttp' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603 — trusted program
    assert done.stdout == "False False\n"


def test_a_pickled_store_keeps_its_options() -> None:
    assert repr(pickle.loads(pickle.dumps(S3Store(**PLACE)))) == repr(S3Store(**PLACE))  # noqa: S301 — trusted data


# URLs


async def test_a_url_names_the_bucket_and_the_options(place: dict[str, Any], raw: Raw) -> None:
    url = f"s3://{raw.bucket}?region_name={place['region_name']}&endpoint_url={place['endpoint_url']}&timeout=20"
    secrets = {name: place[name] for name in ("aws_access_key_id", "aws_secret_access_key")}
    store: Any = open_store(url, **secrets)
    async with store:
        await store.put("key", {"n": 1})
    assert raw.names() == ["default_collection/key"]


@pytest.mark.parametrize(
    "url",
    [
        "s3://",
        "s3://bucket/prefix",
        "s3://bucket:9000",
        "s3://key:hunter2@bucket",
        "s3://bucket?colour=red",
        "s3://bucket?max_connections=hunter2",
        "s3://bucket#hunter2",
    ],
)
def test_a_url_with_an_unsupported_part_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        open_store(url)
    assert SECRET not in str(caught.value)


# Reported reasons


async def refusal(**options: Any) -> tuple[BaseKeyValueError, str]:
    """Return the error of `setup`, and its printed text."""
    store = S3Store(**options, timeout=20.0)
    with pytest.raises(BaseKeyValueError) as caught:
        await store.setup()
    await store.close()
    return caught.value, "".join(traceback.format_exception_only(caught.value))


async def test_an_unknown_host_is_reported(place: dict[str, Any]) -> None:
    error, shown = await refusal(**at(place, "http://no-such-host.invalid:9000"))
    assert isinstance(error, StoreConnectionError)
    assert "unknown host" in shown


async def test_a_refused_connection_is_reported(place: dict[str, Any], unused_port: int) -> None:
    error, shown = await refusal(**at(place, f"http://127.0.0.1:{unused_port}"))
    assert isinstance(error, StoreConnectionError)
    assert "refused" in shown


@pytest.mark.parametrize("server", ["s3", "ceph"])
async def test_a_wrong_secret_is_reported(request: pytest.FixtureRequest, server: str) -> None:
    place: dict[str, Any] = request.getfixturevalue("place" if server == "s3" else "ceph_place")
    error, shown = await refusal(**{**place, "aws_secret_access_key": "wrong-hunter2"})
    assert isinstance(error, StoreSetupError)
    assert "wrong secret access key" in shown
    assert SECRET not in shown


@pytest.mark.parametrize("server", ["s3", "ceph"])
async def test_an_unknown_access_key_is_reported(request: pytest.FixtureRequest, server: str) -> None:
    place: dict[str, Any] = request.getfixturevalue("place" if server == "s3" else "ceph_place")
    error, shown = await refusal(**{**place, "aws_access_key_id": "AKIAUNKNOWN"})
    assert isinstance(error, StoreSetupError)
    assert "access key is not known" in shown


async def test_missing_credentials_are_reported(place: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    error, shown = await refusal(**{**place, "aws_access_key_id": None, "aws_secret_access_key": None})
    assert isinstance(error, StoreSetupError)
    assert "no credentials" in shown


async def test_a_missing_permission_is_reported(s3_server: S3Server, place: dict[str, Any], raw: Raw) -> None:
    raw.create()
    reader = create_reader(s3_server, raw)
    error, shown = await refusal(**{**place, **reader})
    assert isinstance(error, StoreSetupError)
    assert "lack the right to PutObject" in shown


async def test_a_user_with_only_read_permission_can_read(s3_server: S3Server, place: dict[str, Any], raw: Raw) -> None:
    async with S3Store(**place) as store:
        await store.put_many(["key", "a/b"], [{"n": 1}, {"n": 2}])
    store = S3Store(**{**place, **create_reader(s3_server, raw)}, escape_names=True)
    assert await store.get_many(["key", "a/b", "absent"]) == [{"n": 1}, {"n": 2}, None]
    assert await store.keys() == ["a/b", "key"]
    await store.close()


def create_reader(server: S3Server, raw: Raw) -> dict[str, Any]:
    """Create a user with read permission on the server, and return the user's credentials."""
    if server.external_url is not None:
        pytest.skip("only a server of our own gets users")
    name = f"reader{uuid.uuid4().hex[:8]}"
    access_key, secret = server.credentials
    command = [str(server.program), "admin", "--access", access_key, "--secret", secret, "--endpoint-url"]
    user = ["create-user", "--access", name, "--secret", SECRET * 3, "--role", "user"]
    subprocess.run([*command, server.endpoint, *user], check=True, capture_output=True)  # noqa: S603 — trusted program
    actions = '["s3:GetObject", "s3:ListBucket"]'
    resources = f'["arn:aws:s3:::{raw.bucket}", "arn:aws:s3:::{raw.bucket}/*"]'
    statement = f'{{"Effect": "Allow", "Principal": "{name}", "Action": {actions}, "Resource": {resources}}}'
    raw.client.put_bucket_policy(Bucket=raw.bucket, Policy=f'{{"Statement": [{statement}]}}')
    return {"aws_access_key_id": name, "aws_secret_access_key": SECRET * 3}


async def test_no_log_shows_a_secret(place: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="key_value")
    caplog.set_level(logging.INFO)
    async with S3Store(**place) as store:
        await store.put("key", {"n": 1})
    assert place["aws_secret_access_key"] not in caplog.text


# Clients


async def test_making_the_client_does_not_block_the_event_loop(
    place: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    make = ClientFactory.make
    loop, loop_ran = asyncio.get_running_loop(), threading.Event()

    def make_after_loop_ran(self: ClientFactory) -> Any:
        loop.call_soon_threadsafe(loop_ran.set)
        assert loop_ran.wait(20)
        return make(self)

    monkeypatch.setattr(ClientFactory, "make", make_after_loop_ran)
    store = S3Store(**place)
    assert await store.get("key") is None
    await store.close()


async def test_concurrent_first_uses_make_one_client(place: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    make = ClientFactory.make

    def counted(self: ClientFactory) -> Any:
        made.append(threading.get_ident())
        return make(self)

    monkeypatch.setattr(ClientFactory, "make", counted)
    store = S3Store(**place)
    await asyncio.gather(*(store.get(f"key {number}") for number in range(50)))
    await store.close()
    assert len(made) == 1
    assert made[0] != threading.get_ident()


async def test_stores_starting_concurrently_create_one_bucket(place: dict[str, Any], raw: Raw) -> None:
    stores = [S3Store(**place) for _ in range(4)]
    await asyncio.gather(*(store.setup() for store in stores))
    for store in stores:
        await store.close()
    assert raw.exists()
