"""LimitSizeWrapper: a minimum and a maximum size of values."""

from collections.abc import Mapping
from typing import Any

from key_value.aio.core.codec import EncodedDict
from key_value.aio.core.type_checks import warn_types
from key_value.aio.core.wrappers import BaseValueWrapper
from key_value.aio.errors import EntryTooLargeError, EntryTooSmallError
from key_value.aio.protocols import AsyncKeyValue

__all__ = ["LimitSizeWrapper"]


class LimitSizeWrapper(BaseValueWrapper):
    """Rejects values that are too small or too large, or silently skips the write and keeps the earlier entry.

    The size of a value is the length of its JSON in UTF-8.
    """

    @warn_types
    def __init__(
        self,
        key_value: AsyncKeyValue,
        *,
        min_size: int | None = None,
        max_size: int | None = None,
        raise_on_too_small: bool = False,
        raise_on_too_large: bool = True,
    ) -> None:
        """Sizes are in bytes; None means no limit. `raise_on_…=False` skips such values instead of raising.

        Otherwise a put raises EntryTooSmallError or EntryTooLargeError. Raises ValueError for a negative size, and for
        a `min_size` above `max_size`.
        """
        if (min_size or 0) < 0 or (max_size or 0) < 0:
            message = f"min_size and max_size must be at least 0 bytes or None, not {min_size} and {max_size}"
            raise ValueError(message)
        if min_size is not None and max_size is not None and min_size > max_size:
            message = f"min_size must be at most max_size, not {min_size} with a max_size of {max_size}"
            raise ValueError(message)
        self.min_size = min_size
        self.max_size = max_size
        self.raise_on_too_small = raise_on_too_small
        self.raise_on_too_large = raise_on_too_large
        super().__init__(key_value)

    def _inner_value(self, value: Mapping[str, Any]) -> EncodedDict | None:
        carried, encoded = EncodedDict.of(value)
        size = len(encoded) if isinstance(encoded, bytes) else len(encoded.encode())
        if self.max_size is not None and size > self.max_size:
            if self.raise_on_too_large:
                raise EntryTooLargeError(size, self.max_size)
            return None
        if self.min_size is not None and size < self.min_size:
            if self.raise_on_too_small:
                raise EntryTooSmallError(size, self.min_size)
            return None
        return carried
