"""A call that can be made on any store."""

from collections.abc import Awaitable, Sequence
from typing import Any, Generic, TypeVar

from key_value.aio.core.operations import OPERATIONS, Operation
from key_value.aio.errors import KeyValueStoreError

__all__ = ["Call"]

R = TypeVar("R")


class Call(Generic[R]):
    """An operation and its arguments. `await call.on(store)` makes the call and can be repeated."""

    __slots__ = ("arguments", "name", "options")

    def __init__(self, name: str, *arguments: Any, **options: Any) -> None:
        """Store the name of an operation in OPERATIONS and the arguments of its method."""
        self.name: str = name
        self.arguments: tuple[Any, ...] = arguments
        self.options: dict[str, Any] = options

    def on(self, store: Any) -> Awaitable[R]:
        """Make the call. Raises KeyValueStoreError if the store lacks the operation."""
        try:
            method = getattr(store, self.name)
        except AttributeError:
            message = f"{store!r} does not satisfy {self.operation.protocol.__name__}"
            raise KeyValueStoreError(message) from None
        return method(*self.arguments, **self.options)

    @property
    def operation(self) -> Operation:
        return OPERATIONS[self.name]

    @property
    def keys(self) -> Sequence[str]:
        """The keys of the call; empty for a call that concerns a collection or the whole store."""
        key = self.argument("key")
        return self.argument("keys", ()) if key is None else (key,)

    @property
    def collection(self) -> str | None:
        return self.argument("collection")

    def argument(self, name: str, default: Any = None) -> Any:
        """Return the argument for the parameter, passed by position or keyword, or `default` if omitted."""
        if name in self.options:
            return self.options[name]
        parameters = self.operation.parameters
        position = parameters.index(name) if name in parameters else len(self.arguments)
        return self.arguments[position] if position < len(self.arguments) else default

    # Omits the arguments, because a repr can end up in logs.
    def __repr__(self) -> str:
        return f"Call({self.name!r})"
