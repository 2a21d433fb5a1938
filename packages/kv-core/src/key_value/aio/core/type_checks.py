"""Runtime type checks, based on beartype.

Importing beartype takes over 90 ms, more than the rest of the project together. Therefore the public methods check for
exact builtin types themselves and use beartype only for other types. Constructors with arguments always use it.
"""

import functools
import os
import re
import warnings
from collections.abc import Callable, Container
from types import NoneType, UnionType
from typing import Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin

__all__ = ["ENABLED", "TypeViolationWarning", "checked_limit", "checked_text", "require", "warn_types"]

_MAX_CACHED_TYPES = 1000
_MAX_SHOWN_CHARACTERS = 40

_SECRET_PARAMETER = re.compile("auth|cert|credential|dsn|key|material|pass|salt|secret|token|uri|url|user")
_MODULE = re.compile(r"\b(?:[A-Za-z_]\w*\.)+")

P = ParamSpec("P")
R = TypeVar("R")

ENABLED = os.environ.get("PY_KEY_VALUE_DISABLE_BEARTYPE", "").lower() not in {"true", "1", "yes"}


class TypeViolationWarning(UserWarning):
    """An argument of a constructor is not of the documented type."""


def require(value: object, hint: Any, *, name: str, expected: str) -> None:
    """Raise TypeError unless the value satisfies the type hint. The message does not show the value."""
    if not ENABLED:
        return
    from beartype.door import is_bearable

    if not is_bearable(value, hint):
        message = f"{name} must be {expected}, not {type(value).__qualname__}"
        raise TypeError(message)


def checked_limit(limit: int | None) -> int | None:
    """Return the limit. Raises TypeError unless it is an int or None, and ValueError if it is negative."""
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
    """Return the text as an exact str. Raises TypeError unless it is a str."""
    if type(text) is not str:
        require(text, str, name=name, expected="a str")
        text = str.__str__(text)
    return text


def warn_types(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function to warn about arguments that violate its annotations, and call it anyway.

    For constructors and other callables outside the eight methods, where calls that worked in earlier versions must
    keep working.
    """
    if not ENABLED:
        return function

    # Cached, because constructors are called repeatedly with the same types, and a check takes 100 µs.
    accepted: set[tuple[object, ...]] = set()

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        types = (*map(type, args), *kwargs, *map(type, kwargs.values()))
        if types not in accepted and _are_as_annotated(function, args, kwargs) and len(accepted) < _MAX_CACHED_TYPES:
            accepted.add(types)
        return function(*args, **kwargs)

    return checked


def _are_as_annotated(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Return whether all arguments of these types match the annotations. Warns about arguments that do not match."""
    import inspect
    from typing import get_type_hints

    signature = inspect.signature(function)
    try:
        given = signature.bind(*args, **kwargs).arguments
    except TypeError:
        return False  # the call itself raises a better message
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
    numeric_tower = BeartypeConf(is_pep484_tower=True)  # accept an int for a float, as type checkers do
    wrong = [
        name
        for name, argument in given.items()
        if argument is not signature.parameters[name].default
        and not is_bearable(argument, hints[name], conf=numeric_tower)
    ]
    for name in wrong:
        expected = _described(hints[name])
        message = f"{function.__qualname__}: {name} should be {expected}, not {_shown(name, hints[name], given[name])}"
        warnings.warn(message, TypeViolationWarning, stacklevel=3)
    # The type alone does not determine the contents of a container, or whether a text is one of a Literal's.
    type_suffices = not any(
        "Literal" in repr(hints[name]) or (type(argument) is not str and isinstance(argument, Container))
        for name, argument in given.items()
    )
    return type_suffices and not wrong


def _described(hint: Any) -> str:
    """Return the alternatives of a type hint for a message, such as "int or None"."""
    # None last, as in "int, str or None"; each alternative once.
    *others, last = dict.fromkeys(sorted(_alternatives(hint), key=lambda name: name == "None"))
    return f"{', '.join(others)} or {last}" if others else last


def _alternatives(hint: Any) -> list[str]:
    if get_origin(hint) in (Union, UnionType):
        return [name for each in get_args(hint) for name in _alternatives(each)]
    if get_origin(hint) is Literal:
        return [repr(option) for option in get_args(hint)]
    if hint is NoneType:
        return ["None"]
    return [hint.__qualname__ if isinstance(hint, type) and get_origin(hint) is None else _MODULE.sub("", str(hint))]


def _shown(name: str, hint: Any, argument: object) -> str:
    """Return the value for a parameter that has a fixed set of options, and otherwise its type: it may be a secret."""
    has_options = get_origin(hint) is Literal or any(get_origin(each) is Literal for each in get_args(hint))
    if has_options and isinstance(argument, (str, int, float)) and not _SECRET_PARAMETER.search(name.lower()):
        return f"{argument!r:.{_MAX_SHOWN_CHARACTERS}}"
    if isinstance(argument, type):
        return f"the class {argument.__qualname__}"
    return "None" if argument is None else type(argument).__qualname__
