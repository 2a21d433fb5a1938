"""Where the scan of a cluster stands, as text: `slot@node@cursor`.

The first slot of a primary, the primary, and a cursor there.
"""

from collections.abc import Mapping

from key_value.aio.core.resp.commands import cursor_of

__all__ = ["SLOTS", "ClusterPosition", "UnservedSlotError"]

SLOTS = 16384  # https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/


class UnservedSlotError(Exception):
    """No node of the cluster serves the slot."""


class ClusterPosition:
    """Primaries are scanned in the order of their first slots.

    Where another one has the slot now, as after a failover, it is scanned from its start: names then come again.
    """

    def __init__(self, owners: Mapping[int, str], text: str | None) -> None:
        """`owners` has the name of the primary of each slot.

        Raises ValueError for a text that `following` does not give, and UnservedSlotError.
        """
        self._firsts: dict[str, int] = {}
        for slot in sorted(owners):
            self._firsts.setdefault(owners[slot], slot)
        start = min(self._firsts.values(), default=0)
        slot, _, rest = (f"{start}@@0" if text is None else text).partition("@")
        name, _, cursor = rest.rpartition("@")
        self.slot: int = cursor_of(slot)
        if self.slot >= SLOTS:
            message = "the position is none of a scan of this cluster"
            raise ValueError(message)
        if self.slot not in owners:
            message = f"no node serves slot {self.slot}"
            raise UnservedSlotError(message)
        self.name: str = owners[self.slot]
        node_cursor = cursor_of(cursor)
        self.cursor: int = node_cursor if self.name == name else 0

    def following(self, cursor: int) -> str | None:
        """The text for the position after this one, given the cursor that the node answered."""
        if cursor:
            return f"{self.slot}@{self.name}@{cursor}"
        later = [first for first in self._firsts.values() if first > self.slot]
        return f"{min(later)}@@0" if later else None
