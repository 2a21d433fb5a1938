"""Options and URLs of a DynamoDBStore, what it shows of them, and its own and passed-in clients."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
import traceback
from typing import TYPE_CHECKING, Any

import aioboto3  # pyright: ignore[reportMissingTypeStubs] — without stubs
import pytest
from aiobotocore.session import AioSession  # pyright: ignore[reportMissingTypeStubs] — without stubs
from key_value.aio.errors import BaseKeyValueError, StoreConnectionError, StoreSetupError
from key_value.aio.stores.dynamodb import DynamoDBStore
from key_value.aio.testing import FaultProxy
from key_value.aio.urls import open_store
from lifetimes import check_forked_child, check_loops_one_after_another
from workspace import run

from .conftest import CREDENTIALS, REGION, at

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from servers.dynamodb import DynamoDBServer

    from .conftest import Raw

SECRET = "hunter2"  # noqa: S105 — must not appear in messages

Session: Any = AioSession  # with untyped methods
Boto3: Any = aioboto3

TABLE: dict[str, Any] = {"table_name": "table"}

BAD_OPTIONS: dict[str, dict[str, Any]] = {
    "table: too short": {"table_name": "kv"},
    "table: a slash": {"table_name": "a/bc"},
    "table: empty": {"table_name": ""},
    "region": {"region_name": "EU central"},
    "endpoint: no scheme": {"endpoint_url": "localhost:8000"},
    "endpoint: another scheme": {"endpoint_url": "ftp://localhost"},
    "endpoint: no host": {"endpoint_url": "http://"},
    "endpoint: a user": {"endpoint_url": "http://user:hunter2@localhost"},
    "endpoint: port that is not a number": {"endpoint_url": "http://localhost:hunter2"},
    "no secret key": {"aws_access_key_id": "a"},
    "no access key": {"aws_secret_access_key": SECRET},
    "token alone": {"aws_session_token": SECRET},
    "timeout 0": {"timeout": 0.0},
    "timeout NaN": {"timeout": float("nan")},
    "no connections": {"max_connections": 0},
    "client and region": {"client": object(), "region_name": REGION},
    "client and credentials": {"client": object(), **CREDENTIALS},
}


def text_of(error: BaseException) -> str:
    return f"{error!r} {''.join(traceback.format_exception(type(error), error, error.__traceback__))}"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> pytest.MonkeyPatch:
    """Hide the credentials and region configured on this machine."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    return monkeypatch


# Options


@pytest.mark.parametrize("options", BAD_OPTIONS.values(), ids=BAD_OPTIONS)
def test_invalid_options_are_refused_and_not_shown(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".") as refusal:
        DynamoDBStore(**(TABLE | options))
    assert SECRET not in str(refusal.value)


def test_a_constructor_needs_no_event_loop_no_server_and_no_driver() -> None:
    program = """
import asyncio, socket, sys
for name in ("socket", "getaddrinfo"):
    delattr(socket, name)
from key_value.aio.stores.dynamodb import DynamoDBStore
DynamoDBStore(table_name="table", region_name="eu-central-1")
print("aiobotocore.session" in sys.modules, "aiohttp" in sys.modules)
"""
    assert run(sys.executable, "-c", program) == "False False\n"


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({}, "sessions"),
        ({"region_name": REGION}, "sessions at eu-central-1"),
        ({"endpoint_url": "http://localhost:8000", **CREDENTIALS}, "sessions at http://localhost:8000"),
        ({**CREDENTIALS, "aws_session_token": SECRET}, "sessions"),
    ],
)
def test_a_repr_shows_the_table_without_credentials(options: dict[str, Any], shown: str) -> None:
    place: dict[str, Any] = {"table_name": "sessions", **options}
    assert repr(DynamoDBStore(**place)) == f"DynamoDBStore({shown})"


