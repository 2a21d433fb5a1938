"""How commands are sent."""

from collections.abc import Callable
from typing import cast

from hiredis import pack_command  # pyright: ignore[reportUnknownVariableType] — its stub lacks the result
from key_value.aio.core.resp.commands import Command

__all__ = ["pack"]

# In C: for a hundred names an eighth of the time of redis-py's own.
pack: Callable[[Command], bytes] = cast("Callable[[Command], bytes]", pack_command)
"""The command as it is sent."""
