"""Times to live between a least and a most."""

from collections.abc import Mapping, Sequence
from typing import Any, SupportsFloat

from key_value.aio.core import clock
from key_value.aio.core.ttl import expiry
from key_value.aio.core.type_checks import warn_types
from key_value.aio.core.wrappers import BaseWrapper
from key_value.aio.protocols import AsyncKeyValue
from key_value.aio.wrappers.default_value import checked_seconds

__all__ = ["TTLClampWrapper"]


class TTLClampWrapper(BaseWrapper):
    """Raises a ttl below `min_ttl` to it, and lowers one above `max_ttl`. An invalid ttl stays an error."""

    @warn_types
    def __init__(
        self,
        key_value: AsyncKeyValue,
        min_ttl: SupportsFloat,
        max_ttl: SupportsFloat,
        missing_ttl: SupportsFloat | None = None,
    ) -> None:
        """All in seconds. `missing_ttl`, clamped as well, is for a put without ttl; None: it has none then.

        Raises ValueError for a number that is not finite and above zero, and for a `min_ttl` above `max_ttl`.
        """
        self.min_ttl = checked_seconds(min_ttl, "min_ttl")
        self.max_ttl = checked_seconds(max_ttl, "max_ttl")
        if self.min_ttl > self.max_ttl:
            message = f"min_ttl must be at most max_ttl, not {self.min_ttl:g} with a max_ttl of {self.max_ttl:g}"
            raise ValueError(message)
        self.missing_ttl = None if missing_ttl is None else self._clamped(checked_seconds(missing_ttl, "missing_ttl"))
        super().__init__(key_value)

    async def put(
        self,
        key: str,
        value: Mapping[str, Any],
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> None:
        return await self.key_value.put(key, value, collection=collection, ttl=self._inner_ttl(ttl))

    async def put_many(
        self,
        keys: Sequence[str],
        values: Sequence[Mapping[str, Any]],
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> None:
        return await self.key_value.put_many(keys, values, collection=collection, ttl=self._inner_ttl(ttl))

    def _inner_ttl(self, ttl: SupportsFloat | None) -> float | None:
        if ttl is None:
            return self.missing_ttl
        expiry(clock.now(), ttl)
        return self._clamped(float(ttl))

    def _clamped(self, seconds: float) -> float:
        return min(max(seconds, self.min_ttl), self.max_ttl)
