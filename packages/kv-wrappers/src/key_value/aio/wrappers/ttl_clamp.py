"""TTLClampWrapper: a minimum and a maximum ttl."""

from math import inf
from typing import SupportsFloat

from key_value.aio.core import clock
from key_value.aio.core.numbers import checked_seconds
from key_value.aio.core.ttl import expiry
from key_value.aio.core.type_checks import warn_types
from key_value.aio.core.wrappers import BaseValueWrapper
from key_value.aio.protocols import AsyncKeyValue

__all__ = ["TTLClampWrapper"]


class TTLClampWrapper(BaseValueWrapper):
    """Clamps each ttl to the range from `min_ttl` to `max_ttl`. An invalid ttl still raises an error."""

    @warn_types
    def __init__(
        self,
        key_value: AsyncKeyValue,
        min_ttl: SupportsFloat,
        max_ttl: SupportsFloat,
        missing_ttl: SupportsFloat | None = None,
    ) -> None:
        """All times are in seconds; a `min_ttl` of 0 and an infinite `max_ttl` mean no bound.

        `missing_ttl`, also clamped, applies to a put without ttl; None means that such an entry never expires. Raises
        ValueError for any other time that is not finite and above zero, and for a `min_ttl` above `max_ttl`.
        """
        self.min_ttl: float = 0.0 if min_ttl == 0 else checked_seconds(min_ttl, "min_ttl")
        self.max_ttl: float = inf if max_ttl == inf else checked_seconds(max_ttl, "max_ttl")
        if self.min_ttl > self.max_ttl:
            message = f"min_ttl must be at most max_ttl, not {self.min_ttl:g} with a max_ttl of {self.max_ttl:g}"
            raise ValueError(message)
        self.missing_ttl: float | None = (
            None if missing_ttl is None else self._clamped(checked_seconds(missing_ttl, "missing_ttl"))
        )
        super().__init__(key_value)

    def _inner_ttl(self, ttl: SupportsFloat | None) -> float | None:
        if ttl is None:
            return self.missing_ttl
        expiry(clock.now(), ttl)
        return self._clamped(float(ttl))

    def _clamped(self, seconds: float) -> float:
        return min(max(seconds, self.min_ttl), self.max_ttl)
