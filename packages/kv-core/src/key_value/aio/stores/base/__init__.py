"""Base classes of stores: subclass BaseStore, add a mixin for each optional protocol. See docs/writing-a-store.md."""

from key_value.aio.core.capabilities import Capabilities
from key_value.aio.core.entry import ManagedEntry
from key_value.aio.protocols import KeyPage
from key_value.aio.stores.base.cull import BaseCullStore
from key_value.aio.stores.base.destroy_collection import BaseDestroyCollectionStore
from key_value.aio.stores.base.destroy_store import BaseDestroyStore
from key_value.aio.stores.base.enumerate_collections import BaseEnumerateCollectionsStore
from key_value.aio.stores.base.enumerate_keys import BaseEnumerateKeysStore
from key_value.aio.stores.base.put_if_absent import BasePutIfAbsentStore
from key_value.aio.stores.base.scan import BaseScanStore
from key_value.aio.stores.base.store import (
    DEFAULT_COLLECTION_NAME,
    SEED_DATA_TYPE,
    BaseContextManagerStore,
    BaseStore,
)
from key_value.aio.stores.base.versioned import BaseVersionedStore, VersionedEntry

__all__ = [
    "DEFAULT_COLLECTION_NAME",
    "SEED_DATA_TYPE",
    "BaseContextManagerStore",
    "BaseCullStore",
    "BaseDestroyCollectionStore",
    "BaseDestroyStore",
    "BaseEnumerateCollectionsStore",
    "BaseEnumerateKeysStore",
    "BasePutIfAbsentStore",
    "BaseScanStore",
    "BaseStore",
    "BaseVersionedStore",
    "Capabilities",
    "KeyPage",
    "ManagedEntry",
    "VersionedEntry",
]
