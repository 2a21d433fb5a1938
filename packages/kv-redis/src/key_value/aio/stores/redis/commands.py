"""Command encoding."""

from collections.abc import Callable
from typing import cast

from hiredis import pack_command  # pyright: ignore[reportUnknownVariableType] — its stub lacks the result
from key_value.aio.core.resp.commands import Command

__all__ = ["pack"]

# In C: an eighth of the time of redis-py's encoder for a hundred names.
pack: Callable[[Command], bytes] = cast("Callable[[Command], bytes]", pack_command)
"""Encode a command in the Redis protocol."""
