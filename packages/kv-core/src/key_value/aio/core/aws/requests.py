"""Requests to an AWS service, retried depending on its error responses."""

from collections.abc import Callable
from typing import Any

from key_value.aio.core.aws.errors import is_throttled, is_unavailable, lost_connection, service_error
from key_value.aio.core.requests import Sender

__all__ = ["aws_sender"]


def aws_sender(at_once: int, was_not_executed: Callable[[Any], bool] = is_throttled) -> Sender:
    """Create a Sender. `was_not_executed` returns whether an error response means that the request was not executed."""
    return Sender(
        at_once,
        service_error=service_error(),
        lost_connection=lost_connection(),
        was_not_executed=was_not_executed,
        is_unavailable=is_unavailable,
    )
