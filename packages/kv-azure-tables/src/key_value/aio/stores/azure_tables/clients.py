"""Clients of a table: how one is made, off the event loop."""

from collections.abc import Callable
from typing import Any

__all__ = ["make_client"]


def make_client(
    table_name: str, connection_string: str | None, endpoint: str, credential: Any, connections: int
) -> Callable[[], Any]:
    """What makes a client that no event loop has used yet. It blocks: the first time for a second, of imports."""

    def make() -> Any:
        from azure.core.pipeline.transport import AioHttpTransport
        from azure.data.tables.aio import TableClient

        options: dict[str, Any] = {"connection_pool_size": connections, "logging_enable": False}
        options["transport"] = _sending_once(AioHttpTransport(**options))
        if connection_string is not None:
            return TableClient.from_connection_string(connection_string, table_name, **options)
        return TableClient(endpoint, table_name, credential=_credential(credential), **options)

    return make


def _sending_once(transport: Any) -> Any:
    """Keep aiohttp from sending again what it sent over a connection that was lost then.

    It takes PUT and DELETE for repeatable, which they are not with an ETag: one that held the first time, unseen, fails
    the second time.
    """
    open_session = transport.open

    async def open_session_once() -> None:
        await open_session()
        transport.session._retry_connection = False  # noqa: SLF001 — there is no option for it

    transport.open = open_session_once
    return transport


def _credential(credential: Any) -> Any:
    """An object of azure's for a text: `name:key`, or a shared access signature."""
    from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential

    if not isinstance(credential, str):
        return credential
    name, found, key = credential.partition(":")
    return AzureNamedKeyCredential(name, key) if found else AzureSasCredential(credential)
