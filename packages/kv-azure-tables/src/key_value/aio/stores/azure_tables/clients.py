"""Construction of table clients, off the event loop."""

from collections.abc import Callable
from typing import Any

__all__ = ["make_client"]


def make_client(
    table_name: str, connection_string: str | None, endpoint: str, credential: Any, connections: int
) -> Callable[[], Any]:
    """Return a function that creates a client for any one event loop. Its first call takes a second, for imports."""

    def make() -> Any:
        from azure.core.pipeline.transport import AioHttpTransport
        from azure.data.tables.aio import TableClient

        options: dict[str, Any] = {"connection_pool_size": connections, "logging_enable": False}
        options["transport"] = _without_resending(AioHttpTransport(**options))
        if connection_string is not None:
            return TableClient.from_connection_string(connection_string, table_name, **options)
        return TableClient(endpoint, table_name, credential=_credential(credential), **options)

    return make


def _without_resending(transport: Any) -> Any:
    """Keep aiohttp from resending requests after a lost connection.

    aiohttp treats PUT and DELETE as idempotent, which they are not with an ETag: if the first attempt succeeded
    unnoticed, the second fails.
    """
    open_session = transport.open

    async def open_session_without_resending() -> None:
        await open_session()
        transport.session._retry_connection = False  # noqa: SLF001 — aiohttp has no option for it

    transport.open = open_session_without_resending
    return transport


def _credential(credential: Any) -> Any:
    """Convert a string, `name:key` or a shared access signature, to a credential object of azure-core."""
    from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential

    if not isinstance(credential, str):
        return credential
    name, found, key = credential.partition(":")
    return AzureNamedKeyCredential(name, key) if found else AzureSasCredential(credential)
