"""TLS, served by Redis itself."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from certificates import Certificates
from key_value.aio.errors import StoreConnectionError, StoreSetupError
from key_value.aio.stores.redis import RedisStore
from probes import serves
from servers.redis import RedisServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import RunServer


class TlsRedisServer(RedisServer):
    def __init__(self, certificates: Certificates, clients: str) -> None:
        super().__init__(private=True)
        self._options = ["--tls-cert-file", certificates.server, "--tls-key-file", certificates.server_key]
        self._options += ["--tls-ca-cert-file", certificates.authority, "--tls-auth-clients", clients]

    @property
    def tls_port(self) -> int:
        # Also free: a cluster would use it for its bus.
        return self.port + 10_000

    def command(self) -> list[str]:
        return [*super().command(), "--tls-port", str(self.tls_port), *self._options]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def tls_redis(run_server: RunServer, certificates: Certificates) -> Iterator[TlsRedisServer]:
    with run_server(TlsRedisServer(certificates, clients="no")) as server:
        yield server


async def test_a_rediss_url_enables_tls(tls_redis: TlsRedisServer, certificates: Certificates) -> None:
    url = f"rediss://localhost:{tls_redis.tls_port}"
    assert await serves(RedisStore(url=url, ssl_ca_certs=certificates.authority))
    assert await serves(RedisStore(url=f"{url}?ssl_ca_certs={quote(certificates.authority)}"))


async def test_the_option_ssl_enables_tls(tls_redis: TlsRedisServer, certificates: Certificates) -> None:
    options: dict[str, Any] = {"port": tls_redis.tls_port, "ssl": True}
    assert await serves(RedisStore(**options, ssl_ca_certs=certificates.authority))
    assert await serves(RedisStore(**options, ssl_cert_reqs="none"))


async def test_a_tls_file_option_enables_tls(tls_redis: TlsRedisServer, certificates: Certificates) -> None:
    assert await serves(RedisStore(port=tls_redis.tls_port, ssl_ca_certs=certificates.authority))


@pytest.mark.parametrize("options", [{}, {"ssl_cert_reqs": "required"}], ids=["default", "required"])
async def test_a_certificate_of_another_authority_is_refused(
    tls_redis: TlsRedisServer, certificates: Certificates, options: dict[str, Any]
) -> None:
    url = f"rediss://localhost:{tls_redis.tls_port}"
    store = RedisStore(url=url, ssl_ca_certs=certificates.other_authority, **options)
    with pytest.raises(StoreSetupError, match="the certificate was refused"):
        await store.get("key")
    await store.close()


async def test_a_certificate_for_another_host_name_is_refused(
    tls_redis: TlsRedisServer, certificates: Certificates
) -> None:
    url, authority = f"rediss://127.0.0.1:{tls_redis.tls_port}", certificates.authority
    store = RedisStore(url=url, ssl_ca_certs=authority)
    with pytest.raises(StoreSetupError, match="the certificate was refused"):
        await store.get("key")
    await store.close()
    assert await serves(RedisStore(url=url, ssl_ca_certs=authority, ssl_check_hostname=False))


async def test_the_client_presents_its_certificate(run_server: RunServer, certificates: Certificates) -> None:
    options: dict[str, Any] = {"ssl": True, "ssl_ca_certs": certificates.authority}
    with run_server(TlsRedisServer(certificates, clients="yes")) as server:
        store = RedisStore(port=server.tls_port, **options)
        with pytest.raises(StoreConnectionError):
            await store.get("key")
        await store.close()
        options.update(ssl_certfile=certificates.server, ssl_keyfile=certificates.server_key)
        assert await serves(RedisStore(port=server.tls_port, **options))


async def test_plain_text_to_a_tls_port_is_a_connection_error(tls_redis: TlsRedisServer) -> None:
    store = RedisStore(port=tls_redis.tls_port)
    with pytest.raises(StoreConnectionError):
        await store.get("key")
    await store.close()


async def test_close_does_not_wait_for_a_frozen_server(run_server: RunServer, certificates: Certificates) -> None:
    with run_server(TlsRedisServer(certificates, clients="no")) as server:
        store = RedisStore(port=server.tls_port, ssl=True, ssl_cert_reqs="none", timeout=2)
        await store.put("key", {"n": 1})
        server.pause()
        start = time.monotonic()
        await store.close()
        # asyncio waits 30 s for the peer to shut down a TLS connection.
        assert time.monotonic() - start < 25
        server.resume()
