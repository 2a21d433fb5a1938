"""Memory usage of this process."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["PeakMemory", "resident_bytes"]

_STATUS = Path("/proc/self/statm")
_CLEAR = Path("/proc/self/clear_refs")


def resident_bytes() -> int:
    return int(_STATUS.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class PeakMemory:
    """The peak resident memory of the process since this object was created."""

    def __init__(self) -> None:
        _CLEAR.write_text("5")  # proc(5): resets the peak to what is resident now

    @property
    def bytes(self) -> int:
        status = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))
