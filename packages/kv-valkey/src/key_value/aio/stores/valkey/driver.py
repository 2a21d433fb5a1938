"""The one module that talks to valkey-glide: clients, the configurations they are made from, the meaning of errors."""

import re
from asyncio import AbstractEventLoop
from collections.abc import Sequence
from contextlib import suppress
from copy import copy
from typing import Any, TypeAlias

import glide
from glide import (
    Batch,
    BatchOptions,
    ByAddressRoute,
    ClosingError,
    ClusterBatch,
    ClusterBatchOptions,
    GlideClient,
    GlideClientConfiguration,
    GlideClusterClient,
    GlideClusterClientConfiguration,
    RequestError,
    SlotIdRoute,
    SlotType,
)
from key_value.aio.core.clients import check_client
from key_value.aio.core.driver_errors import DriverErrors, Meaning
from key_value.aio.core.resp.positions import UnservedSlotError
from key_value.aio.errors import KeyValueStoreError, StoreConnectionError, StoreSetupError, StoreTimeoutError
from key_value.aio.stores.valkey.lean import LeanClient, LeanClusterClient

__all__ = [
    "DRIVER_ERRORS",
    "GIVEN_UP",
    "AnswerTimeoutError",
    "Client",
    "ClosingError",
    "Configuration",
    "DeadlineError",
    "EndedError",
    "MovedError",
    "RequestError",
    "UnusableError",
    "belongs_to",
    "check_configuration",
    "check_kind",
    "close_client",
    "configuration_of",
    "is_cluster",
    "is_moved",
    "is_unknown_script",
    "is_unreachable",
    "open_client",
    "run_batch",
    "run_each",
    "scan_node",
]

AnswerTimeoutError = glide.TimeoutError
Client: TypeAlias = GlideClient | GlideClusterClient
Configuration: TypeAlias = GlideClientConfiguration | GlideClusterClientConfiguration


class UnusableError(Exception):
    """What trying again does not heal. Its text is the reason, and shows nothing secret."""


class EndedError(Exception):
    """What trying again may heal. Its text is the reason."""


class MovedError(Exception):
    """The node of a cluster that was asked is not the one that has the key, or does not answer."""


class DeadlineError(TimeoutError):
    """The limit of a call passed before its answer came."""


GIVEN_UP = "its connection gave no answers, and was ended"
"""Why a client was closed with calls under way, which say so."""

_CREDENTIALS = (StoreSetupError, "wrong user name or password, or none where one is required")
_PERMISSION = (StoreSetupError, "this user lacks the right to a command or key that it needs")
_REPLICA = (StoreConnectionError, "the server is a replica, as during a failover")
_MOVING = (StoreConnectionError, "the cluster moves keys, or a node of it is down")
_OTHER_NODE = (
    StoreSetupError,
    "the server is a node of a cluster: pass cluster=True, or a client or config of a cluster",
)
_LOADING = (StoreConnectionError, "the server is loading its data")
_MASTER = (StoreConnectionError, "the server has lost its primary")
_UNREACHABLE = (StoreConnectionError, "no connection, and valkey-glide does not tell why")

# A server's error begins with a code, which the driver gives a name of its own where it knows it. Behind it may stand
# a name or a value.
_CODES: dict[str, Meaning] = {
    "WRONGPASS": _CREDENTIALS,
    "NOAUTH": _CREDENTIALS,
    "AuthenticationFailed": _CREDENTIALS,
    "NOPERM": _PERMISSION,
    "PermissionDenied": _PERMISSION,
    "DB index": (StoreSetupError, "the server has no database of this number"),
    "cluster support disabled": (StoreSetupError, "the server is no node of a cluster: leave out cluster=True"),
    "max number of clients": (StoreConnectionError, "the server has no connection to spare (maxclients)"),
    "inflight": (StoreConnectionError, "too many calls are under way on the client (inflight_requests_limit)"),
    "READONLY": _REPLICA,
    "ReadOnly": _REPLICA,
    "MASTERDOWN": _MASTER,
    "MasterDown": _MASTER,
    "LOADING": _LOADING,
    "BusyLoading": _LOADING,
    "CLUSTERDOWN": _MOVING,
    "ClusterDown": _MOVING,
    "TRYAGAIN": _MOVING,
    "TryAgain": _MOVING,
    "ASK": _MOVING,
    "Ask": _MOVING,
    "MOVED": _OTHER_NODE,
    "Moved": _OTHER_NODE,
    "OOM": (KeyValueStoreError, "the server is out of memory (maxmemory)"),
    "WRONGTYPE": (KeyValueStoreError, "another type than a string is stored under the name of the entry"),
    "MISCONF": (KeyValueStoreError, "the server refuses writes because it cannot save to its disk"),
    "NOREPLICAS": (KeyValueStoreError, "the server refuses writes because it has too few replicas"),
    "BUSY": (KeyValueStoreError, "the server is busy with a script"),
    "ERR": (KeyValueStoreError, "the server refuses the command"),
    "ResponseError": (KeyValueStoreError, "the server refuses the command"),
    "IoError": _UNREACHABLE,
    "FatalSendError": _UNREACHABLE,
    "FatalReceiveError": _UNREACHABLE,
    "AllConnectionsUnavailable": _UNREACHABLE,
    "ConnectionNotFoundForRoute": _UNREACHABLE,
}
# Of several, the first in the table: what the driver says of the connection stands before what the server has said.
_CODE = {code: re.compile(rf"(?<![\w`]){re.escape(code)}(?!\w)") for code in _CODES}
_CONNECTING = re.compile(
    r"connect failed|Failed to create initial connections|Received error for address|No topology views"
)


