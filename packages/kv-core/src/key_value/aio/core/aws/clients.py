"""Creation of clients of an AWS service, off the event loop."""

from functools import cache
from io import BytesIO
from typing import Any

__all__ = ["ClientFactory"]

_MAX_UNCHUNKED_BODY_BYTES = 2**20


class ClientFactory:
    """Creates clients of a service. Thread-safe.

    Credentials not passed in come from where AWS tools look for them: environment, profile, the machine's role.
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
        """`config` is passed to botocore's Config."""
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
        """Create a client that is not yet bound to an event loop.

        The first call blocks for half a second, to import aiobotocore and read the service description; later calls
        block for 15 ms. Fetching credentials takes additional time.
        """
        from asyncio import run

        # Debug mode would warn about the slow call.
        return run(self._create(), debug=False)

    async def _create(self) -> Any:
        from aiobotocore.config import AioConfig  # pyright: ignore[reportMissingTypeStubs] — untyped
        from aiobotocore.session import AioSession  # pyright: ignore[reportMissingTypeStubs] — untyped

        # One session per client: refreshing credentials uses a lock that is bound to an event loop.
        session: Any = AioSession()
        session.register_component("data_loader", _data_loader())
        # The caller retries requests where that is safe. botocore would retry a conditional write that was executed,
        # and then report that its condition failed.
        config: Any = AioConfig(retries={"total_max_attempts": 1}, **self._config)
        creator = session.create_client(self._service, config=config, **self._options)
        # Entering the context would bind the client to the event loop of this thread.
        client = await creator._coro  # noqa: SLF001 — see above
        client.meta.events.register("before-send", _send_in_chunks)
        return client


def _send_in_chunks(request: Any, **_: Any) -> None:
    """Make aiohttp send a large body in chunks like a file, instead of warning that it blocks the event loop."""
    if isinstance(request.body, bytes) and len(request.body) > _MAX_UNCHUNKED_BODY_BYTES:
        request.body = BytesIO(request.body)


@cache
def _data_loader() -> Any:
    """Return botocore's cache of service descriptions, shared by all clients. Saves a quarter of a second for each."""
    from aiobotocore.session import AioSession  # pyright: ignore[reportMissingTypeStubs] — untyped

    session: Any = AioSession()
    return session.get_component("data_loader")
