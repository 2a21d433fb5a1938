"""Values of a type as JSON objects, and back."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import is_dataclass
from functools import cached_property, partial
from inspect import signature
from typing import Annotated, Any, Generic, Literal, TypeVar, cast, get_args, get_origin

from key_value.aio.adapters.core_schemas import (
    has_ambiguous_aliases,
    has_serializers,
    has_unreadable_aliases,
    known_names,
    reading_names,
    reads_like_json,
)
from key_value.aio.errors import DeserializationError, SerializationError
from pydantic import (
    BaseModel,
    PydanticUndefinedAnnotation,
    PydanticUserError,
    TypeAdapter,
)
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, JsonSchemaWarningKind
from pydantic_core import (
    PydanticSerializationError,
    SchemaError,
    SchemaValidator,
    ValidationError,
    to_json,
)

__all__ = ["JsonForm", "display", "is_model_or_dataclass"]

T = TypeVar("T")

_ITEMS = "items"
_SHOWN_ERRORS = 5
_LONGEST_SHOWN = 200

_TAKES_BY_NAME = "by_name" in signature(TypeAdapter[Any].validate_python).parameters  # since pydantic 2.11

# The last step of their path is no name of the type's, and the error is of no use without it.
_UNKNOWN_NAME = frozenset({"extra_forbidden", "unexpected_keyword_argument"})


class JsonForm(Generic[T]):
    """What pydantic makes of a value in JSON, within `{"items": …}` unless that is an object by itself.

    Whether it is one follows from the type, never from the value. What pydantic's exceptions say is left out of ours,
    and so are they as `__cause__`: they print values.
    """

    def __init__(self, of: Any) -> None:
        """Take any type that pydantic can handle. Raises TypeError for another."""
        self.name = display(of)
        message = (
            f"pydantic cannot handle {self.name}; pass a type it can: a model, dataclass, TypedDict, built-in or "
            "standard type, or a container, union or Annotated of such, with every type it names defined"
        )
        # Before 2.11 pydantic took an instance for its class.
        if hasattr(cast("object", of).__class__, "__pydantic_core_schema__"):
            raise TypeError(message)
        try:
            adapter: TypeAdapter[T] = TypeAdapter(of)
            # That of a type which is not fully defined fails when it is looked at.
            self._schema: Mapping[str, Any] = dict(adapter.core_schema)
        except (PydanticUserError, PydanticUndefinedAnnotation, SchemaError) as exc:
            raise TypeError(message) from exc
        self._wraps = not _is_object(adapter, self._schema)
        self._classes: tuple[type, ...] = (of,) if is_model_or_dataclass(of) else ()
        # Read by names, which is what is written, and by aliases. Written as the type's own configuration has it, which
        # earlier versions did, unless that would not be read.
        aliases = not has_ambiguous_aliases(self._schema)
        by_alias: dict[str, Any] = {} if aliases and not has_unreadable_aliases(self._schema) else {"by_alias": False}
        self._dump = partial(adapter.dump_python, mode="json", round_trip=True, **by_alias)
        validator: Any = adapter
        names = {"by_alias": aliases, "by_name": True}
        if not _TAKES_BY_NAME:
            validator, names = SchemaValidator(reading_names(self._schema, and_aliases=aliases)), {}
        self._accept: Callable[[Any], T] = partial(validator.validate_python, **names)
        self._read_text: Callable[[bytes], T] = partial(validator.validate_json, **names)
        self._read: Callable[[Any], T] = self._accept if reads_like_json(self._schema) else self._read_as_json

    def dump(self, value: T) -> dict[str, Any]:
        """The JSON object of a value.

        Raises SerializationError when it is not of the type, or holds what JSON cannot or what would not be read back.
        """
        warned = False
        try:
            try:
                dumped = self._dump(value, warnings="error")
            except PydanticSerializationError:
                if isinstance(value, Iterator):
                    raise  # what it gave is gone
                # Not all that pydantic warns of is wrong: defaults, for one, are not validated.
                dumped = self._dump(value, warnings=False)
                warned = True
        except Exception as exc:  # noqa: BLE001 — serializers are the user's
            message = f"cannot serialize the value as {self.name}: {_failure(exc)}"
            raise SerializationError(message) from None
        if warned or not isinstance(value, self._classes):
            self._check(value, dumped, warned=warned)
        if self._wraps:
            return {_ITEMS: dumped}
        if not isinstance(dumped, dict):
            message = (
                f"cannot serialize the value as {self.name}: its serializer gives {type(dumped).__name__}, not an "
                "object; annotate what it returns"
            )
            raise SerializationError(message)
        return cast("dict[str, Any]", dumped)

    def load(self, stored: Mapping[str, Any]) -> T:
        """The value of a JSON object. Raises DeserializationError naming the fields that are wrong."""
        if not self._wraps:
            content: Any = stored
        elif _ITEMS in stored:
            content = stored[_ITEMS]
        else:
            message = f"the stored value is not of type {self.name}: it has no {_ITEMS!r}"
            raise DeserializationError(message)
        try:
            return self._read(content)
        except Exception as exc:  # noqa: BLE001 — validators are the user's
            message = f"the stored value is not of type {self.name}: {self._reason(exc)}"
            raise DeserializationError(message) from None

    def _read_as_json(self, dumped: Any) -> T:
        return self._read_text(to_json(dumped, inf_nan_mode="constants"))

    def _check(self, value: T, dumped: Any, *, warned: bool) -> None:
        rejected = None if isinstance(value, self._classes) else self._rejection(self._accept, value)
        if rejected is None and not warned:
            return
        unreadable = self._rejection(self._read, dumped)
        # Some types, as Json[T], take the JSON and refuse what they have made of it.
        if rejected is not None and unreadable is None and self._read(dumped) == value:
            return
        reason = rejected or unreadable
        if reason is not None:
            message = f"cannot serialize the value as {self.name}: {reason}"
            raise SerializationError(message)

    def _rejection(self, validate: Callable[[Any], T], candidate: object) -> str | None:
        try:
            validate(candidate)
        except Exception as exc:  # noqa: BLE001 — validators are the user's
            return self._reason(exc)
        return None

    def _reason(self, error: Exception) -> str:
        """The path and the kind of each error, without anything of the value: a key of a dict is shown as `[*]`."""
        if not isinstance(error, ValidationError):
            return _failure(error)
        details = error.errors(include_url=False, include_context=False, include_input=False)
        shown = [f"{self._path(each['loc'], each['type'])}: {each['type']}" for each in details[:_SHOWN_ERRORS]]
        if len(details) > _SHOWN_ERRORS:
            shown.append(f"and {len(details) - _SHOWN_ERRORS} more")
        return ", ".join(shown)

    def _path(self, steps: tuple[int | str, ...], kind: str) -> str:
        path = "value"
        for place, step in enumerate(steps, start=1):
            if isinstance(step, int):
                path += f"[{step}]"
            elif step in self._known_names or (kind in _UNKNOWN_NAME and place == len(steps)):
                path += f".{step}" if step.isidentifier() else f"[{step!a:.100}]"
            else:
                path += "[*]"
        return _shortened(path)

    @cached_property
    def _known_names(self) -> frozenset[str]:
        return known_names(self._schema)


def is_model_or_dataclass(of: Any) -> bool:
    """Whether it is a class whose instances are the values of the type."""
    # Before Python 3.11, list[int] is an instance of type.
    if get_origin(of) is not None or not isinstance(of, type):
        return False
    return is_dataclass(of) or issubclass(of, BaseModel)


def display(of: Any) -> str:
    """The type as a message shows it. What is no type may hold anything, and is not shown."""
    if get_origin(of) is Annotated:
        return display(get_args(of)[0])
    if get_origin(of) is not None or type(of).__module__ in {"typing", "typing_extensions"}:
        return _shortened(str(of))
    return _shortened(of.__qualname__) if isinstance(of, type) else f"an instance of {type(of).__qualname__}"


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def _failure(error: Exception) -> str:
    """What a serializer or validator raised. Only this message of pydantic's is known to hold no value."""
    message = str(error)
    return message if message.startswith("Unable to serialize unknown type: ") else type(error).__name__


class _ShapeOnly(GenerateJsonSchema):
    """Parts that have no JSON schema, as callables, may be anything: only the outermost `type` is asked for."""

    ignored_warning_kinds: set[JsonSchemaWarningKind] = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 — as pydantic declares it

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> JsonSchemaValue:
        del schema, error_info
        return {}


def _is_object(adapter: TypeAdapter[Any], schema: Mapping[str, Any]) -> bool:
    """Whether the values of the type are JSON objects, by the JSON schema that pydantic makes for it.

    Recursive types are not, and neither are unions of objects. This is part of the stored format.
    """
    if _kind(adapter, "validation") != "object":
        return False
    # Earlier versions went by that alone. What is read as an object and written as none, they could not put.
    return not has_serializers(schema) or _kind(adapter, "serialization") in {"object", None}


def _kind(adapter: TypeAdapter[Any], mode: Literal["validation", "serialization"]) -> object:
    try:
        return adapter.json_schema(schema_generator=_ShapeOnly, mode=mode).get("type")
    except Exception:  # noqa: BLE001 — a type may bring a generator of its own, or omit itself
        return None
