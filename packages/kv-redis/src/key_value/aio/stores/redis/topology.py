"""The nodes of a cluster, the connections to them, and the slots that each serves."""

import random
from asyncio import FIRST_COMPLETED, Future, Task, create_task, gather, wait
from collections.abc import Callable, Iterable, Sequence
from math import inf
from typing import Any

from key_value.aio.stores.redis.channel import OpenConnection
from key_value.aio.stores.redis.commands import pack
from key_value.aio.stores.redis.connection import ConnectionLostError, DeadlineError
from key_value.aio.stores.redis.driver import ResponseError, UnusableError
from key_value.aio.stores.redis.server import Server

__all__ = ["Address", "Topology"]

Address = tuple[str, int]

_CLUSTER_SLOTS = pack(("CLUSTER", "SLOTS"))
# While a node has not answered, the next one is asked after this time.
_NEXT_NODE_DELAY_SECONDS = 0.1


class Topology:
    """The view of the cluster that some node reported, until a node reports a change."""

    def __init__(
        self,
        open_at: Callable[[Address], OpenConnection],
        nodes: Iterable[Address],
        seconds: float | None,
        connections: int,
    ) -> None:
        self.owners: dict[int, Address] = {}
        """Slot → its primary. Empty before the first refresh, and without slots that no node serves."""
        self._open_at = open_at
        self._seconds = seconds
        self._connections = connections
        self._configured = list(dict.fromkeys(nodes))
        self._known = self._configured
        self._servers: dict[Address, Server] = {}
        self._refreshing: Task[Exception | None] | None = None
        self._closing: set[Task[None]] = set()

    def server(self, address: Address) -> Server:
        server = self._servers.get(address)
        if server is None:
            server = self._servers[address] = Server(self._open_at(address), self._seconds, self._connections)
        return server

    def move(self, slot: int, owner: Address) -> None:
        """Record that a node redirected to another owner of the slot; refresh, as more slots have probably moved."""
        self.owners[slot] = owner
        self.refresh_in_background()

    def refresh_in_background(self) -> None:
        """Refresh the slots in the background; until then, the known ones stay in use."""
        if self._refreshing is None:
            self._refreshing = create_task(self._refresh())
            self._refreshing.add_done_callback(self._on_refreshed)

    async def refresh(self, seconds: float | None) -> Exception | None:
        """Refresh the slots; concurrent callers share the refresh. Return the error if it failed."""
        self.refresh_in_background()
        refreshing = self._refreshing
        if refreshing is None:
            return None
        # Not awaited directly: cancelling one caller would cancel the refresh for the others.
        await wait([refreshing], timeout=None if seconds == inf else seconds)
        if not refreshing.done():
            return DeadlineError("no node of the cluster has answered in time")
        return ConnectionLostError("the client was closed") if refreshing.cancelled() else refreshing.result()

    def _on_refreshed(self, refreshing: Task[Exception | None]) -> None:
        if self._refreshing is refreshing:
            self._refreshing = None

    async def _refresh(self) -> Exception | None:
        answer, asked_node = await self._first_answer()
        if isinstance(answer, Exception):
            return answer
        nodes = dict.fromkeys(_address(node, asked_node) for _, _, *nodes in answer for node in nodes)
        self.owners = _owners(answer, asked_node)
        self._known = list(dict.fromkeys([*nodes, *self._configured]))
        for address in self._servers.keys() - set(self._known):
            closing = create_task(self._servers.pop(address).close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
        return None

    async def _first_answer(self) -> tuple[Any, Address]:
        """Ask the nodes with staggered starts. Return the first answer with its node, or an error."""
        pending: dict[Future[Any], Address] = {}
        error: Exception = UnusableError("no node of the cluster is known")
        nodes = random.sample(self._known, len(self._known))
        while nodes or pending:
            if nodes:
                address = nodes.pop()
                pending[self.server(address).send(_CLUSTER_SLOTS, 1, self._seconds)] = address
            done, _ = await wait(
                pending, timeout=_NEXT_NODE_DELAY_SECONDS if nodes else None, return_when=FIRST_COMPLETED
            )
            for each in done:
                address, answer = pending.pop(each), each.result()
                if not isinstance(answer, Exception):
                    return answer, address
                error = answer
        if isinstance(error, ResponseError) and "cluster support disabled" in str(error):
            message = "the server is not a cluster node: pass its URL as a string, not in a list"
            error = UnusableError(message)
        return error, ("", 0)

    def load(self) -> int:
        """Return the number of calls queued or in flight."""
        return sum(server.load() for server in self._servers.values())

    def release(self) -> None:
        """Drop the connections, which their event loop cannot close any more."""
        for server in self._servers.values():
            server.release()

    async def close(self) -> None:
        """Wait for the calls in flight, then close the connections."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            await wait([self._refreshing])
        await gather(*(server.close() for server in self._servers.values()), *self._closing)


def _owners(answer: Sequence[Any], asked_node: Address) -> dict[int, Address]:
    owners: dict[int, Address] = {}
    for first, last, primary, *_ in answer:
        owners.update(dict.fromkeys(range(int(first), int(last) + 1), _address(primary, asked_node)))
    return owners


def _address(node: Sequence[Any], asked_node: Address) -> Address:
    host, port, *_ = node
    # A node that does not know its own address has the address at which it was asked.
    return (host.decode() if host and host != b"?" else asked_node[0]), int(port)
