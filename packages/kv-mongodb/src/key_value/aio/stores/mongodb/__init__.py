"""A store on MongoDB. Its entries are documents that queries can read."""

from key_value.aio.stores.mongodb.names import MongoDBV1CollectionSanitizationStrategy
from key_value.aio.stores.mongodb.store import MongoDBStore

__all__ = ["MongoDBStore", "MongoDBV1CollectionSanitizationStrategy"]
