"""A store on Google Firestore."""

from key_value.aio.stores.firestore.names import (
    FirestoreV1CollectionSanitizationStrategy,
    FirestoreV1KeySanitizationStrategy,
)
from key_value.aio.stores.firestore.store import FirestoreStore

__all__ = [
    "FirestoreStore",
    "FirestoreV1CollectionSanitizationStrategy",
    "FirestoreV1KeySanitizationStrategy",
]
