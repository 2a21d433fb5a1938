"""Options, credentials and URLs, and the reasons that setup errors give."""

from __future__ import annotations

import asyncio
import logging
import pickle
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
from azure.core.exceptions import ClientAuthenticationError
from azure.data.tables import AccountSasPermissions, ResourceTypes, generate_account_sas
from key_value.aio.errors import (
    BaseKeyValueError,
    KeyValueStoreError,
    StoreConnectionError,
    StoreSetupError,
    StoreTimeoutError,
)
from key_value.aio.stores.azure_tables import AzureTablesStore
from key_value.aio.testing.faults import FaultProxy
from key_value.aio.urls import open_store
from typing_extensions import override

from .conftest import AsyncClient, Client, through

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from servers.azure_tables import AzureTablesServer

    from .conftest import Raw

SECRET = "hunter2"  # noqa: S105 — of tests
KEY = "aHVudGVyMg=="  # its base 64
TABLE: dict[str, Any] = {"table_name": "table"}
ACCOUNT: dict[str, Any] = {"endpoint": "https://name.table.core.windows.net", "credential": f"name:{KEY}", **TABLE}


class Tokens:
    """A credential that returns no token."""

    async def get_token(self, *_: Any, **__: Any) -> Any:
        raise ClientAuthenticationError(SECRET)


