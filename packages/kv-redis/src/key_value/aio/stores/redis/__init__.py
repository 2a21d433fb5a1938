"""A store on Redis, Redis Cluster, or Redis behind Sentinel."""

from key_value.aio.stores.redis.store import RedisStore

__all__ = ["RedisStore"]
