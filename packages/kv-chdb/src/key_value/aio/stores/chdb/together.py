"""Calls that wait at the same time, made by one statement."""

from collections.abc import Sequence
from itertools import takewhile

from key_value.aio.core.worker import Job
from key_value.aio.errors import KeyValueStoreError, StoreConnectionError
from key_value.aio.stores.chdb.entries import Entries

__all__ = ["make_together"]

# Of values, of which there are several copies on their way to the table.
_MOST_BYTES = 2**22


def make_together(entries: Entries, calls: Sequence[Job[Entries]]) -> Sequence[Job[Entries]]:
    """Make the first call, together with those next to it that are gets, or puts, in its collection; the others."""
    kind = _kind(calls[0])
    count = sum(1 for _ in takewhile(lambda call: kind is not None and _kind(call) == kind, calls)) or 1
    if kind is not None and kind[0] == "put":
        count = _fitting(calls[:count])
    alike = [call for call in calls[:count] if not call.is_cancelled]
    if kind is None or len(alike) < 2 or not _make_one(entries, kind[0], alike):  # noqa: PLR2004 — one is alone
        for call in alike:
            call.make(entries)
    return calls[count:]


def _make_one(entries: Entries, kind: str, calls: Sequence[Job[Entries]]) -> bool:
    """Whether all of the calls have an outcome now. If not, making each alone tells whose fault it is."""
    try:
        if kind == "get":
            found = entries.get_together([call.arguments for call in calls])
            for call, rows in zip(calls, found, strict=True):
                call.result = rows
        else:
            entries.put(*[call.arguments[0] for call in calls])
    except StoreConnectionError as exc:
        # The directory was removed: the next call opens another, in which none of these may be.
        for call in calls:
            call.error = exc
    except KeyValueStoreError:
        return False
    return True


def _kind(call: Job[Entries]) -> tuple[str, object] | None:
    """What kind of call it is, and its collection; None for a call that is made alone."""
    if call.function is Entries.get:
        return "get", call.arguments[0]
    if call.function is Entries.put:
        return "put", call.arguments[0][0][0]
    return None


def _fitting(calls: Sequence[Job[Entries]]) -> int:
    """How many of the puts come to no more bytes than one statement may have, at least one."""
    octets = 0
    for count, call in enumerate(calls):
        octets += sum(len(text) for row in call.arguments[0] for text in row)
        if count and octets > _MOST_BYTES:
            return count
    return len(calls)
