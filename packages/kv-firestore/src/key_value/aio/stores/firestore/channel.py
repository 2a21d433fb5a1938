"""gRPC channels to Firestore: the store's own, or that of a client passed by the caller."""

import os
from asyncio import get_running_loop
from collections.abc import Generator
from contextlib import contextmanager
from copy import copy
from typing import Any

import google.auth
import grpc.aio
from google.auth import credentials as google_credentials
from google.cloud.firestore_v1.services.firestore import FirestoreAsyncClient
from google.cloud.firestore_v1.services.firestore.transports import FirestoreGrpcAsyncIOTransport
from key_value.aio.core.forks import ForkGuard
from key_value.aio.core.requests import InFlightCalls
from key_value.aio.errors import StoreSetupError
from key_value.aio.stores.firestore.access import Access

__all__ = ["Channel", "GivenChannel", "OwnChannel"]

_SCOPES = ("https://www.googleapis.com/auth/cloud-platform", "https://www.googleapis.com/auth/datastore")
_PORT = 443
_CLOSE_TIMEOUT_SECONDS = 5.0

_OPTIONS: list[tuple[str, Any]] = [
    # Documents may exceed the default message size of gRPC.
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # Like Google's client, to detect connections that a firewall has dropped silently.
    ("grpc.keepalive_time_ms", 30_000),
    # Otherwise channels of the process share a connection, which does not end with the channel.
    ("grpc.use_local_subchannel_pool", 1),
    # The default backoff after a connection failure is up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 1000),
]

# These packages have incomplete type annotations.
_auth: Any = google.auth
_credentials: Any = google_credentials
_Transport: Any = FirestoreGrpcAsyncIOTransport

# A child of a process that has used gRPC hangs or crashes with SIGSEGV, as measured with grpcio 1.85.
_grpc = ForkGuard("gRPC")


class Channel:
    """The service in one event loop, the name of the database, and the requests in flight."""

    service: Any
    database: str
    metadata: Any

    def __init__(self) -> None:
        self.last_response_at: float = 0.0
        """The time of the last response, or of opening, in event loop time."""
        self.is_closed: bool = False
        self._in_flight = InFlightCalls()

    def open(self) -> None:
        """Open the channel in the running loop. Raises StoreSetupError in a child of a process that has used gRPC."""
        _grpc.use()
        self.last_response_at = get_running_loop().time()

    def successor(self) -> "Channel | None":
        """Return a new, unopened channel to the same database; None for a caller's channel."""
        return None

    @contextmanager
    def in_use(self) -> Generator[None, None, None]:
        self._in_flight.begin()
        try:
            yield
            self.last_response_at = get_running_loop().time()
        finally:
            self._in_flight.end()

    async def close(self) -> None:
        """Wait up to 5 s for the requests in flight, then close the connection."""
        await self._in_flight.wait(_CLOSE_TIMEOUT_SECONDS)
        self.is_closed = True
        await self._close_connection()

    async def _close_connection(self) -> None:
        pass


class OwnChannel(Channel):
    """The store's own channel. Constructed in a thread, because looking up credentials may block."""

    def __init__(self, access: Access) -> None:
        super().__init__()
        self._emulator = access.emulator_host
        self._credentials, project = _find_credentials(access)
        self.database: str = f"projects/{project}/databases/{access.database or '(default)'}"
        self.metadata: Any = [("google-cloud-resource-prefix", self.database)]
        if self._emulator is not None:
            # Like Google's client: an administrator, to whom the emulator's security rules do not apply.
            self.metadata.append(("authorization", "Bearer owner"))

    def open(self) -> None:
        super().open()
        if self._emulator is not None:
            self._channel: Any = grpc.aio.insecure_channel(self._emulator, options=_OPTIONS)
        else:
            self._channel = _Transport.create_channel(
                f"{FirestoreAsyncClient.DEFAULT_ENDPOINT}:{_PORT}", credentials=self._credentials, options=_OPTIONS
            )
        self.service: Any = FirestoreAsyncClient(transport=_Transport(channel=self._channel))

    def successor(self) -> "OwnChannel":
        successor = copy(self)
        Channel.__init__(successor)
        return successor

    async def _close_connection(self) -> None:
        await self._channel.close()


class GivenChannel(Channel):
    """The channel of an AsyncClient that the caller passed and closes."""

    def __init__(self, client: Any) -> None:
        super().__init__()
        self._client = client

    def open(self) -> None:
        super().open()
        # Google's own document references and batches use these attributes; there is no public access.
        self.service: Any = self._client._firestore_api  # noqa: SLF001 — see above
        self.database: str = self._client._database_string  # noqa: SLF001 — see above
        self.metadata: Any = self._client._rpc_metadata  # noqa: SLF001 — see above


def _find_credentials(access: Access) -> tuple[Any, str]:
    """Return credentials and project, looked up like Google's client. Raises StoreSetupError without a project."""
    project = access.project or os.environ.get("GOOGLE_CLOUD_PROJECT") or os.environ.get("GCLOUD_PROJECT")
    if access.emulator_host is not None:
        return None, project or "google-cloud-firestore-emulator"
    credentials: Any = access.credentials
    if credentials is None or project is None:
        found, project_of_credentials = _auth.default(scopes=_SCOPES)
        credentials, project = credentials or found, project or project_of_credentials
    if project is None:
        message = "FirestoreStore has no project: pass project=, or configure one on this machine"
        raise StoreSetupError(message)
    return _credentials.with_scopes_if_required(credentials, _SCOPES), project