class Broken(Tokens):
    @override
    async def get_token(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError(SECRET)


# Options


@pytest.mark.parametrize(
    "options",
    [
        {},
        TABLE,
        {"connection_string": f"AccountName=name;AccountKey={KEY}"},
        {"connection_string": f"AccountName=name;AccountKey={KEY}", "table_name": "1table"},
        {"connection_string": f"AccountName=name;AccountKey={KEY}", "table_name": "a_b"},
        {"connection_string": SECRET, **TABLE},
        {"connection_string": f"AccountName=name;AccountKey={SECRET}", **TABLE},
        {"connection_string": f"AccountKey={KEY}", **TABLE},
        {"connection_string": f"AccountName=name;AccountKey={KEY};AccountKey={KEY}", **TABLE},
        {"connection_string": f"AccountName=na me;AccountKey={KEY}", **TABLE},
        {"connection_string": f"AccountName=name;AccountKey={KEY};TableEndpoint=ftp://localhost", **TABLE},
        {"connection_string": f"AccountName=name;AccountKey={KEY};TableEndpoint=http://a:{SECRET}@localhost", **TABLE},
        {"connection_string": f"AccountName=name;AccountKey={KEY};TableEndpoint=http://localhost?{SECRET}", **TABLE},
        {"connection_string": f"AccountName=name;AccountKey={KEY};TableEndpoint=http://localhost:{SECRET}", **TABLE},
        {"connection_string": "AccountName=name;SharedAccessSignature=", **TABLE},
        {"connection_string": f"AccountName=name;SharedAccessSignature={SECRET}", **TABLE},
        {"connection_string": f"AccountName=name;AccountKey={KEY}", "table_name": "Tables"},
        {"connection_string": f"AccountName=name;AccountKey={KEY}", **ACCOUNT},
        {"connection_string": f"AccountName=name;AccountKey={KEY}", "credential": SECRET, **TABLE},
        {**ACCOUNT, "credential": None},
        {**ACCOUNT, "credential": SECRET},
        {**ACCOUNT, "credential": "name:not base 64"},
        {**ACCOUNT, "credential": f"na\nme:{KEY}"},
        {**ACCOUNT, "credential": f"https://name.table.core.windows.net/?sv=2019-02-02&sig={SECRET}"},
        {**ACCOUNT, "credential": f"sv=2019-02-02&sig={SECRET}\n"},
        {**ACCOUNT, "credential": Tokens(), "endpoint": "http://localhost"},
        {**ACCOUNT, "endpoint": "localhost:10002"},
        {**ACCOUNT, "endpoint": "ftp://localhost"},
        {**ACCOUNT, "endpoint": f"http://name:{SECRET}@localhost"},
        {**ACCOUNT, "endpoint": f"http://:{SECRET}@localhost"},
        {**ACCOUNT, "endpoint": f"http://localhost?sig={SECRET}"},
        {"account_name": "Name!", "credential": f"name:{KEY}", **TABLE},
        {**ACCOUNT, "timeout": 0},
        {**ACCOUNT, "max_connections": 0},
        {**ACCOUNT, "default_collection": ""},
        {**ACCOUNT, "client": object()},
    ],
    ids=repr,
)
def test_invalid_options_are_refused_before_anything_is_contacted(options: dict[str, Any]) -> None:
    with pytest.raises((ValueError, BaseKeyValueError)) as caught:
        AzureTablesStore(**options)
    assert SECRET not in str(caught.value)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("credential", [5, b"name:aHVudGVyMg==", object(), ("name", KEY)], ids=repr)
def test_an_invalid_credential_is_refused(credential: Any) -> None:
    with pytest.raises(TypeError, match="credential must be text, or an object of azure-core") as caught:
        AzureTablesStore(**{**ACCOUNT, "credential": credential})
    assert KEY not in str(caught.value)


def test_a_constructor_needs_no_event_loop_and_loads_no_driver() -> None:
    program = (
        "import sys; from key_value.aio.stores.azure_tables import AzureTablesStore; "
        f"AzureTablesStore(**{ACCOUNT!r}); print('azure.data.tables' in sys.modules, 'aiohttp' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603 — ours
    assert done.stdout == "False False\n"


def test_a_repr_names_the_table_and_the_account() -> None:
    assert repr(AzureTablesStore(**ACCOUNT)) == "AzureTablesStore(table at https://name.table.core.windows.net)"
    by_name = AzureTablesStore(account_name="name", credential=f"name:{KEY}", table_name="table")
    assert repr(by_name) == repr(AzureTablesStore(**ACCOUNT))


@pytest.mark.parametrize(
    ("connection_string", "place"),
    [
        (f"AccountName=name;AccountKey={KEY}", "https://name.table.core.windows.net"),
        (
            f"DefaultEndpointsProtocol=http;AccountName=name;AccountKey={KEY};EndpointSuffix=core.chinacloudapi.cn;",
            "http://name.table.core.chinacloudapi.cn",
        ),
        (f"accountname=name;accountkey={KEY};tableendpoint=localhost:1/name", "https://localhost:1/name"),
        (f"AccountName=name;SharedAccessSignature=sv=1&sig={SECRET}%3D", "https://name.table.core.windows.net"),
        ("UseDevelopmentStorage=true", "http://127.0.0.1:10002/devstoreaccount1"),
    ],
)
def test_a_repr_names_the_account_of_a_connection_string_as_the_driver_reads_it(
    connection_string: str, place: str
) -> None:
    store = AzureTablesStore(connection_string=connection_string, **TABLE)
    assert repr(store) == f"AzureTablesStore(table at {place})"
    assert Client.from_connection_string(connection_string, "table").url.partition("?")[0] == place


def test_a_store_is_pickled_as_its_options() -> None:
    store = AzureTablesStore(**ACCOUNT)
    assert repr(pickle.loads(pickle.dumps(store))) == repr(store)  # noqa: S301 — ours


# Credentials


def signature(server: AzureTablesServer, **rights: bool) -> str:
    """Return one for the account: the emulator refuses transactions with a signature for one table."""
    return generate_account_sas(
        AzureNamedKeyCredential(*server.account),
        ResourceTypes(service=True, container=True, object=True),
        AccountSasPermissions(**rights),
        datetime.now(timezone.utc) + timedelta(hours=1),
    )


@pytest.mark.parametrize("kind", ["name and key", "key object", "signature", "signature object", "connection string"])
async def test_each_kind_of_credential_is_accepted(azure_tables_server: AzureTablesServer, raw: Raw, kind: str) -> None:
    raw.client.create_table()
    name, key = azure_tables_server.account
    signed = signature(azure_tables_server, read=True, write=True, delete=True, list=True, add=True, update=True)
    credential: Any = {
        "name and key": f"{name}:{key}",
        "key object": AzureNamedKeyCredential(name, key),
        "signature": signed,
        "signature object": AzureSasCredential(signed),
    }.get(kind)
    place: dict[str, Any] = {"endpoint": azure_tables_server.url, "credential": credential}
    if credential is None:
        text = f"AccountName={name};TableEndpoint={azure_tables_server.url};SharedAccessSignature={signed}"
        place = {"connection_string": text}
    async with AzureTablesStore(**place, table_name=raw.client.table_name, auto_create=False) as store:
        await store.put("key", {"n": 1})
        await store.put_many(["a", "b"], [{"n": 2}] * 2)
        assert sorted(await store.keys()) == ["a", "b", "key"]
        assert await store.delete("key") is True


async def test_a_missing_permission_is_reported(azure_tables_server: AzureTablesServer, raw: Raw) -> None:
    raw.client.create_table()
    signed = signature(azure_tables_server, read=True)
    place: dict[str, Any] = {"endpoint": azure_tables_server.url, "credential": signed, "auto_create": False}
    async with AzureTablesStore(**place, table_name=raw.client.table_name) as store:
        assert await store.get("key") is None
        with pytest.raises(StoreSetupError) as caught:
            await store.put("key", {"password": SECRET})
    assert signed not in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("credential", "reason"),
    [
        (Tokens(), "gives no token"),
        (Broken(), "RuntimeError"),
        (AzureNamedKeyCredential("name", "not base 64"), "no signature"),
    ],
    ids=["no token", "broken", "no key"],
)
async def test_a_failing_credential_is_reported(unused_port: int, credential: Any, reason: str) -> None:
    place: dict[str, Any] = {"endpoint": f"https://127.0.0.1:{unused_port}", "credential": credential, **TABLE}
    error, shown = await refusal(**place)
    assert isinstance(error, StoreSetupError)
    assert reason in shown
    assert SECRET not in shown


# URLs


async def test_a_url_names_the_table_and_the_options(
    azure_tables_server: AzureTablesServer, raw: Raw, place: dict[str, Any]
) -> None:
    text = quote(place["connection_string"], safe="")
    store: Any = open_store(f"azure-tables://{place['table_name']}?connection_string={text}&timeout=20")
    async with store:
        await store.put("key", {"n": 1})
    assert raw.names() == [("default_collection", "key")]
    assert azure_tables_server.account[1] not in repr(store)


@pytest.mark.parametrize(
    "url",
    [
        "azure-tables://",
        "azure-tables://table",
        f"azure-tables://user:{SECRET}@table",
        "azure-tables://table/more",
        "azure-tables://table?colour=red",
        f"azure-tables://table?connection_string={SECRET}",
        f"azure-tables://table?max_connections={SECRET}",
    ],
)
def test_an_invalid_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        open_store(url)
    assert SECRET not in str(caught.value)


# Reasons


async def refusal(**options: Any) -> tuple[BaseKeyValueError, str]:
    """Return the error that `setup` raises, and its text."""
    store = AzureTablesStore(**options)
    with pytest.raises(BaseKeyValueError) as caught:
        await store.setup()
    await store.close()
    return caught.value, str(caught.value)


async def test_an_unknown_host_is_reported() -> None:
    error, shown = await refusal(**{**ACCOUNT, "endpoint": "http://no-such-host.invalid"})
    assert isinstance(error, StoreConnectionError)
    assert "unknown host" in shown


async def test_a_refused_connection_is_reported(unused_port: int) -> None:
    error, shown = await refusal(**{**ACCOUNT, "endpoint": f"http://127.0.0.1:{unused_port}/name"})
    assert isinstance(error, StoreConnectionError)
    assert "refused" in shown
    assert KEY not in shown


@pytest.mark.parametrize("passed_in", [False, True])
async def test_a_server_that_does_not_answer_is_reported(
    azure_tables_server: AzureTablesServer, place: dict[str, Any], *, passed_in: bool
) -> None:
    async with FaultProxy(*azure_tables_server.address) as proxy:
        proxy.black_hole()
        options = through(azure_tables_server, place, proxy.host, proxy.port)
        if passed_in:
            async with AsyncClient.from_connection_string(options["connection_string"], "table") as client:
                error, shown = await refusal(client=client, timeout=0.5)
        else:
            error, shown = await refusal(**options, timeout=0.5)
    assert isinstance(error, StoreTimeoutError)
    assert "timeout" in shown


async def test_a_wrong_key_is_reported(azure_tables_server: AzureTablesServer) -> None:
    name, _ = azure_tables_server.account
    error, shown = await refusal(endpoint=azure_tables_server.url, credential=f"{name}:{KEY}", **TABLE)
    assert isinstance(error, StoreSetupError)
    assert "wrong account key" in shown
    assert KEY not in shown


async def test_a_missing_table_is_reported(place: dict[str, Any], raw: Raw) -> None:
    error, shown = await refusal(**place, auto_create=False)
    assert isinstance(error, StoreSetupError)
    assert "no such table" in shown
    raw.client.create_table()


async def test_an_account_that_does_not_exist_is_reported(
    azure_tables_server: AzureTablesServer, place: dict[str, Any], raw: Raw
) -> None:
    raw.client.create_table()
    other = azure_tables_server.url.rpartition("/")[0] + "/other"
    name, key = azure_tables_server.account
    table = {"table_name": place["table_name"], "auto_create": False}
    error, _ = await refusal(endpoint=other, credential=f"{name}:{key}", **table)
    assert isinstance(error, StoreSetupError)


async def outcomes_of(*calls: Awaitable[object]) -> list[object]:
    return await asyncio.gather(*calls, return_exceptions=True)


async def test_a_client_of_another_event_loop_works_or_is_reported(place: dict[str, Any], raw: Raw) -> None:
    async with AsyncClient.from_connection_string(place["connection_string"], place["table_name"]) as client:
        store = AzureTablesStore(client=client)
        await store.put("key", {"n": 1})
        # aiohttp detects it only while it holds a connection of the client's loop; otherwise it opens a new one.
        (found,) = await asyncio.to_thread(asyncio.run, outcomes_of(store.get("key")))
        assert found == {"n": 1} or isinstance(found, KeyValueStoreError)
    assert raw.names() == [("default_collection", "key")]


async def test_no_log_shows_a_secret(
    azure_tables_server: AzureTablesServer, place: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with AzureTablesStore(**place) as store:
        await store.put("key", {"password": SECRET})
        await store.get("key")
    assert azure_tables_server.account[1] not in caplog.text
    assert SECRET not in caplog.text
