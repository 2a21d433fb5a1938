"""The interface. A framework needs only `AsyncKeyValue` from this project."""

import key_value.aio.core as _core  # noqa: F401  # pyright: ignore[reportUnusedImport] — refuses a mixed environment
from key_value.aio.protocols.capabilities import CapabilitiesProtocol
from key_value.aio.protocols.cull import AsyncCullProtocol
from key_value.aio.protocols.destroy_collection import AsyncDestroyCollectionProtocol
from key_value.aio.protocols.destroy_store import AsyncDestroyStoreProtocol
from key_value.aio.protocols.enumerate_collections import AsyncEnumerateCollectionsProtocol
from key_value.aio.protocols.enumerate_keys import AsyncEnumerateKeysProtocol
from key_value.aio.protocols.key_value import AsyncKeyValue, AsyncKeyValueProtocol
from key_value.aio.protocols.lifecycle import AsyncLifecycleProtocol
from key_value.aio.protocols.put_if_absent import AsyncPutIfAbsentProtocol
from key_value.aio.protocols.scan import AsyncScanProtocol, KeyPage
from key_value.aio.protocols.versioned import AsyncVersionedProtocol, Versioned

__all__ = [
    "AsyncCullProtocol",
    "AsyncDestroyCollectionProtocol",
    "AsyncDestroyStoreProtocol",
    "AsyncEnumerateCollectionsProtocol",
    "AsyncEnumerateKeysProtocol",
    "AsyncKeyValue",
    "AsyncKeyValueProtocol",
    "AsyncLifecycleProtocol",
    "AsyncPutIfAbsentProtocol",
    "AsyncScanProtocol",
    "AsyncVersionedProtocol",
    "CapabilitiesProtocol",
    "KeyPage",
    "Versioned",
]
