"""Lock: one holder at a time, in any process, for as long as it keeps its lease."""

import asyncio
from collections.abc import Awaitable
from datetime import datetime, timedelta
from random import random
from secrets import token_hex
from types import TracebackType
from typing import SupportsFloat

from key_value.aio.atomic.entries import increment
from key_value.aio.atomic.exchange import Put, Remove, Store, exchange, versioned
from key_value.aio.atomic.turns import turn
from key_value.aio.core import clock
from key_value.aio.core.names import checked_name
from key_value.aio.core.ttl import expiry
from key_value.aio.errors import BaseKeyValueError, KeyValueOperationError
from key_value.aio.protocols import Versioned
from typing_extensions import Self

__all__ = ["Lock", "LockLostError"]

_RENEWALS_PER_LEASE = 3
_FIRST_PAUSE = 0.001
_LONGEST_PAUSE = 0.25


class LockLostError(KeyValueOperationError):
    """The lease of a lock ended before it was renewed or released. Another may hold the lock, or may have held it."""


class Lock:
    """A lock with one holder at a time among all that use its key in the store.

    The holder has a lease of `lease` seconds, renewed in the background three times in that time until `release`. A
    process that is killed, or stalls for longer, loses the lock when its lease ends. Then `held` is False and `release`
    raises LockLostError, but the holder may have written without the lock in between. Therefore pass `fence` with your
    writes, and let the receiver refuse a number lower than the highest it has seen: the number grows with every
    acquisition.

    A Lock object is for one holder, in one event loop, and can be acquired again after its release. Waiting callers of
    one event loop and one store object get the lock in order; others may come in between.

    The lease is an entry `lease:key` with a ttl, and the number is an entry `fence:key` without one. The store must
    keep both: one that evicts entries can give the lock away and restart the numbers.
    """

    def __init__(
        self, store: Store, key: str, *, collection: str | None = "locks", lease: SupportsFloat = 30.0
    ) -> None:
        """Raises TypeError for a store without versions, InvalidKeyError, and InvalidTTLError for the lease."""
        self._store = versioned(store)
        checked_name(key, "key")
        self._lease_key = checked_name(f"lease:{key}", "key")
        self._fence_key = checked_name(f"fence:{key}", "key")
        self._collection = None if collection is None else checked_name(collection, "collection")
        expiry(clock.now(), lease)
        self._lease = float(lease)
        self._owner: str | None = None
        self._fence = 0
        self._ends: datetime | None = None
        self._renewal: asyncio.Task[None] | None = None
        self._failure: Exception | None = None

    @property
    def fence(self) -> int:
        """The number of this object's last acquisition, which it keeps after the lock is lost; 0 before the first."""
        return self._fence

    @property
    def held(self) -> bool:
        """Whether the lease lasts, as far as this process knows, by the clock of all ttls; without I/O."""
        return self._ends is not None and clock.now() < self._ends

    async def acquire(self, *, wait: bool = True) -> bool:
        """Take the lock, and wait while another holds it. With `wait=False` try once; return False if it is taken.

        A cancelled caller leaves nothing behind. Raises RuntimeError if this object already holds or awaits the lock,
        and the errors of `get_versioned` and `put_if_version`, after which a lease that may have been stored ends by
        itself.
        """
        if self._owner is not None:
            message = "this Lock object is in use; each holder needs one of its own"
            raise RuntimeError(message)
        self._owner = token_hex(16)
        try:
            acquired = await (self._wait(self._owner) if wait else self._attempt(self._owner))
        except BaseException:
            self._owner = None
            raise
        if acquired:
            self._failure = None
            self._renewal = asyncio.create_task(self._renew_again_and_again())
        else:
            self._owner = None
        return acquired

    async def renew(self) -> None:
        """Renew the lease. Raises LockLostError if it had ended, and RuntimeError if the lock was not acquired.

        Call it before an important step: it proves that the lock is held, and leaves the whole lease for the step.
        """
        owner, _ = self._in_use()
        began = clock.now()

        def decide(found: Versioned) -> Put | None:
            return Put({"owner": owner}, self._lease) if _is_of(found, owner) else None

        renewed = await exchange(self._store, self._lease_key, self._collection, decide)
        if self._owner == owner:  # it was not released meanwhile
            self._ends = began + timedelta(seconds=self._lease) if renewed else None
        if not self.held:
            raise self._lost()

    async def release(self) -> None:
        """Give the lock back. Raises LockLostError if it was lost, and RuntimeError if it was not acquired.

        Even if it raises, this object does not hold the lock afterwards.
        """
        owner, renewal = self._in_use()
        self._owner = self._ends = self._renewal = None
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
            # The caller must see the exception from within first.
            if error is None:
                raise

    async def _wait(self, owner: str) -> bool:
        # One of this process asks at a time; `release` has a queue of its own, in `exchange`.
        async with turn(self._store, ("lock", self._collection, self._lease_key)):
            longest = _FIRST_PAUSE
            while not await self._attempt(owner):
                await asyncio.sleep(longest * random())  # noqa: S311 — no secret
                longest = min(longest * 2, _LONGEST_PAUSE)
            return True

    async def _attempt(self, owner: str) -> bool:
        began = clock.now()
        try:
            write = self._store.put_if_version(
                self._lease_key, {"owner": owner}, None, collection=self._collection, ttl=self._lease
            )
            if not await _ended(write):
                return False
            fence = await increment(self._store, self._fence_key, collection=self._collection)
            # A lease that ended before the number was taken may have let another in, with a lower number.
            found = await self._store.get_versioned(self._lease_key, collection=self._collection)
        except BaseException:
            await self._abandon(owner)
            raise
        if not _is_of(found, owner):
            return False
        self._fence = fence
        self._ends = began + timedelta(seconds=self._lease)
        return True

    async def _abandon(self, owner: str) -> None:
        """Remove a lease that will not be used; should that fail, it ends by itself."""
        try:
            await self._remove(owner)
        except BaseKeyValueError:
            return

    async def _remove(self, owner: str) -> bool:
        def decide(found: Versioned) -> Remove | None:
            return Remove(found.version) if found.version is not None and _is_of(found, owner) else None

        return await exchange(self._store, self._lease_key, self._collection, decide)

    async def _renew_again_and_again(self) -> None:
        while True:
            await asyncio.sleep(self._lease / _RENEWALS_PER_LEASE)
            try:
                await self.renew()
            except LockLostError:
                return
            except BaseKeyValueError as failure:
                # The next may succeed before the lease ends; otherwise it is why the lock is lost.
                self._failure = failure

    def _in_use(self) -> tuple[str, "asyncio.Task[None]"]:
        if self._owner is None or self._renewal is None:
            message = "this Lock object has not acquired the lock"
            raise RuntimeError(message)
        return self._owner, self._renewal

    def _lost(self) -> LockLostError:
        message = "The lease of the lock ended before it was renewed or released"
        return LockLostError(message, {"key": self._lease_key, "collection": self._collection, "fence": self._fence})


async def _ended(write: Awaitable[bool]) -> bool:
    """The outcome of a write, whose end one who is cancelled waits for too: what comes after sees what it did."""
    writing = asyncio.ensure_future(write)
    try:
        return await asyncio.shield(writing)
    except asyncio.CancelledError:
        await asyncio.gather(writing, return_exceptions=True)
        raise


def _is_of(found: Versioned, owner: str) -> bool:
    return found.value is not None and found.value.get("owner") == owner
