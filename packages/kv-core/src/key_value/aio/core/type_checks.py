"""Runtime types, by beartype.

Importing beartype costs over 90 ms, more than the rest of the project together. So the public methods recognize the
exact builtin types themselves and ask beartype only about anything else. Constructors with arguments always ask it.
"""

import functools
import os
import warnings
from collections.abc import Callable, Container
from typing import Any, ParamSpec, TypeVar

__all__ = ["ENABLED", "TypeViolationWarning", "checked_limit", "checked_text", "require", "warn_types"]

_MOST_ACCEPTED = 1000

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
    """The maximum number of names. Raises TypeError unless it is an int or None, ValueError if it is negative."""
    if limit is None:
        return None
    if type(limit) is not int:
        if isinstance(limit, bool):
            message = "limit must be a whole number or None, not bool"
            raise TypeError(message)
        require(limit, int, name="limit", expected="a whole number or None")
    if limit < 0:
        message = f"limit must not be negative, not {limit}"
        raise ValueError(message)
    return limit


def checked_text(text: str, name: str) -> str:
    """The text as an exact str. Raises TypeError unless it is a str."""
    if type(text) is not str:
        require(text, str, name=name, expected="a str")
        text = str.__str__(text)
    return text


def warn_types(function: Callable[P, R]) -> Callable[P, R]:
    """Warn about arguments that violate the annotations, and call the function anyway.

    For constructors and other callables outside the eight methods, where calls that worked before must keep working.
    """
    if not ENABLED:
        return function

    # A constructor is called with the same types again and again; asking beartype each time takes 100 µs.
    accepted: set[tuple[object, ...]] = set()

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        kinds = (*map(type, args), *kwargs, *map(type, kwargs.values()))
        if kinds not in accepted and _are_as_annotated(function, args, kwargs) and len(accepted) < _MOST_ACCEPTED:
            accepted.add(kinds)
        return function(*args, **kwargs)

    return checked


def _are_as_annotated(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether arguments of these types all match the annotations. Warns about those that do not."""
    import inspect
    from typing import get_type_hints

    signature = inspect.signature(function)
    try:
        given = signature.bind(*args, **kwargs).arguments
    except TypeError:
        return False  # the call itself says better what is wrong
    given = {
        name: argument
        for name, argument in given.items()
        if signature.parameters[name].annotation is not inspect.Parameter.empty
    }
    if not given:
        return True
    from beartype import BeartypeConf
    from beartype.door import is_bearable

    hints = get_type_hints(function)
    numbers = BeartypeConf(is_pep484_tower=True)  # an int is a float, as type checkers have it
    wrong = [
        name
        for name, argument in given.items()
        if argument is not signature.parameters[name].default and not is_bearable(argument, hints[name], conf=numbers)
    ]
    for name in wrong:
        message = f"{function.__qualname__}: {name} should be {hints[name]}, not {type(given[name]).__qualname__}"
        warnings.warn(message, TypeViolationWarning, stacklevel=3)
    # The type of a container does not tell what it contains, nor that of a text whether it is one of several.
    told_by_type = not any(
        "Literal" in repr(hints[name]) or (type(argument) is not str and isinstance(argument, Container))
        for name, argument in given.items()
    )
    return told_by_type and not wrong
