"""Tests that fork."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


def forks(test: Callable[..., None]) -> Callable[..., None]:
    # Since Python 3.12, forking a process with threads raises a warning.
    test = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")(test)
    return pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform does not fork")(test)


def forked(function: Callable[[], bool]) -> int:
    """Call the function in a child; return the child's exit code: 0 if it returns True, "hangs" after a minute."""
    child = os.fork()
    if not child:
        status = 1
        try:
            status = 0 if function() else 2
        finally:
            os._exit(status)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, 9)
    os.waitpid(child, 0)
    pytest.fail("the child hangs")


def in_child(function: Callable[[], bool]) -> bool:
    """Return whether the function returns True in a child."""
    return forked(function) == 0
