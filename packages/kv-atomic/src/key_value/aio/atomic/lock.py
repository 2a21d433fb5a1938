"""Lock: a distributed lock with a renewed lease and a fencing number."""

import asyncio
from collections.abc import Awaitable
from datetime import datetime, timedelta
from random import random
from secrets import token_hex
from types import TracebackType
from typing import SupportsFloat

from key_value.aio.atomic.entries import increment
from key_value.aio.atomic.exchange import Put, Remove, Store, exchange, require_versions
from key_value.aio.atomic.turns import turn
from key_value.aio.core import clock
from key_value.aio.core.names import checked_name
from key_value.aio.core.ttl import expiry
from key_value.aio.errors import BaseKeyValueError, KeyValueOperationError
from key_value.aio.protocols import Versioned
from typing_extensions import Self

__all__ = ["Lock", "LockLostError"]

_RENEWALS_PER_LEASE = 3
_MIN_PAUSE_SECONDS = 0.001
_MAX_PAUSE_SECONDS = 0.25


class LockLostError(KeyValueOperationError):
    """The lease of a lock ended before it was renewed or released. Another holder may have the lock or have had it."""


class Lock:
    """A lock with at most one holder at a time among all users of its key in the store.

    The holder has a lease of `lease` seconds, which is renewed in the background, three times per lease, until
    `release`. A process that is killed or stalls for longer than the lease loses the lock. Then `held` is False and
    `release` raises LockLostError, but the holder may have written without the lock in the meantime. Therefore send
    `fence` with your writes, and let the receiver reject a number lower than the highest it has seen: the number grows
    with every acquisition.

    A Lock object serves one holder in one event loop, and can be acquired again after its release. Waiting callers in
    one event loop with one store object get the lock in order; other waiting callers may get it in between.

    The lease is an entry `lease:key` with a ttl, and the number is an entry `fence:key` without one. The store must
    keep both: if it evicts them, a second holder can acquire the lock, and the numbers restart.
    """

    def __init__(
        self, store: Store, key: str, *, collection: str | None = "locks", lease: SupportsFloat = 30.0
    ) -> None:
        """Raises TypeError for a store without versions or a lease that is not a number, InvalidKeyError, and
        InvalidTTLError for an invalid lease.
        """
        self._store = require_versions(store)
        checked_name(key, "key")
        self._lease_key = checked_name(f"lease:{key}", "key")
        self._fence_key = checked_name(f"fence:{key}", "key")
        self._collection = None if collection is None else checked_name(collection, "collection")
        expiry(clock.now(), lease, name="lease", expected="a number of seconds")
        self._lease = float(lease)
        self._owner: str | None = None
        self._fence = 0
        self._lease_end: datetime | None = None
        self._renewal: asyncio.Task[None] | None = None
        self._failure: Exception | None = None

    @property
    def fence(self) -> int:
        """The fencing number of the last acquisition, kept after the lock is released or lost; 0 before the first."""
        return self._fence

    @property
    def held(self) -> bool:
        """Whether the lease is still valid by the local clock, as far as this process knows. Performs no I/O."""
        return self._lease_end is not None and clock.now() < self._lease_end

    async def acquire(self, *, wait: bool = True) -> bool:
        """Acquire the lock, waiting while another holder has it, and return True.

        With `wait=False`, try once and return False if another holder has the lock. A cancelled caller leaves no lease
        behind. Raises RuntimeError if this object already holds or awaits the lock, and the errors of `get_versioned`
        and `put_if_version`; a lease that may have been stored then expires by itself.
        """
        if self._owner is not None:
            message = "this Lock object is in use; create one for each holder"
            raise RuntimeError(message)
        self._owner = token_hex(16)
        try:
            acquired = await (self._wait(self._owner) if wait else self._attempt(self._owner))
        except BaseException:
            self._owner = None
            raise
        if acquired:
            self._failure = None
            self._renewal = asyncio.create_task(self._renew_periodically())
        else:
            self._owner = None
        return acquired

    async def renew(self) -> None:
        """Renew the lease. Raises LockLostError if it had ended, and RuntimeError if the lock was not acquired.

        Call it before a critical step: it verifies that the lock is held, and gives the step a full lease.
        """
        owner, _ = self._acquired()
        started = clock.now()

        def decide(found: Versioned) -> Put | None:
            return Put({"owner": owner}, self._lease) if _is_of(found, owner) else None

        renewed = await exchange(self._store, self._lease_key, self._collection, decide)
        if self._owner == owner:  # not released in the meantime
            self._lease_end = started + timedelta(seconds=self._lease) if renewed else None
        if not self.held:
            raise self._lost()

    async def release(self) -> None:
        """Release the lock. Raises LockLostError if it was lost, and RuntimeError if it was not acquired.

        Even if it raises, this object no longer holds the lock.
        """
        owner, renewal = self._acquired()
        self._owner = self._lease_end = self._renewal = None
        renewal.cancel()
        await asyncio.wait([renewal])
        if not await self._remove(owner):
            raise self._lost() from self._failure

    async def __aenter__(self) -> Self:
        await self.acquire()
        return self

    async def __aexit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self.release()
        except LockLostError:
            # An exception from the body takes precedence.
            if error is None:
                raise

    async def _wait(self, owner: str) -> bool:
        # Only the first waiting caller polls. `release` uses another queue, in `exchange`.
        async with turn(self._store, ("lock", self._collection, self._lease_key)):
            max_pause = _MIN_PAUSE_SECONDS
            while not await self._attempt(owner):
                await asyncio.sleep(max_pause * random())  # noqa: S311 — not a secret
                max_pause = min(max_pause * 2, _MAX_PAUSE_SECONDS)
            return True

    async def _attempt(self, owner: str) -> bool:
        started = clock.now()
        try:
            write = self._store.put_if_version(
                self._lease_key, {"owner": owner}, None, collection=self._collection, ttl=self._lease
            )
            if not await _completed(write):
                return False
            fence = await increment(self._store, self._fence_key, collection=self._collection)
            # If the lease ended before the increment, another holder may have acquired the lock with a lower number.
            found = await self._store.get_versioned(self._lease_key, collection=self._collection)
        except BaseException:
            await self._abandon(owner)
            raise
        if not _is_of(found, owner):
            return False
        self._fence = fence
        self._lease_end = started + timedelta(seconds=self._lease)
        return True

    async def _abandon(self, owner: str) -> None:
        """Remove an unused lease. If that fails, the lease expires by itself."""
        try:
            await self._remove(owner)
        except BaseKeyValueError:
            return

    async def _remove(self, owner: str) -> bool:
        def decide(found: Versioned) -> Remove | None:
            return Remove(found.version) if found.version is not None and _is_of(found, owner) else None

        return await exchange(self._store, self._lease_key, self._collection, decide)

    async def _renew_periodically(self) -> None:
        while True:
            await asyncio.sleep(self._lease / _RENEWALS_PER_LEASE)
            try:
                await self.renew()
            except LockLostError:
                return
            except BaseKeyValueError as failure:
                # The next renewal may still succeed before the lease ends. Otherwise this is the cause of the loss.
                self._failure = failure

    def _acquired(self) -> tuple[str, "asyncio.Task[None]"]:
        if self._owner is None or self._renewal is None:
            message = "this Lock object has not acquired the lock"
            raise RuntimeError(message)
        return self._owner, self._renewal

    def _lost(self) -> LockLostError:
        message = "The lease of the lock ended before it was renewed or released"
        return LockLostError(message, {"key": self._lease_key, "collection": self._collection, "fence": self._fence})


async def _completed(write: Awaitable[bool]) -> bool:
    """Await the write and return its result. On cancellation, wait for its completion too, so that cleanup sees it."""
    writing = asyncio.ensure_future(write)
    try:
        return await asyncio.shield(writing)
    except asyncio.CancelledError:
        await asyncio.gather(writing, return_exceptions=True)
        raise


def _is_of(found: Versioned, owner: str) -> bool:
    return found.value is not None and found.value.get("owner") == owner
