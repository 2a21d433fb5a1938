"""Original names from stored names."""

from collections.abc import Sequence

from key_value.aio.core.sanitization import SanitizationStrategy
from key_value.aio.errors import KeyValueStoreError

__all__ = ["restored"]


def restored(strategy: SanitizationStrategy | None, stored_names: Sequence[str]) -> list[str]:
    """Return the original names. Raises KeyValueStoreError if the strategy cannot restore one of them."""
    if strategy is None:
        return list(stored_names)
    names = [strategy.try_unsanitize(stored) for stored in stored_names]
    if None in names:
        message = (
            f"{type(strategy).__name__} cannot restore the names of some entries; "
            "enumeration requires a reversible strategy"
        )
        raise KeyValueStoreError(message)
    return [name for name in names if name is not None]
