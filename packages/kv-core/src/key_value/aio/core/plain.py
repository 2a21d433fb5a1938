"""The exact but slow check of a value: finds parts that JSON cannot represent, and converts subclasses to builtins."""

from collections.abc import Iterator
from enum import Enum
from math import isfinite
from typing import Any, NoReturn, cast

from key_value.aio.errors import SerializationError

__all__ = ["MAX_DEPTH", "plain_object"]

MAX_DEPTH = 500
"""Maximum nesting depth, which every supported Python encodes and decodes well within its default recursion limit."""

_MAX_PATH_CHARACTERS = 200

# Integers of up to 64 bits are always printable; longer ones may exceed the limit of sys.set_int_max_str_digits.
_ALWAYS_PRINTABLE_BITS = 64

_Path = list[str | int]
_Container = dict[Any, Any] | list[Any] | tuple[Any, ...]


def plain_object(value: dict[str, Any]) -> dict[str, Any]:
    """Return an equal value of exact dict, list, str, int, float, bool and None.

    Raises SerializationError with the path of the first part that JSON cannot represent, as in `value.items[3].when`.
    """
    plain_value: dict[str, Any] = {}
    path: _Path = []
    # The containers being copied, from the outermost inwards: id, remaining children, and copy. Iterative, because
    # recursion would depend on the depth of the caller's stack.
    open_ids = [id(value)]
    open_parts: list[tuple[Iterator[tuple[Any, Any]], dict[str, Any] | list[Any]]] = [(_children(value), plain_value)]
    while open_parts:
        children, plain = open_parts[-1]
        for step, child in children:
            if isinstance(plain, dict):
                _check_key(step, path)
            path.append(step)
            if not isinstance(child, (dict, list, tuple)) or isinstance(child, Enum):
                _add(plain, step, _plain_leaf(child, path))
                path.pop()
                continue
            container = cast("_Container", child)
            if id(container) in open_ids:
                _refuse(path, "contains itself")
            if len(open_ids) >= MAX_DEPTH:
                _refuse(path, f"is nested more than {MAX_DEPTH} levels deep")
            copy: dict[str, Any] | list[Any] = {} if isinstance(container, dict) else []
            _add(plain, step, copy)
            open_ids.append(id(container))
            open_parts.append((_children(container), copy))
            break
        else:
            open_ids.pop()
            open_parts.pop()
            del path[-1:]
    return plain_value


def _children(container: _Container) -> Iterator[tuple[Any, Any]]:
    return iter(container.items()) if isinstance(container, dict) else iter(enumerate(container))


def _add(plain: dict[str, Any] | list[Any], step: Any, child: Any) -> None:
    if isinstance(plain, dict):
        plain[str.__str__(step)] = child
    else:
        plain.append(child)


def _check_key(key: object, path: _Path) -> None:
    if not isinstance(key, str) or isinstance(key, Enum):
        _refuse(path, f"has a key of type {type(key).__qualname__}; every key must be a str")
    if not _encodes(key):
        _refuse(path, "has a key that contains a lone surrogate, which UTF-8 cannot encode")


def _plain_leaf(leaf: object, path: _Path) -> str | float | None:
    if leaf is None or leaf is True or leaf is False:
        return leaf
    if isinstance(leaf, Enum):
        _refuse(path, f"is a member of the Enum {type(leaf).__qualname__}; store its value")
    if isinstance(leaf, str):
        if not _encodes(leaf):
            _refuse(path, "contains a lone surrogate, which UTF-8 cannot encode")
        return str.__str__(leaf)
    if isinstance(leaf, int):
        if not _prints(leaf):
            _refuse(path, "is an integer with more digits than sys.get_int_max_str_digits() allows")
        return int(leaf)
    if not isinstance(leaf, float):
        _refuse(path, f"is of type {type(leaf).__qualname__}; allowed are dict, list, str, int, float, bool and None")
    if not isfinite(leaf):
        _refuse(path, "is not a finite number")
    return float(leaf)


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _prints(number: int) -> bool:
    try:
        return number.bit_length() <= _ALWAYS_PRINTABLE_BITS or bool(int.__repr__(number))
    except ValueError:
        return False


def _refuse(path: _Path, reason: str) -> NoReturn:
    message = f"cannot serialize {_rendered(path)}: it {reason}"
    raise SerializationError(message)


def _rendered(path: _Path) -> str:
    steps = (
        f"[{step}]" if isinstance(step, int) else f".{step}" if step.isidentifier() else f"[{step!a:.100}]"
        for step in path
    )
    rendered = "value" + "".join(steps)
    return rendered if len(rendered) <= _MAX_PATH_CHARACTERS else f"{rendered[:_MAX_PATH_CHARACTERS]}…"
