"""The only module that sends requests through valkey-glide: creates clients, sends batches, maps errors."""

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
from key_value.aio.stores.valkey.fast_clients import FastClient, FastClusterClient

__all__ = [
    "DRIVER_ERRORS",
    "UNRESPONSIVE",
    "AnswerTimeoutError",
    "Client",
    "ClosingError",
    "Configuration",
    "DeadlineError",
    "EndedError",
    "MovedError",
    "RequestError",
    "UnusableError",
    "check_configuration",
    "check_kind",
    "close_client",
    "configuration_of",
    "is_cluster",
    "is_moved",
    "is_unknown_script",
    "is_unreachable",
    "loop_of",
    "open_client",
    "run_batch",
    "run_each",
    "scan_node",
]

AnswerTimeoutError = glide.TimeoutError
Client: TypeAlias = GlideClient | GlideClusterClient
Configuration: TypeAlias = GlideClientConfiguration | GlideClusterClientConfiguration


class UnusableError(Exception):
    """A failure that a retry does not fix. The message is the reason, without secrets."""


class EndedError(Exception):
    """A failure that a retry may fix. The message is the reason."""


class MovedError(Exception):
    """The cluster node that was asked does not serve the key, or does not answer."""


class DeadlineError(TimeoutError):
    """The time limit of a call passed before its answer arrived."""


UNRESPONSIVE = "the connection was closed because it did not answer"
"""The reason for closing a client with calls in flight; they fail with it."""

_CREDENTIALS = (StoreSetupError, "wrong user name or password, or missing credentials")
_PERMISSION = (StoreSetupError, "this user lacks the right to a required command or key")
_REPLICA = (StoreConnectionError, "the server is a replica, as during a failover")
_MOVING = (StoreConnectionError, "the cluster is moving keys, or one of its nodes is down")
_OTHER_NODE = (
    StoreSetupError,
    "the server is a node of a cluster: pass cluster=True, or a client or config of a cluster",
)
_LOADING = (StoreConnectionError, "the server is loading its data")
_MASTER_DOWN = (StoreConnectionError, "the server has lost its primary")
_UNREACHABLE = (StoreConnectionError, "no connection; valkey-glide does not report the reason")

