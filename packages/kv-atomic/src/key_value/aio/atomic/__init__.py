"""Concurrency-safe updates, counters, one-time codes and locks, based on conditional writes."""

from key_value.aio.atomic.entries import increment, take, touch, update
from key_value.aio.atomic.lock import Lock, LockLostError

__all__ = ["Lock", "LockLostError", "increment", "take", "touch", "update"]
