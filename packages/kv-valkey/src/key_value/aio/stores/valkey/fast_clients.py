"""Clients that hand their arguments over faster: the driver's own way took a third of a batch of a hundred puts."""

from array import array
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from glide import GlideClient, GlideClusterClient

__all__ = ["LeanClient", "LeanClusterClient"]

# More is not worth a copy.
_MOST_JOINED_BYTES = 256 * 1024


class _LeanArguments:
    """Overrides what the driver has as a method of its own; where it has none, nothing is lost but time."""

    _ffi: Any

    def _to_c_strings(self, args: Sequence[str | bytes]) -> tuple[Any, Any, Any]:
        """Addresses and lengths of the arguments as C takes them, and what must live as long."""
        buffers = [arg.encode() if type(arg) is str else arg for arg in args]
        lengths = array("L", map(len, buffers))
        if sum(lengths) > _MOST_JOINED_BYTES:
            return super()._to_c_strings(args)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType, reportUnknownMemberType] — the driver's
        joined = b"".join(buffers)  # pyright: ignore[reportArgumentType] — bytes by now
        ffi = self._ffi
        # One cast, in place of one for each argument.
        start = int(ffi.cast("size_t", ffi.from_buffer(joined)))
        addresses = array(
            "Q" if ffi.sizeof("size_t") == array("Q").itemsize else "L", accumulate(lengths, initial=start)
        )
        return ffi.from_buffer("size_t[]", addresses), ffi.from_buffer("unsigned long[]", lengths), joined


class LeanClient(_LeanArguments, GlideClient):
    pass


class LeanClusterClient(_LeanArguments, GlideClusterClient):
    pass
