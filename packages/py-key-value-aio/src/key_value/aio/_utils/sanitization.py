"""Deprecated: import these names from `key_value.aio.core.sanitization`."""

import warnings

from key_value.aio.core.sanitization import (
    AlwaysHashStrategy,
    HashExcessLengthStrategy,
    HashFragmentMode,
    HybridSanitizationStrategy,
    PassthroughStrategy,
    SanitizationStrategy,
)

__all__ = [
    "AlwaysHashStrategy",
    "HashExcessLengthStrategy",
    "HashFragmentMode",
    "HybridSanitizationStrategy",
    "PassthroughStrategy",
    "SanitizationStrategy",
]

warnings.warn(
    f"{__name__} is deprecated: import from key_value.aio.core.sanitization", DeprecationWarning, stacklevel=2
)