def _meaning_of(error: RequestError) -> Meaning:
    text = str(error)
    return next((_CODES[code] for code, pattern in _CODE.items() if pattern.search(text)), KeyValueStoreError)


def _meaning_of_closing(error: ClosingError) -> Meaning:
    text = str(error)
    if "fork" in text:
        return (
            StoreSetupError,
            "its client was made before this process was forked; make one in the process that uses it",
        )
    return StoreConnectionError, text if text == GIVEN_UP else "the client was closed"


DRIVER_ERRORS: DriverErrors = {
    UnusableError: (StoreSetupError, str),
    EndedError: (StoreConnectionError, str),
    MovedError: _MOVING,
    DeadlineError: (StoreTimeoutError, str),
    UnservedSlotError: (StoreConnectionError, "no node of the cluster serves some of the keys"),
    ClosingError: _meaning_of_closing,
    RequestError: _meaning_of,
    glide.TimeoutError: (StoreTimeoutError, "no answer within the request_timeout of the client"),
    glide.ConnectionError: (StoreConnectionError, "the connection ended with the call under way"),
    glide.ConfigurationError: (StoreSetupError, "valkey-glide does not take this configuration"),
    glide.GlideError: KeyValueStoreError,
}


def is_unreachable(error: RequestError) -> bool:
    """Whether there was no connection for the call, for a reason that the driver may keep to itself."""
    return _CONNECTING.search(str(error)) is not None


def is_moved(error: RequestError) -> bool:
    return re.search(r"\bmoved\b", str(error), re.IGNORECASE) is not None


def is_unknown_script(error: Exception) -> bool:
    return isinstance(error, RequestError) and re.search(r"NoScriptError|NOSCRIPT", str(error)) is not None


def check_kind(client: object) -> None:
    """Raise TypeError unless it is a client for asyncio, of one server or of a cluster."""
    check_client(client, GlideClient, GlideClusterClient)


def check_configuration(config: object) -> None:
    """Raise TypeError unless it is what a client is made from."""
    check_client(config, GlideClientConfiguration, GlideClusterClientConfiguration, name="config")


def is_cluster(given: Client | Configuration) -> bool:
    return isinstance(given, (GlideClusterClient, GlideClusterClientConfiguration))


def configuration_of(client: Client) -> Any:
    return client.config


async def open_client(config: Configuration) -> Client:
    """A client that connects when it is first used: otherwise it connects at once, and the event loop stands still."""
    lazy = copy(config)
    lazy.lazy_connect = True
    if isinstance(lazy, GlideClusterClientConfiguration):
        return await LeanClusterClient.create(lazy)
    return await LeanClient.create(lazy)


def belongs_to(client: Client) -> AbstractEventLoop | None:
    """The event loop that it was made in, to which its answers go."""
    return _untyped(client)._loop  # noqa: SLF001 — it tells it nobody


def close_client(client: Client, reason: str = "") -> None:
    """End its connections at once, in any thread. Calls under way fail, where their event loop is not closed."""
    loop = belongs_to(client)
    if loop is not None and loop.is_closed():
        # Who waits for them is gone, and a closed loop takes no callbacks.
        _untyped(client)._pending_futures.clear()  # noqa: SLF001 — see above
    with suppress(StopIteration):
        client.close(reason).send(None)  # it awaits nothing


async def run_batch(client: Client, commands: Sequence[list[str | bytes]], milliseconds: int | None) -> list[Any]:
    """The replies to several commands: in one transaction, or of a cluster from each node that has some of the keys."""
    cluster = isinstance(client, GlideClusterClient)
    batch = ClusterBatch(is_atomic=False) if cluster else Batch(is_atomic=len(commands) > 1)
    for command in commands:
        batch.custom_command(list(command))
    options = ClusterBatchOptions(timeout=milliseconds) if cluster else BatchOptions(timeout=milliseconds)
    return await _untyped(client).exec(batch, raise_on_error=True, options=options)


async def run_each(client: Client, commands: Sequence[list[str | bytes]]) -> list[Any]:
    """The reply to each of several commands, or its error; in one round trip to each node that has some of the keys."""
    batch = ClusterBatch(is_atomic=False) if isinstance(client, GlideClusterClient) else Batch(is_atomic=False)
    for command in commands:
        batch.custom_command(list(command))
    return await _untyped(client).exec(batch, raise_on_error=False)


async def scan_node(client: Client, command: list[str | bytes], slot: int, node: tuple[str, int]) -> Any:
    """What the node answers that has the slot."""
    host, port = node
    # A node that does not know its own address is known by its slot alone.
    route = ByAddressRoute(host, port) if host else SlotIdRoute(SlotType.PRIMARY, slot)
    return await _untyped(client).custom_command(command, route=route)


def _untyped(client: Client) -> Any:
    # The driver types answers as anything of unknown types, and keeps to itself what is needed here.
    return client
