"""The smallest complete store: a dict, for tests and as an example."""

from key_value.aio.stores.simple.store import SimpleStore

__all__ = ["SimpleStore"]
