"""Options of OpenSearchStore, its repr and errors, and its clients."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.errors import StoreConnectionError
from key_value.aio.stores.opensearch import OpenSearchStore
from key_value.aio.testing import FaultProxy
from key_value.aio.urls import open_store
from lifetimes import check_forked_child, check_loops_one_after_another
from opensearchpy import OpenSearch
from workspace import run

from .service import Service

if TYPE_CHECKING:
    from .conftest import Raw

SECRET = "hunter2"  # noqa: S105 — looked for in messages
URL = "http://localhost:9200"
PLACE: dict[str, Any] = {"url": URL, "index_prefix": "kv"}

BAD_OPTIONS: dict[str, dict[str, Any]] = {
    "nothing": {"url": None},
    "client and url": {"opensearch_client": object()},
    "client and api_key": {"opensearch_client": object(), "url": None, "api_key": SECRET},
    "user and api_key": {"url": "http://user:hunter2@localhost:9200", "api_key": SECRET},
    "no scheme": {"url": "localhost:9200"},
    "another scheme": {"url": "ftp://localhost:9200"},
    "no host": {"url": "http://"},
    "no port": {"url": "http://user:hunter2@localhost:hunter2"},
    "a query": {"url": "http://localhost:9200/?password=hunter2"},
    "prefix: empty": {"index_prefix": ""},
    "prefix: a slash": {"index_prefix": "a/b"},
    "prefix: a pattern": {"index_prefix": "a*"},
    "prefix: several": {"index_prefix": "a,b"},
    "prefix: hidden": {"index_prefix": ".a"},
    "prefix: too long": {"index_prefix": "a" * 101},
    "refresh": {"refresh": "true"},
    "timeout": {"timeout": 0.0},
    "timeout not a number": {"timeout": float("nan")},
    "connections": {"max_connections": 0},
}


# Options


@pytest.mark.filterwarnings("ignore::key_value.aio.core.type_checks.TypeViolationWarning")
@pytest.mark.parametrize("options", BAD_OPTIONS.values(), ids=BAD_OPTIONS)
def test_invalid_options_are_refused_and_not_shown(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".") as refusal:
        OpenSearchStore(**(PLACE | options))
    assert SECRET not in str(refusal.value)


def test_a_synchronous_client_is_refused() -> None:
    with pytest.raises(TypeError, match=r"opensearch_client must be opensearchpy\..*AsyncOpenSearch, not opensearchpy"):
        OpenSearchStore(opensearch_client=OpenSearch(URL), index_prefix="kv")


def test_a_constructor_needs_no_event_loop_no_server_and_no_driver() -> None:
    program = """
import asyncio, socket, sys
for name in ("socket", "getaddrinfo"):
    delattr(socket, name)
