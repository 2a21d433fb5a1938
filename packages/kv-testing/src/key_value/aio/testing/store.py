"""Tests of the complete contract of a store, to be run by its author."""

from key_value.aio.core.capabilities import Capabilities
from key_value.aio.testing.batches import BatchTests
from key_value.aio.testing.concurrency import ConcurrencyTests
from key_value.aio.testing.conditional_writes import ConditionalWriteTests
from key_value.aio.testing.contract import StoreT
from key_value.aio.testing.corruption import CorruptionTests
from key_value.aio.testing.destruction import DestructionTests
from key_value.aio.testing.enumeration import EnumerationTests
from key_value.aio.testing.errors import ErrorTests
from key_value.aio.testing.expiry import ExpiryTests
from key_value.aio.testing.iteration import IterationTests
from key_value.aio.testing.lifecycle import LifecycleTests
from key_value.aio.testing.names import NameTests
from key_value.aio.testing.put_if_absent import PutIfAbsentTests
from key_value.aio.testing.scan import ScanTests
from key_value.aio.testing.values import ValueTests
from key_value.aio.testing.versioned import VersionedTests
from key_value.aio.testing.versioned_refusals import VersionRefusalTests

__all__ = ["StoreTests"]


class StoreTests(
    ValueTests[StoreT],
    NameTests[StoreT],
    ExpiryTests[StoreT],
    BatchTests[StoreT],
    EnumerationTests[StoreT],
    ScanTests[StoreT],
    IterationTests[StoreT],
    PutIfAbsentTests[StoreT],
    VersionedTests[StoreT],
    VersionRefusalTests[StoreT],
    ConditionalWriteTests[StoreT],
    DestructionTests[StoreT],
    LifecycleTests[StoreT],
    CorruptionTests[StoreT],
    ErrorTests[StoreT],
    ConcurrencyTests[StoreT],
):
    """Subclass it as `TestMyStore(StoreTests[MyStore])`. `StoreContract` describes the members to define."""

    def test_a_store_declares_its_capabilities(self, store: StoreT) -> None:
        capabilities = getattr(store, "capabilities", None)
        assert isinstance(capabilities, Capabilities)
        assert (capabilities.expiry_resolution is not None) is capabilities.native_expiry
