"""The conformance kit: subclass StoreTests or WrapperTests and run pytest."""

from pkgutil import iter_modules

import pytest

# pytest explains failed assertions only in modules that are registered before their import.
pytest.register_assert_rewrite(*(f"{__name__}.{module.name}" for module in iter_modules(__path__)))

from key_value.aio.testing.clock import FakeClock  # noqa: E402
from key_value.aio.testing.crash_tests import CrashTests  # noqa: E402
from key_value.aio.testing.doubles import FaultyStore, YieldingStore  # noqa: E402
from key_value.aio.testing.fault_tests import FaultTests, KillableServer  # noqa: E402
from key_value.aio.testing.faults import FaultProxy  # noqa: E402
from key_value.aio.testing.running import AsyncTests  # noqa: E402
from key_value.aio.testing.store import StoreTests  # noqa: E402
from key_value.aio.testing.wrapper import WrapperTests  # noqa: E402

__all__ = [
    "AsyncTests",
    "CrashTests",
    "FakeClock",
    "FaultProxy",
    "FaultTests",
    "FaultyStore",
    "KillableServer",
    "StoreTests",
    "WrapperTests",
    "YieldingStore",
]
