"""A store on Aerospike."""

from key_value.aio.stores.aerospike.store import AerospikeStore

__all__ = ["AerospikeStore"]
