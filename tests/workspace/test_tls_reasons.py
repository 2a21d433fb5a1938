"""Error messages for failed TLS of stores with HTTP drivers, each with its own exceptions."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.errors import StoreConnectionError, StoreSetupError
from key_value.aio.stores.dynamodb import DynamoDBStore
from key_value.aio.stores.elasticsearch import ElasticsearchStore
from key_value.aio.stores.opensearch import OpenSearchStore
from key_value.aio.stores.s3 import S3Store
from key_value.aio.stores.vault import VaultStore
from workspace import run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

AWS: dict[str, Any] = {
    "region_name": "eu-central-1",
    "aws_access_key_id": "AKIAEXAMPLE",
    "aws_secret_access_key": "hunter2",
}

OPENED: dict[str, Callable[[str], Any]] = {
    "dynamodb": lambda url: DynamoDBStore(table_name="table", endpoint_url=url, **AWS),
    "elasticsearch": lambda url: ElasticsearchStore(url=url, index_prefix="kv"),
    "opensearch": lambda url: OpenSearchStore(url=url, index_prefix="kv"),
    "s3": lambda url: S3Store(bucket_name="bucket", endpoint_url=url, **AWS),
    "vault": lambda url: VaultStore(url=url, token="hunter2"),  # noqa: S106 — of no real server
}

each_store = pytest.mark.parametrize("open_store", OPENED.values(), ids=OPENED)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A server context with a self-signed certificate."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: apt-get install openssl")
    folder: Path = tmp_path_factory.mktemp("certificate")
    key, certificate = folder / "server.key", folder / "server.crt"
    run(
        *("openssl", "req", "-x509", "-days", "2", "-subj", "/CN=localhost"),
        *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-keyout", key, "-out", certificate),
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


async def refusal(open_store: Callable[[str], Any], tls: ssl.SSLContext | None) -> Exception:
    """Return the error of a call to a server that answers every request, with this TLS context or without TLS."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls)
    async with server:
        store = open_store(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        with pytest.raises((StoreSetupError, StoreConnectionError)) as caught:
            await store.get("key")
        await store.close()
    return caught.value


@each_store
async def test_an_untrusted_certificate_is_reported(open_store: Callable[[str], Any], tls: ssl.SSLContext) -> None:
    error = await refusal(open_store, tls)
    assert isinstance(error, StoreSetupError)
    assert "the certificate was refused: self-signed certificate" in str(error)


@each_store
async def test_a_server_without_tls_is_reported(open_store: Callable[[str], Any]) -> None:
    error = await refusal(open_store, None)
    assert isinstance(error, StoreConnectionError)
    assert "TLS failed: wrong version number" in str(error)
