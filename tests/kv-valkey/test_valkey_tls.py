"""TLS, through an asyncio terminator in front of a server built without TLS."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from certificates import Certificates
from key_value.aio.errors import StoreConnectionError, StoreSetupError
from key_value.aio.stores.valkey import ValkeyStore

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from servers.valkey import ValkeyServer

pytestmark = pytest.mark.usefixtures("patient_diagnosis")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@asynccontextmanager
async def terminated(server: ValkeyServer, certificates: Certificates, *, clients: bool = False) -> AsyncGenerator[int]:
    """Yield the port of a TLS terminator in front of the server; `clients` makes it require client certificates."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificates.authority)
    context.load_cert_chain(certificates.server, certificates.server_key)
    context.verify_mode = ssl.CERT_REQUIRED if clients else ssl.CERT_NONE
    tasks: set[asyncio.Task[Any]] = set()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while content := await reader.read(65536):
                writer.write(content)
                await writer.drain()
        except (OSError, ssl.SSLError):
            pass  # the connection has ended
        finally:
            writer.transport.abort()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind = await asyncio.open_connection(server.host, server.port)
        both = [asyncio.create_task(forward(reader, behind[1])), asyncio.create_task(forward(behind[0], writer))]
        tasks.update(both)

    listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def check_serves(store: ValkeyStore) -> None:
    async with store:
        await store.put("key", {"n": 1}, collection="tls")
        assert await store.delete("key", collection="tls") is True


async def test_a_certificate_authority_enables_tls(valkey_server: ValkeyServer, certificates: Certificates) -> None:
    async with terminated(valkey_server, certificates) as port:
        await check_serves(ValkeyStore(port=port, ssl_ca_certs=certificates.authority))
        await check_serves(ValkeyStore.from_url(f"valkeys://localhost:{port}?ssl_ca_certs={certificates.authority}"))


async def test_any_certificate_is_accepted_on_request(valkey_server: ValkeyServer, certificates: Certificates) -> None:
    async with terminated(valkey_server, certificates) as port:
        await check_serves(ValkeyStore(host="127.0.0.1", port=port, ssl=True, ssl_verify=False))


async def test_the_client_presents_its_certificate(valkey_server: ValkeyServer, certificates: Certificates) -> None:
    files: dict[str, Any] = {"ssl_certfile": certificates.server, "ssl_keyfile": certificates.server_key}
    async with terminated(valkey_server, certificates, clients=True) as port:
        await check_serves(ValkeyStore(port=port, ssl_ca_certs=certificates.authority, **files))
        store = ValkeyStore(port=port, ssl_ca_certs=certificates.authority, timeout=10)
        with pytest.raises((StoreConnectionError, StoreSetupError)):
            await store.get("key")
        await store.close()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_a_refused_certificate_is_reported(
    valkey_server: ValkeyServer, certificates: Certificates, host: str
) -> None:
    authority = certificates.other_authority if host == "localhost" else certificates.authority
    async with terminated(valkey_server, certificates) as port:
        store = ValkeyStore(host=host, port=port, ssl_ca_certs=authority, timeout=10)
        for call in (store.get("key"), store.setup()):
            with pytest.raises(StoreSetupError, match="the certificate was refused"):
                await call
        await store.close()


async def test_tls_to_a_server_without_tls_is_reported(valkey_server: ValkeyServer) -> None:
    store = ValkeyStore(host=valkey_server.host, port=valkey_server.port, ssl=True, timeout=10)
    with pytest.raises((StoreConnectionError, StoreSetupError), match="TLS"):
        await store.get("key")
    await store.close()


async def test_plain_text_to_a_server_with_tls_is_reported(
    valkey_server: ValkeyServer, certificates: Certificates
) -> None:
    async with terminated(valkey_server, certificates) as port:
        store = ValkeyStore(port=port, timeout=10)
        with pytest.raises(StoreConnectionError, match="TLS"):
            await store.get("key")
        await store.close()


@pytest.mark.parametrize("content", [None, "no certificate"], ids=["absent", "not PEM"])
async def test_an_unusable_tls_file_is_reported(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "authority.pem"
    if content is not None:
        path.write_text(content)
    store = ValkeyStore(ssl_ca_certs=str(path))
    for call in (store.get("key"), store.setup()):
        with pytest.raises(StoreSetupError, match="the TLS files cannot be used: ") as refusal:
            await call
    assert content is not None or "no such file" in str(refusal.value)
    await store.close()