async def test_an_error_and_a_log_show_no_credentials(
    place: dict[str, Any], unused_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="key_value")
    store = DynamoDBStore(**at(place, f"http://localhost:{unused_port}"), aws_session_token="hunter2 token")  # noqa: S106
    for call in (store.get("key"), store.put_many(["key"], [{"n": 1}]), store.keys(), store.destroy()):
        with pytest.raises(StoreConnectionError, match="connection refused") as failure:
            await call
        assert SECRET not in text_of(failure.value)
    await store.close()
    assert SECRET not in caplog.text


# URLs


async def test_a_url_names_the_table(place: dict[str, Any], raw: Raw) -> None:
    table = f"Kv_{raw.table}.x"
    query = "&".join(f"{name}={value}" for name, value in place.items() if name != "table_name")
    async with open_store(f"dynamodb://{table}?{query}&consistent_read=false&timeout=90") as store:
        assert isinstance(store, DynamoDBStore)
        await store.put("key", {"n": 1})
    assert raw._replace(table=table).names() == [("default_collection", "key")]
    raw.client.delete_table(TableName=table)


@pytest.mark.parametrize(
    "url",
    [
        "dynamodb://",
        "dynamodb://table/path",
        "dynamodb://table:8000",
        "dynamodb://user:hunter2@table",
        "dynamodb://table?region=eu-central-1",
        "dynamodb://table?timeout=hunter2",
    ],
)
def test_a_url_with_an_unsupported_part_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r".") as refusal:
        open_store(url)
    assert SECRET not in str(refusal.value)


# Missing, wrong or unreachable


async def test_a_missing_region_is_a_setup_error(environment: pytest.MonkeyPatch) -> None:
    assert environment
    store = DynamoDBStore(table_name="table", **CREDENTIALS)
    with pytest.raises(StoreSetupError, match="no region"):
        await store.setup()


async def test_missing_credentials_are_a_setup_error(place: dict[str, Any], environment: pytest.MonkeyPatch) -> None:
    assert environment
    options = {name: value for name, value in place.items() if not name.startswith("aws")}
    store = DynamoDBStore(**options)
    with pytest.raises(StoreSetupError, match="no credentials"):
        await store.setup()
    await store.close()