# A server's error begins with a code, which the driver replaces by its own name if it knows the code. A name or a value
# may follow it.
_CODES: dict[str, Meaning] = {
    "WRONGPASS": _CREDENTIALS,
    "NOAUTH": _CREDENTIALS,
    "AuthenticationFailed": _CREDENTIALS,
    "NOPERM": _PERMISSION,
    "PermissionDenied": _PERMISSION,
    "DB index": (StoreSetupError, "the server has no database with this number"),
    "cluster support disabled": (StoreSetupError, "the server is not a cluster node: leave out cluster=True"),
    "max number of clients": (StoreConnectionError, "the server has no free connection (maxclients)"),
    "inflight": (StoreConnectionError, "too many calls are in flight on the client (inflight_requests_limit)"),
    "READONLY": _REPLICA,
    "ReadOnly": _REPLICA,
    "MASTERDOWN": _MASTER_DOWN,
    "MasterDown": _MASTER_DOWN,
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
    "WRONGTYPE": (KeyValueStoreError, "a value that is not a string is stored under the name of the entry"),
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
# If several codes match, the first in the table counts.
_CODE_PATTERNS = {code: re.compile(rf"(?<![\w`]){re.escape(code)}(?!\w)") for code in _CODES}
_CONNECTING = re.compile(
    r"connect failed|Failed to create initial connections|Received error for address|No topology views"
)


def _meaning_of(error: RequestError) -> Meaning:
    text = str(error)
    return next((_CODES[code] for code, pattern in _CODE_PATTERNS.items() if pattern.search(text)), KeyValueStoreError)


def _meaning_of_closing(error: ClosingError) -> Meaning:
    text = str(error)
    if "fork" in text:
        return (
            StoreSetupError,
            "its client was created before this process was forked; create one in the process that uses it",
        )
    return StoreConnectionError, text if text == UNRESPONSIVE else "the client was closed"


DRIVER_ERRORS: DriverErrors = {
    UnusableError: (StoreSetupError, str),
    EndedError: (StoreConnectionError, str),
    MovedError: _MOVING,
    DeadlineError: (StoreTimeoutError, str),
    UnservedSlotError: (StoreConnectionError, "no node of the cluster serves some of the keys"),
    ClosingError: _meaning_of_closing,
    RequestError: _meaning_of,
    glide.TimeoutError: (StoreTimeoutError, "no answer within the request_timeout of the client"),
    glide.ConnectionError: (StoreConnectionError, "the connection ended with the call in flight"),
    glide.ConfigurationError: (StoreSetupError, "valkey-glide rejects this configuration"),
    glide.GlideError: KeyValueStoreError,
}


def is_unreachable(error: RequestError) -> bool:
    """Whether no connection could be opened, for a reason that the driver may not report."""
    return _CONNECTING.search(str(error)) is not None


def is_moved(error: RequestError) -> bool:
    return re.search(r"\bmoved\b", str(error), re.IGNORECASE) is not None


def is_unknown_script(error: Exception) -> bool:
    return isinstance(error, RequestError) and re.search(r"NoScriptError|NOSCRIPT", str(error)) is not None


def check_kind(client: object) -> None:
    """Raise TypeError unless it is a client for asyncio, for one server or a cluster."""
    check_client(client, GlideClient, GlideClusterClient)


def check_configuration(config: object) -> None:
    """Raise TypeError unless it is the configuration of a client, for one server or a cluster."""
    check_client(config, GlideClientConfiguration, GlideClusterClientConfiguration, name="config")


def is_cluster(given: Client | Configuration) -> bool:
    return isinstance(given, (GlideClusterClient, GlideClusterClientConfiguration))


def configuration_of(client: Client) -> Any:
    return client.config


async def open_client(config: Configuration) -> Client:
    """Return a client that connects at its first use; connecting at its creation would block the event loop."""
    lazy = copy(config)
    lazy.lazy_connect = True
    if isinstance(lazy, GlideClusterClientConfiguration):
        return await FastClusterClient.create(lazy)
    return await FastClient.create(lazy)


def loop_of(client: Client) -> AbstractEventLoop | None:
    """Return the event loop in which the client was created, which receives its answers."""
    return _untyped(client)._loop  # noqa: SLF001 — no public access


def close_client(client: Client, reason: str = "") -> None:
    """Close its connections at once, from any thread. Calls in flight fail unless their event loop is closed."""
    loop = loop_of(client)
    if loop is not None and loop.is_closed():
        # Nobody awaits them any more, and a closed loop rejects callbacks.
        _untyped(client)._pending_futures.clear()  # noqa: SLF001 — see above
    with suppress(StopIteration):
        client.close(reason).send(None)  # it awaits nothing


async def run_batch(client: Client, commands: Sequence[list[str | bytes]], milliseconds: int | None) -> list[Any]:
    """Return the replies to several commands: one transaction, or in a cluster a batch for each node with keys."""
    cluster = isinstance(client, GlideClusterClient)
    batch = ClusterBatch(is_atomic=False) if cluster else Batch(is_atomic=len(commands) > 1)
    for command in commands:
        batch.custom_command(list(command))
    options = ClusterBatchOptions(timeout=milliseconds) if cluster else BatchOptions(timeout=milliseconds)
    return await _untyped(client).exec(batch, raise_on_error=True, options=options)


async def run_each(client: Client, commands: Sequence[list[str | bytes]]) -> list[Any]:
    """Return the reply or error of each command, with one round trip to each node that has some of the keys."""
    batch = ClusterBatch(is_atomic=False) if isinstance(client, GlideClusterClient) else Batch(is_atomic=False)
    for command in commands:
        batch.custom_command(list(command))
    return await _untyped(client).exec(batch, raise_on_error=False)


async def scan_node(client: Client, command: list[str | bytes], slot: int, node: tuple[str, int]) -> Any:
    """Send the command to the node that serves the slot and return its reply."""
    host, port = node
    # A node that does not know its own address can only be addressed by slot.
    route = ByAddressRoute(host, port) if host else SlotIdRoute(SlotType.PRIMARY, slot)
    return await _untyped(client).custom_command(command, route=route)


def _untyped(client: Client) -> Any:
    # The driver's types are partly unknown, and its private attributes are needed here.
    return client
