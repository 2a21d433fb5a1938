"""Runtime types, by beartype.

Importing beartype costs over 90 ms, more than the rest of the project together. So the public methods recognize the
exact builtin types themselves and ask beartype only about anything else. Constructors that are given arguments ask.
"""

import functools
import os
import warnings
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

__all__ = ["ENABLED", "TypeViolationWarning", "checked_limit", "require", "warn_types"]

P = ParamSpec("P")
R = TypeVar("R")

ENABLED = os.environ.get("PY_KEY_VALUE_DISABLE_BEARTYPE", "").lower() not in {"true", "1", "yes"}


class TypeViolationWarning(UserWarning):
    """An argument of a constructor is not of the documented type."""


def require(value: object, hint: Any, *, name: str, expected: str) -> None:
    """Raise TypeError unless the value satisfies the type hint. The message never shows the value."""
    if not ENABLED:
        return
    from beartype.door import is_bearable

    if not is_bearable(value, hint):
        message = f"{name} must be {expected}, not {type(value).__qualname__}"
        raise TypeError(message)


def checked_limit(limit: int | None) -> int | None:
    """The most names to list. Raises TypeError unless it is an int or None, ValueError when it is negative."""
    if limit is None:
        return None
    if type(limit) is not int:
        require(limit, int, name="limit", expected="a whole number or None")
    if limit < 0:
        message = f"limit must not be negative, not {limit}"
        raise ValueError(message)
    return limit


def warn_types(function: Callable[P, R]) -> Callable[P, R]:
    """Warn about arguments that violate the annotations, and call the function all the same.

    For constructors and other callables outside the eight methods: what worked before must go on working.
    """
    if not ENABLED:
        return function

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        _warn_about_arguments(function, args, kwargs)
        return function(*args, **kwargs)

    return checked


def _warn_about_arguments(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    import inspect
    from typing import get_type_hints

    signature = inspect.signature(function)
    try:
        given = signature.bind(*args, **kwargs).arguments
    except TypeError:
        return  # the call itself says better what is wrong
    given = {
        name: argument
        for name, argument in given.items()
        if argument is not signature.parameters[name].default
        and signature.parameters[name].annotation is not inspect.Parameter.empty
    }
    if not given:
        return
    from beartype import BeartypeConf
    from beartype.door import is_bearable

    hints = get_type_hints(function)
    numbers = BeartypeConf(is_pep484_tower=True)  # an int is a float, as type checkers have it
    for name, argument in given.items():
        if not is_bearable(argument, hints[name], conf=numbers):
            message = f"{function.__qualname__}: {name} should be {hints[name]}, not {type(argument).__qualname__}"
            warnings.warn(message, TypeViolationWarning, stacklevel=3)
