"""A store on Valkey, one server or a cluster."""

from key_value.aio.stores.valkey.store import ValkeyStore

__all__ = ["ValkeyStore"]
