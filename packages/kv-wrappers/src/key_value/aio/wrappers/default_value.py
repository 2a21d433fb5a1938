"""A value for what is absent."""

from collections.abc import Mapping, Sequence
from typing import Any, SupportsFloat

from key_value.aio.core import clock
from key_value.aio.core.codec import decode_value, encode_value
from key_value.aio.core.ttl import expiry
from key_value.aio.core.type_checks import warn_types
from key_value.aio.core.wrappers import BaseWrapper
from key_value.aio.errors import InvalidTTLError
from key_value.aio.protocols import AsyncKeyValue

__all__ = ["DefaultValueWrapper"]


class DefaultValueWrapper(BaseWrapper):
    """Answers with a default where the inner store has no entry. The default is not stored, deleted or listed."""

    @warn_types
    def __init__(
        self, key_value: AsyncKeyValue, default_value: Mapping[str, Any], default_ttl: SupportsFloat | None = None
    ) -> None:
        """`default_ttl` is the seconds that `ttl` gives with the default; None: it does not expire.

        Raises SerializationError for a value that is not JSON, ValueError for a ttl that is not finite and above zero.
        """
        self._default = encode_value(default_value)
        self._default_ttl = None if default_ttl is None else checked_seconds(default_ttl, "default_ttl")
        super().__init__(key_value)

    async def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
        value = await self.key_value.get(key, collection=collection)
        return decode_value(self._default) if value is None else value

    async def ttl(self, key: str, *, collection: str | None = None) -> tuple[dict[str, Any] | None, float | None]:
        return self._with_default(await self.key_value.ttl(key, collection=collection))

    async def get_many(self, keys: Sequence[str], *, collection: str | None = None) -> list[dict[str, Any] | None]:
        values = await self.key_value.get_many(keys, collection=collection)
        return [decode_value(self._default) if value is None else value for value in values]

    async def ttl_many(
        self, keys: Sequence[str], *, collection: str | None = None
    ) -> list[tuple[dict[str, Any] | None, float | None]]:
        return [self._with_default(pair) for pair in await self.key_value.ttl_many(keys, collection=collection)]

    def _with_default(
        self, pair: tuple[dict[str, Any] | None, float | None]
    ) -> tuple[dict[str, Any] | None, float | None]:
        return (decode_value(self._default), self._default_ttl) if pair[0] is None else pair


def checked_seconds(ttl: SupportsFloat, what: str) -> float:
    """The ttl as seconds. Raises ValueError unless it is finite, above zero and ends before the year 10000."""
    try:
        expiry(clock.now(), ttl)
    except InvalidTTLError as exc:
        message = f"{what} must be a finite number of seconds above zero that ends before the year 10000"
        raise ValueError(message) from exc
    return float(ttl)
