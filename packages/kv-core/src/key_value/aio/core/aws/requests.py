"""Requests to a service of AWS, with what its errors say of whether a request was done."""

from collections.abc import Callable
from typing import Any

from key_value.aio.core.aws.errors import is_throttled, is_unavailable, lost_connection, service_error
from key_value.aio.core.requests import Sender

__all__ = ["aws_sender"]


def aws_sender(at_once: int, was_not_done: Callable[[Any], bool] = is_throttled) -> Sender:
    """`was_not_done` says of an answer with an error whether the service has surely done nothing."""
    return Sender(
        at_once,
        service_error=service_error(),
        lost_connection=lost_connection(),
        was_not_done=was_not_done,
        is_unavailable=is_unavailable,
    )
