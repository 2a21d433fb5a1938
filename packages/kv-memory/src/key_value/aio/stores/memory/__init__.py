"""A store in the memory of the process."""

from key_value.aio.stores.memory.store import MemoryStore

__all__ = ["MemoryStore"]
