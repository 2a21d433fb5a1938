"""Resources for workers that record their use, and functions to call on them."""

from __future__ import annotations

import threading
import time
from typing import Any


class Resource:
    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.closed = threading.Event()

    def close(self) -> None:
        assert threading.get_ident() == self.thread
        self.closed.set()


class Resources:
    def __init__(self, *errors: Exception) -> None:
        self.opened: list[Resource] = []
        self._errors = list(errors)

    def open(self) -> Resource:
        if self._errors:
            raise self._errors.pop(0)
        self.opened.append(Resource())
        return self.opened[-1]


def identity(resource: Resource, *arguments: Any) -> Any:
    assert threading.get_ident() == resource.thread
    return arguments


def fail(_: Resource, error: BaseException) -> None:
    raise error


def sleep(_: Resource, seconds: float) -> None:
    time.sleep(seconds)


def wait(_: Resource, event: threading.Event) -> None:
    assert event.wait(60)
