"""Batching of queued calls into one statement."""

from collections.abc import Sequence
from itertools import takewhile

from key_value.aio.core.worker import Job
from key_value.aio.errors import KeyValueStoreError, StoreConnectionError
from key_value.aio.stores.chdb.entries import Entries

__all__ = ["make_together"]

# Limits memory: there are several copies of the values on their way to the table.
_MAX_BATCH_BYTES = 2**22


def make_together(entries: Entries, calls: Sequence[Job[Entries]]) -> Sequence[Job[Entries]]:
    """Run the first call, batched with the following gets (or puts) in the same collection; return the other calls."""
    key = _batch_key(calls[0])
    count = sum(1 for _ in takewhile(lambda call: key is not None and _batch_key(call) == key, calls)) or 1
    if key is not None and key[0] == "put":
        count = _count_fitting(calls[:count])
    batch = [call for call in calls[:count] if not call.is_cancelled]
    if key is None or len(batch) < 2 or not _run_batch(entries, key[0], batch):  # noqa: PLR2004 — one call needs no batch
        for call in batch:
            call.make(entries)
    return calls[count:]


def _run_batch(entries: Entries, kind: str, calls: Sequence[Job[Entries]]) -> bool:
    """Run the calls as one statement; return False if they must be run one by one, to find the one that fails."""
    try:
        if kind == "get":
            found = entries.get_together([call.arguments for call in calls])
            for call, rows in zip(calls, found, strict=True):
                call.result = rows
        else:
            entries.put(*[call.arguments[0] for call in calls])
    except StoreConnectionError as exc:
        # The directory was removed. All calls fail, because the next call opens a new directory.
        for call in calls:
            call.error = exc
    except KeyValueStoreError:
        return False
    return True


def _batch_key(call: Job[Entries]) -> tuple[str, object] | None:
    """Return the kind and collection of a call that can be batched, otherwise None."""
    if call.function is Entries.get:
        return "get", call.arguments[0]
    if call.function is Entries.put:
        return "put", call.arguments[0][0][0]
    return None


def _count_fitting(calls: Sequence[Job[Entries]]) -> int:
    """Return how many of the puts fit in the byte limit of one statement, at least one."""
    octets = 0
    for count, call in enumerate(calls):
        octets += sum(len(text) for row in call.arguments[0] for text in row)
        if count and octets > _MAX_BATCH_BYTES:
            return count
    return len(calls)
