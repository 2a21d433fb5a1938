"""gRPC channels to Firestore: of our own, or of a client that was passed in."""

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
from key_value.aio.core.forks import ParentsAlone
from key_value.aio.core.requests import UnderWay
from key_value.aio.errors import StoreSetupError
from key_value.aio.stores.firestore.access import Access

__all__ = ["Channel", "GivenChannel", "OwnChannel"]

_SCOPES = ("https://www.googleapis.com/auth/cloud-platform", "https://www.googleapis.com/auth/datastore")
_PORT = 443
_CLOSING_SECONDS = 5.0

_OPTIONS: list[tuple[str, Any]] = [
    # A document may be longer than gRPC takes by default.
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # As Google's client does, so that a connection which a firewall has forgotten is found out.
    ("grpc.keepalive_time_ms", 30_000),
    # Or else a connection is shared with others of the process, and does not end with the channel.
    ("grpc.use_local_subchannel_pool", 1),
    # By default, it waits for up to two minutes when a server was away.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 1000),
]

# They leave types out.
_auth: Any = google.auth
_credentials: Any = google_credentials
_Transport: Any = FirestoreGrpcAsyncIOTransport

# A child in which gRPC was used before the fork hangs or ends by SIGSEGV, as measured with grpcio 1.85.
_grpc = ParentsAlone("gRPC")


class Channel:
    """The service in one event loop, the database of it that is meant, and the requests under way."""

    service: Any
    database: str
    metadata: Any

    def __init__(self) -> None:
        self.answered_at: float = 0.0
        """When the last answer came, or it was opened, in the time of the event loop."""
        self.has_ended: bool = False
        self._under_way = UnderWay()

    def open(self) -> None:
        """Runs in the event loop. Raises StoreSetupError in a child of a process that has used gRPC."""
        _grpc.use()
        self.answered_at = get_running_loop().time()

    def successor(self) -> "Channel | None":
        """Another one to the same place, to be opened; None where that is not for us to do."""
        return None

    @contextmanager
    def in_use(self) -> Generator[None, None, None]:
        self._under_way.begin()
        try:
            yield
            self.answered_at = get_running_loop().time()
        finally:
            self._under_way.end()

    async def close(self) -> None:
        """Wait for the requests under way, but not for long, and end the connection."""
        await self._under_way.wait(_CLOSING_SECONDS)
        self.has_ended = True
        await self._end()

    async def _end(self) -> None:
        pass


class OwnChannel(Channel):
    """A channel of our own. To find credentials may block: it is made in a thread."""

    def __init__(self, access: Access) -> None:
        super().__init__()
        self._emulator = access.emulator_host
        self._credentials, project = _found(access)
        self.database: str = f"projects/{project}/databases/{access.database or '(default)'}"
        self.metadata: Any = [("google-cloud-resource-prefix", self.database)]
        if self._emulator is not None:
            # An administrator, whom the emulator's rules do not concern. Google's client says so too.
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

    async def _end(self) -> None:
        await self._channel.close()


class GivenChannel(Channel):
    """The channel of an AsyncClient that was passed in, which is its owner's to close."""

    def __init__(self, client: Any) -> None:
        super().__init__()
        self._client = client

    def open(self) -> None:
        super().open()
        # What Google's own references and batches use of a client, which has no other way to its service.
        self.service: Any = self._client._firestore_api  # noqa: SLF001 — see above
        self.database: str = self._client._database_string  # noqa: SLF001 — see above
        self.metadata: Any = self._client._rpc_metadata  # noqa: SLF001 — see above


def _found(access: Access) -> tuple[Any, str]:
    """Credentials and project, as Google's client finds them. Raises StoreSetupError where there is no project."""
    project = access.project or os.environ.get("GOOGLE_CLOUD_PROJECT") or os.environ.get("GCLOUD_PROJECT")
    if access.emulator_host is not None:
        return None, project or "google-cloud-firestore-emulator"
    credentials: Any = access.credentials
    if credentials is None or project is None:
        found, of_credentials = _auth.default(scopes=_SCOPES)
        credentials, project = credentials or found, project or of_credentials
    if project is None:
        message = "FirestoreStore has no project: none was given, and none is configured on this machine"
        raise StoreSetupError(message)
    return _credentials.with_scopes_if_required(credentials, _SCOPES), project
