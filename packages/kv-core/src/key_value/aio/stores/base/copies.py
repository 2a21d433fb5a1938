"""Copies of a store, by pickle or `copy`, made from its constructor arguments."""

import inspect
import pickle
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["CopiedAsOptions"]

# What options are called that take what the caller has opened. Some drivers let it be pickled, unconnected and with its
# passwords.
_CLIENT = re.compile(r"(.+_)?(client|pool|session)")


class _Signature:
    """The parameters of a class are those of its `__init__`."""

    def __get__(self, instance: object, owner: type[Any]) -> inspect.Signature:
        signature = inspect.signature(owner.__init__)
        return signature.replace(parameters=list(signature.parameters.values())[1:])


class CopiedAsOptions:
    """Constructs a copy, in this process or another, with the same arguments.

    The copy opens resources of its own, without the data that the original keeps in memory. Copying raises TypeError if
    an argument belongs to this process, as a client does.
    """

    __signature__: Any = _Signature()

    _constructed_with: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **options: Any) -> "Self":
        self = super().__new__(cls)
        self._constructed_with = (args, options)
        return self

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        args, options = self._constructed_with
        for name, argument in inspect.signature(type(self)).bind(*args, **options).arguments.items():
            error = _why_not(argument)
            if error is not None or (argument is not None and _CLIENT.fullmatch(name)):
                message = (
                    f"{self!r} cannot be pickled or copied: its {name} is a {type(argument).__qualname__}, "
                    "which cannot be; construct the store where it is used"
                )
                raise TypeError(message) from error
        return _constructed, (type(self), args, options)


def _constructed(store: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    return store(*args, **options)


def _why_not(argument: object) -> Exception | None:
    """The error that pickle raises for it."""
    try:
        pickle.dumps(argument)
    except Exception as exc:
        return exc
    return None
