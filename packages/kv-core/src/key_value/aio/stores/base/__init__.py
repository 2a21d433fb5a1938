"""What a backend is written on: subclass BaseStore, add a mixin for each ability. See docs/writing-a-store.md."""

from key_value.aio.core.capabilities import Capabilities
from key_value.aio.core.entry import ManagedEntry
from key_value.aio.stores.base.abilities import (
    BaseCullStore,
    BaseDestroyCollectionStore,
    BaseDestroyStore,
    BaseEnumerateCollectionsStore,
    BaseEnumerateKeysStore,
)
from key_value.aio.stores.base.store import (
    DEFAULT_COLLECTION_NAME,
    SEED_DATA_TYPE,
    BaseContextManagerStore,
    BaseStore,
)

__all__ = [
    "DEFAULT_COLLECTION_NAME",
    "SEED_DATA_TYPE",
    "BaseContextManagerStore",
    "BaseCullStore",
    "BaseDestroyCollectionStore",
    "BaseDestroyStore",
    "BaseEnumerateCollectionsStore",
    "BaseEnumerateKeysStore",
    "BaseStore",
    "Capabilities",
    "ManagedEntry",
]
