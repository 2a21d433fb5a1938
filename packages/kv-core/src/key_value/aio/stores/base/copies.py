"""Pickling and copying of stores by their constructor arguments."""

import inspect
import pickle
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["CopiedByArguments"]

# Names of options that take an object opened by the caller. Refused by name, because some drivers allow pickling such
# an object, unconnected and with its passwords.
_CLIENT_OPTION = re.compile(r"(.+_)?(client|pool|session)")


class _InitSignature:
    """Descriptor that gives a class the signature of its `__init__`."""

    def __get__(self, instance: object, owner: type[Any]) -> inspect.Signature:
        signature = inspect.signature(owner.__init__)
        return signature.replace(parameters=list(signature.parameters.values())[1:])


class CopiedByArguments:
    """Mixin: pickling or copying an object calls its constructor again with the same arguments, in any process.

    The copy opens its own resources and holds none of the original's in-memory data. Raises TypeError if an argument
    cannot be copied, such as a client.
    """

    __signature__: Any = _InitSignature()

    _constructor_arguments: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **options: Any) -> "Self":
        self = super().__new__(cls)
        self._constructor_arguments = (args, options)
        return self

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        args, options = self._constructor_arguments
        for name, argument in inspect.signature(type(self)).bind(*args, **options).arguments.items():
            error = _pickling_error(argument)
            if error is not None or (argument is not None and _CLIENT_OPTION.fullmatch(name)):
                message = (
                    f"{self!r} cannot be pickled or copied: its {name} is a {type(argument).__qualname__}, "
                    "which cannot be copied; create the store in the process that uses it"
                )
                raise TypeError(message) from error
        return _construct, (type(self), args, options)


def _construct(store: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    return store(*args, **options)


def _pickling_error(argument: object) -> Exception | None:
    """Return the exception that pickling the argument raises, if any."""
    try:
        pickle.dumps(argument)
    except Exception as exc:
        return exc
    return None
