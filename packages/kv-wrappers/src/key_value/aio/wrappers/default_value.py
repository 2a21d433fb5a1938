"""DefaultValueWrapper: a value for absent entries."""

from collections.abc import Mapping
from typing import Any, SupportsFloat

from key_value.aio.core.codec import decode_value, encode_value
from key_value.aio.core.numbers import checked_number
from key_value.aio.core.type_checks import warn_types
from key_value.aio.core.wrappers import BaseValueWrapper
from key_value.aio.protocols import AsyncKeyValue

__all__ = ["DefaultValueWrapper"]


class DefaultValueWrapper(BaseValueWrapper):
    """Returns a default if the inner store has no entry. The default is never stored, deleted or listed."""

    @warn_types
    def __init__(
        self, key_value: AsyncKeyValue, default_value: Mapping[str, Any], default_ttl: SupportsFloat | None = None
    ) -> None:
        """`default_ttl` is what `ttl` returns with the default, in seconds; None means that it does not expire.

        Raises SerializationError for a value that is not JSON, ValueError for a negative or infinite `default_ttl`.
        """
        self._default = encode_value(default_value)
        self._default_ttl = None if default_ttl is None else checked_number(float(default_ttl), "default_ttl")
        super().__init__(key_value)

    def _absent(self) -> tuple[dict[str, Any] | None, float | None]:
        return decode_value(self._default), self._default_ttl
