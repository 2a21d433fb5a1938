"""Clients of a service of AWS: how one is made, off the event loop."""

from functools import cache
from io import BytesIO
from typing import Any

__all__ = ["ClientFactory"]

_LARGEST_PIECE = 2**20


class ClientFactory:
    """Makes clients of a service. It may be used by several threads at once.

    Credentials that are not given are looked for as the AWS tools do: environment, profile, the machine's role.
    """

    def __init__(
        self,
        service: str,
        *,
        region_name: str | None,
        endpoint_url: str | None,
        aws_access_key_id: str | None,
        aws_secret_access_key: str | None,
        aws_session_token: str | None,
        **config: Any,
    ) -> None:
        """`config` is what goes to botocore's Config."""
        self._service = service
        self._options = {
            "region_name": region_name,
            "endpoint_url": endpoint_url,
            "aws_access_key_id": aws_access_key_id,
            "aws_secret_access_key": aws_secret_access_key,
            "aws_session_token": aws_session_token,
        }
        self._config = config

    def make(self) -> Any:
        """A client that no event loop has used yet.

        The first one blocks for half a second, in which aiobotocore is imported and the description of the service
        read; the next for 15 ms. Credentials that have to be fetched come on top.
        """
        from asyncio import run

        # Not in debug mode, which would report that it takes long.
        return run(self._create(), debug=False)

    async def _create(self) -> Any:
        from aiobotocore.config import AioConfig  # pyright: ignore[reportMissingTypeStubs] — it has none
        from aiobotocore.session import AioSession  # pyright: ignore[reportMissingTypeStubs] — it has none

        # A session of its own for each client: refreshing credentials waits for a lock that belongs to an event loop.
        session: Any = AioSession()
        session.register_component("data_loader", _descriptions())
        # A request is repeated by whoever knows whether it may be: botocore would repeat a conditional write that has
        # been done, and report that its condition failed.
        config: Any = AioConfig(retries={"total_max_attempts": 1}, **self._config)
        creator = session.create_client(self._service, config=config, **self._options)
        # Entering the context would tie the client to the event loop of this thread.
        client = await creator._coro  # noqa: SLF001 — see above
        client.meta.events.register("before-send", _send_in_pieces)
        return client


def _send_in_pieces(request: Any, **_: Any) -> None:
    """Have aiohttp send a large body as it sends a file, in place of a warning that it would block the event loop."""
    if isinstance(request.body, bytes) and len(request.body) > _LARGEST_PIECE:
        request.body = BytesIO(request.body)


@cache
def _descriptions() -> Any:
    """What botocore has read of the services, kept for all clients of the process: a quarter of a second for each."""
    from aiobotocore.session import AioSession  # pyright: ignore[reportMissingTypeStubs] — it has none

    session: Any = AioSession()
    return session.get_component("data_loader")