async def test_a_missing_profile_is_a_setup_error(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("AWS_PROFILE", "absent")
    store = DynamoDBStore(table_name="table", region_name=REGION)
    with pytest.raises(StoreSetupError, match="profile"):
        await store.setup()


async def test_region_and_credentials_are_read_from_the_environment(
    place: dict[str, Any], environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("AWS_DEFAULT_REGION", REGION)
    environment.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    environment.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    async with DynamoDBStore(table_name=place["table_name"], endpoint_url=place["endpoint_url"]) as store:
        await store.put("key", {"n": 1})


async def test_an_unknown_host_is_reported(place: dict[str, Any]) -> None:
    store = DynamoDBStore(**at(place, "http://host.invalid:8000"), timeout=100)
    start = time.monotonic()
    with pytest.raises(StoreConnectionError, match="unknown host"):
        await store.setup()
    assert time.monotonic() - start < 60
    await store.close()


async def test_a_server_other_than_dynamodb_is_reported(place: dict[str, Any], dynamodb_server: DynamoDBServer) -> None:
    store = DynamoDBStore(**at(place, f"{dynamodb_server.url}/absent"))
    with pytest.raises(BaseKeyValueError):
        await store.setup()
    await store.close()


# Clients


async def test_making_a_client_does_not_block_the_event_loop(place: dict[str, Any]) -> None:
    program = f"""
import asyncio, time
from key_value.aio.stores.dynamodb import DynamoDBStore

async def main():
    store = DynamoDBStore(**{place!r})
    opening = asyncio.ensure_future(store.setup())
    longest = ticks = 0
    while not opening.done():
        start = time.monotonic()
        await asyncio.sleep(0.001)
        longest, ticks = max(longest, time.monotonic() - start), ticks + 1
    await opening
    await store.close()
    print(ticks, longest)

asyncio.run(main())
"""
    ticks, _ = (await asyncio.to_thread(run, sys.executable, "-c", program)).split()
    # One or two if the loop is blocked, hundreds on an idle machine.
    assert int(ticks) > 10


async def test_many_concurrent_first_uses_make_one_client(
    place: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = 0
    create_client = Session._create_client  # noqa: SLF001 — to count its calls

    async def counted(self: Any, *args: Any, **options: Any) -> Any:
        nonlocal made
        made += 1
        return await create_client(self, *args, **options)

    monkeypatch.setattr(Session, "_create_client", counted)
    store = DynamoDBStore(**place)
    await asyncio.gather(*(store.put(f"key {number}", {"n": number}) for number in range(50)))
    await store.close()
    assert made == 1


async def test_a_cancelled_first_use_does_not_affect_concurrent_uses(place: dict[str, Any]) -> None:
    store = DynamoDBStore(**place)
    uses = [asyncio.ensure_future(store.get("key")) for _ in range(10)]
    await asyncio.sleep(0.01)
    uses[0].cancel()
    answers = await asyncio.gather(*uses, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert answers[1:] == [None] * 9
    await store.close()


@pytest.fixture(params=["aiobotocore", "aioboto3"])
async def caller_client(request: pytest.FixtureRequest, place: dict[str, Any]) -> AsyncIterator[Any]:
    options = {name: value for name, value in place.items() if name != "table_name"}
    if request.param == "aioboto3":
        opened = Boto3.Session().client("dynamodb", **options)
    else:
        opened = Session().create_client("dynamodb", **options)
    async with opened as client:
        yield client


async def test_a_client_that_was_passed_in_is_used_and_never_closed(caller_client: Any, raw: Raw) -> None:
    async with DynamoDBStore(client=caller_client, table_name=raw.table) as store:
        await store.put("key", {"n": 1})
        await store.put_many([f"key {number}" for number in range(60)], [{"n": 1}] * 60)
        assert len(await store.keys()) == 61
        _, _, version = await store.get_versioned("key")
        assert await store.put_if_version("key", {"n": 2}, version) is True
        assert await store.put_if_absent("key", {"n": 2}) is False
    tables = await caller_client.list_tables()
    assert raw.table in tables["TableNames"]
    assert await store.get("key") == {"n": 2}
    await store.close()


@pytest.mark.parametrize("ending", ["await store.close()", "pass"])
async def test_successive_event_loops_leave_no_connection_open(place: dict[str, Any], ending: str) -> None:
    beginning = f"""
from key_value.aio.stores.dynamodb import DynamoDBStore
store = DynamoDBStore(**{place!r})
"""
    await check_loops_one_after_another(beginning, ending)


async def test_close_under_load_ends_every_call_and_leaves_no_connection_open(place: dict[str, Any]) -> None:
    store = DynamoDBStore(**place)
    await store.setup()
    calls = [asyncio.ensure_future(store.put(f"key {number}", {"n": number})) for number in range(200)]
    await asyncio.sleep(0.02)
    await store.close()
    for outcome in await asyncio.gather(*calls, return_exceptions=True):
        assert outcome is None or isinstance(outcome, StoreConnectionError)
    await store.put("key", {"n": 1})
    assert await store.get("key") == {"n": 1}
    await store.close()
    gc.collect()


@pytest.mark.parametrize("child_loop", ["asyncio.run", "loop.run_until_complete"])
async def test_a_forked_child_opens_its_own_connections(place: dict[str, Any], child_loop: str) -> None:
    beginning = f"""
from key_value.aio.stores.dynamodb import DynamoDBStore
store = DynamoDBStore(**{place!r})
"""
    await check_forked_child(beginning, child_loop)


async def test_a_connection_reset_while_idle_is_reopened(
    dynamodb_server: DynamoDBServer, place: dict[str, Any]
) -> None:
    async with (
        FaultProxy(*dynamodb_server.address) as proxy,
        DynamoDBStore(**at(place, f"http://{proxy.host}:{proxy.port}")) as store,
    ):
        await store.put("key", {"n": 1})
        proxy.reset()
        await asyncio.sleep(0.05)
        proxy.pass_through()
        assert await store.get("key") == {"n": 1}