from key_value.aio.stores.opensearch import OpenSearchStore
OpenSearchStore(url="http://localhost:9200", index_prefix="kv")
print("opensearchpy" in sys.modules, "aiohttp" in sys.modules)
"""
    assert run(sys.executable, "-c", program) == "False False\n"


def test_a_repr_shows_where_and_not_who() -> None:
    store = OpenSearchStore(url="https://ada:hunter2@localhost:9200", index_prefix="Sessions")
    assert repr(store) == "OpenSearchStore(sessions at https://***@localhost:9200)"
    assert repr(OpenSearchStore(url=URL, api_key=SECRET, index_prefix="kv")) == f"OpenSearchStore(kv at {URL})"


async def test_an_error_and_a_log_show_no_credentials(unused_port: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", logger="key_value")
    store = OpenSearchStore(url=f"http://ada:hunter2@localhost:{unused_port}", index_prefix="kv")
    for call in (store.get("key"), store.put_many(["key"], [{"n": 1}]), store.keys(), store.setup()):
        with pytest.raises(StoreConnectionError, match="connection refused") as failure:
            await call
        assert SECRET not in str(failure.value)
    await store.close()
    assert SECRET not in caplog.text


async def test_an_unknown_host_is_a_connection_error_that_says_so() -> None:
    store = OpenSearchStore(url="http://host.invalid:9200", index_prefix="kv")
    with pytest.raises(StoreConnectionError, match="unknown host"):
        await store.setup()
    await store.close()


@pytest.mark.parametrize(
    ("user", "api_key", "header"),
    [("ada:hun%40ter2@", None, "Basic YWRhOmh1bkB0ZXIy"), ("", SECRET, f"ApiKey {SECRET}"), ("", None, None)],
)
async def test_credentials_are_sent(raw: Raw, user: str, api_key: str | None, header: str | None) -> None:
    async with Service(raw.server.url) as service:
        url = service.url.replace("://", f"://{user}")
        async with OpenSearchStore(url=url, api_key=api_key, index_prefix=raw.prefix) as store:
            await store.put("key", {"n": 1})
        assert {asked.headers.get("Authorization") for asked in service.requests} == {header}


# URLs


async def test_a_url_names_the_server_and_the_prefix(raw: Raw) -> None:
    place = raw.server.url.partition("://")[2]
    async with open_store(f"opensearch://{place}/{raw.prefix}?refresh=wait_for&timeout=20") as store:
        assert isinstance(store, OpenSearchStore)
        await store.put("key", {"n": 1})
    assert raw.indices() == [f"{raw.prefix}-default_collection"]


def test_a_url_may_ask_for_tls_and_name_a_user() -> None:
    store = open_store("opensearch+https://ada:hunter2@localhost:9200/kv")
    assert repr(store) == "OpenSearchStore(kv at https://***@localhost:9200)"


@pytest.mark.parametrize(
    "url",
    [
        "opensearch://",
        "opensearch://localhost:9200",
        "opensearch://localhost:9200/kv/more",
        "opensearch://user:hunter2@localhost/",
        "opensearch://localhost/kv?index_prefix=hunter2",
        "opensearch://localhost/kv?timeout=hunter2",
        "opensearch://localhost/kv?verify=hunter2",
    ],
)
def test_an_invalid_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r".") as refusal:
        open_store(url)
    assert SECRET not in str(refusal.value)


# Clients


async def test_creating_a_client_does_not_block_the_event_loop(place: dict[str, Any]) -> None:
    program = f"""
import asyncio
from key_value.aio.stores.opensearch import OpenSearchStore

async def main():
    store = OpenSearchStore(**{place!r})
    opening = asyncio.ensure_future(store.setup())
    ticks = 0
    while not opening.done():
        await asyncio.sleep(0.001)
        ticks += 1
    await opening
    await store.close()
    print(ticks)

asyncio.run(main())
"""
    # One or two ticks if the loop is blocked, hundreds on an idle machine.
    assert int(await asyncio.to_thread(run, sys.executable, "-c", program)) > 10


@pytest.mark.parametrize("ending", ["await store.close()", "pass"])
async def test_consecutive_event_loops_leave_nothing_open(place: dict[str, Any], ending: str) -> None:
    beginning = f"""
from key_value.aio.stores.opensearch import OpenSearchStore
store = OpenSearchStore(**{place!r})
"""
    await check_loops_one_after_another(beginning, ending)


@pytest.mark.parametrize("child_loop", ["asyncio.run", "loop.run_until_complete"])
async def test_a_forked_child_has_connections_of_its_own(place: dict[str, Any], child_loop: str) -> None:
    beginning = f"""
from key_value.aio.stores.opensearch import OpenSearchStore
store = OpenSearchStore(**{place!r})
"""
    await check_forked_child(beginning, child_loop)


async def test_a_connection_that_was_reset_while_idle_is_reopened(raw: Raw) -> None:
    async with (
        FaultProxy(*raw.server.address) as proxy,
        OpenSearchStore(url=f"http://{proxy.host}:{proxy.port}", index_prefix=raw.prefix) as store,
    ):
        await store.put("key", {"n": 1})
        proxy.reset()
        await asyncio.sleep(0.05)
        proxy.pass_through()
        assert await store.get("key") == {"n": 1}
