"""The nodes of a cluster, with connections to them, and which of them has which slot."""

import random
from asyncio import FIRST_COMPLETED, Future, Task, create_task, gather, wait
from collections.abc import Callable, Iterable, Sequence
from math import inf
from typing import Any

from key_value.aio.stores.redis.commands import pack
from key_value.aio.stores.redis.connection import ConnectionLostError, DeadlineError
from key_value.aio.stores.redis.driver import ResponseError, UnusableError
from key_value.aio.stores.redis.lane import Open
from key_value.aio.stores.redis.server import Server

__all__ = ["Address", "Topology"]

Address = tuple[str, int]

_CLUSTER_SLOTS = pack(("CLUSTER", "SLOTS"))
# A node that does not answer is not waited for alone.
_NEXT_NODE_SECONDS = 0.1


class Topology:
    """What any node of the cluster says, until one says otherwise."""

    def __init__(
        self, open_at: Callable[[Address], Open], nodes: Iterable[Address], seconds: float | None, connections: int
    ) -> None:
        self.owners: dict[int, Address] = {}
        """Slot → its primary. Empty before it was found, and without the slots that nobody serves."""
        self._open_at = open_at
        self._seconds = seconds
        self._connections = connections
        self._given = list(dict.fromkeys(nodes))
        self._known = self._given
        self._servers: dict[Address, Server] = {}
        self._finding: Task[Exception | None] | None = None
        self._closing: set[Task[None]] = set()

    def server(self, address: Address) -> Server:
        server = self._servers.get(address)
        if server is None:
            server = self._servers[address] = Server(self._open_at(address), self._seconds, self._connections)
        return server

    def move(self, slot: int, owner: Address) -> None:
        """A node has said that the slot is another's: there will be more such."""
        self.owners[slot] = owner
        self.suspect()

    def suspect(self) -> None:
        """Find out again who has which slot, meanwhile going by what was known."""
        if self._finding is None:
            self._finding = create_task(self._find())
            self._finding.add_done_callback(self._found)

    async def find(self, seconds: float | None) -> Exception | None:
        """Find out who has which slot; callers at the same time share it. What went wrong, where something did."""
        self.suspect()
        finding = self._finding
        if finding is None:
            return None
        # Not awaited itself: a caller that is cancelled would cancel it for the others.
        await wait([finding], timeout=None if seconds == inf else seconds)
        if not finding.done():
            return DeadlineError("no node of the cluster has answered in time")
        return ConnectionLostError("the client was closed") if finding.cancelled() else finding.result()

    def _found(self, finding: Task[Exception | None]) -> None:
        if self._finding is finding:
            self._finding = None

    async def _find(self) -> Exception | None:
        answer, asked = await self._first_answer()
        if isinstance(answer, Exception):
            return answer
        nodes = dict.fromkeys(_address(node, asked) for _, _, *nodes in answer for node in nodes)
        self.owners = _owners(answer, asked)
        self._known = list(dict.fromkeys([*nodes, *self._given]))
        for address in self._servers.keys() - set(self._known):
            closing = create_task(self._servers.pop(address).close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
        return None

    async def _first_answer(self) -> tuple[Any, Address]:
        """What the first of the nodes answers, and which one; or an error. Each is asked soon after the one before."""
        asked: dict[Future[Any], Address] = {}
        error: Exception = UnusableError("no node of the cluster is known")
        nodes = random.sample(self._known, len(self._known))
        while nodes or asked:
            if nodes:
                address = nodes.pop()
                asked[self.server(address).send(_CLUSTER_SLOTS, 1, self._seconds)] = address
            done, _ = await wait(asked, timeout=_NEXT_NODE_SECONDS if nodes else None, return_when=FIRST_COMPLETED)
            for each in done:
                address, answer = asked.pop(each), each.result()
                if not isinstance(answer, Exception):
                    return answer, address
                error = answer
        if isinstance(error, ResponseError) and "cluster support disabled" in str(error):
            message = "the server is no node of a cluster: pass its URL as a text, not in a list"
            error = UnusableError(message)
        return error, ("", 0)

    def load(self) -> int:
        """How many calls are under way."""
        return sum(server.load() for server in self._servers.values())

    def release(self) -> None:
        """Be rid of the connections, which their event loop cannot close."""
        for server in self._servers.values():
            server.release()

    async def close(self) -> None:
        """Have every call answered, then end the connections."""
        if self._finding is not None:
            self._finding.cancel()
            await wait([self._finding])
        await gather(*(server.close() for server in self._servers.values()), *self._closing)


def _owners(answer: Sequence[Any], asked: Address) -> dict[int, Address]:
    owners: dict[int, Address] = {}
    for first, last, primary, *_ in answer:
        owners.update(dict.fromkeys(range(int(first), int(last) + 1), _address(primary, asked)))
    return owners


def _address(node: Sequence[Any], asked: Address) -> Address:
    host, port, *_ = node
    # A node that does not know its own address is where it was asked.
    return (host.decode() if host and host != b"?" else asked[0]), int(port)
