"""Positions in the scan of a cluster, as text `slot@node@cursor`: a primary's first slot, its name and its cursor."""

from collections.abc import Mapping

from key_value.aio.core.resp.commands import cursor_of

__all__ = ["SLOTS", "ClusterPosition", "UnservedSlotError"]

SLOTS = 16384  # https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/


class UnservedSlotError(Exception):
    """No node of the cluster serves the slot."""


class ClusterPosition:
    """The node and cursor at which a scan continues. Primaries are scanned in the order of their first slots.

    If another primary serves the slot by now, for example after a failover, it is scanned from the start, which repeats
    names.
    """

    def __init__(self, owners: Mapping[int, str], text: str | None) -> None:
        """Parse a position; None is the start. `owners` maps each slot to the name of its primary.

        Raises ValueError for a text that `following` cannot return, and UnservedSlotError.
        """
        self._first_slots: dict[str, int] = {}
        for slot in sorted(owners):
            self._first_slots.setdefault(owners[slot], slot)
        start = min(self._first_slots.values(), default=0)
        slot, _, rest = (f"{start}@@0" if text is None else text).partition("@")
        name, _, cursor = rest.rpartition("@")
        self.slot: int = cursor_of(slot)
        if self.slot >= SLOTS:
            message = "cursor does not come from a scan of this cluster"
            raise ValueError(message)
        if self.slot not in owners:
            message = f"no node of the cluster serves slot {self.slot}"
            raise UnservedSlotError(message)
        self.name: str = owners[self.slot]
        node_cursor = cursor_of(cursor)
        self.cursor: int = node_cursor if self.name == name else 0

    def following(self, cursor: int) -> str | None:
        """Return the next position as text, given the cursor that the node returned; None at the end."""
        if cursor:
            return f"{self.slot}@{self.name}@{cursor}"
        later = [first for first in self._first_slots.values() if first > self.slot]
        return f"{min(later)}@@0" if later else None
