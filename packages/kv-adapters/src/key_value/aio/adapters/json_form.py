"""Values of a type as JSON objects, and back."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, cached_property, partial
from inspect import signature
from numbers import Number
from typing import Annotated, Any, Generic, Literal, TypeVar, cast, get_args, get_origin

from key_value.aio.adapters.core_schemas import (
    has_ambiguous_aliases,
    has_fields_without_init,
    has_serializers,
    has_unions,
    has_unreadable_aliases,
    known_names,
    left_out_fields,
    reading_names,
    reads_like_json,
    with_init,
)
from key_value.aio.adapters.equality import Difference, Differences, are_plainly_equal
from key_value.aio.adapters.parts import Place, Step, all_parts_of, is_record, part_at
from key_value.aio.adapters.unwritable import way_to_unwritable
from key_value.aio.core.codec import EncodedDict, decode_value
from key_value.aio.errors import DeserializationError, SerializationError
from pydantic import (
    PydanticUndefinedAnnotation,
    PydanticUserError,
    TypeAdapter,
)
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, JsonSchemaWarningKind
from pydantic_core import (
    SchemaError,
    SchemaValidator,
    ValidationError,
    to_json,
)

__all__ = ["JsonForm", "display"]

T = TypeVar("T")

_ITEMS = "items"
_SHOWN_ERRORS = 5
_LONGEST_SHOWN = 200

# A validator takes that of a class where the class has one, since pydantic 2.11, and can be told not to, since 2.12.
_FROM_THE_SCHEMA: dict[str, Any] = (
    {"_use_prebuilt": False} if "_use_prebuilt" in (SchemaValidator.__text_signature__ or "") else {}
)

_TAKES_BY_NAME = "by_name" in signature(TypeAdapter[Any].validate_python).parameters  # since pydantic 2.11

_WITHOUT_VALUE = ("Unable to serialize unknown type: ", "Circular reference detected")

# The last step of their path is no name of the type's, and the error is of no use without it.
_UNKNOWN_NAME = frozenset({"extra_forbidden", "unexpected_keyword_argument"})


class JsonForm(Generic[T]):
    """pydantic's JSON form of a value, within `{"items": …}` unless it is an object by itself.

    The type decides whether it is an object, never the value. Our errors leave out pydantic's messages, and pydantic's
    exceptions as `__cause__`, because both show values.
    """

    def __init__(self, of: Any) -> None:
        """Accept any type that pydantic can handle. Raises TypeError for any other."""
        self.name: str = display(of)
        adapter, self._schema = _type_adapter(of, self.name)
        self._wraps = not _is_object(adapter, self._schema)
        # Read by names, which is what is written, and by aliases. Written as the type's own configuration has it, which
        # earlier versions did, unless that would not be read.
        aliases = not has_ambiguous_aliases(self._schema)
        by_alias: dict[str, Any] = {} if aliases and not has_unreadable_aliases(self._schema) else {"by_alias": False}
        self._write = partial(adapter.dump_python, mode="json", round_trip=True, warnings=False, **by_alias)
        validator, names = _reader(adapter, self._schema, aliases=aliases)
        self._accept: Callable[[Any], T] = partial(validator.validate_python, **names)
        self._read_text: Callable[[bytes], T] = partial(validator.validate_json, **names)
        self._read: Callable[[Any], T] = self._accept if reads_like_json(self._schema) else self._read_as_json
        self._left_out = left_out_fields(self._schema)
        self._has_unions = has_unions(self._schema)

    def dump(self, value: T) -> EncodedDict:
        """Return the JSON object of a value, after checking that it reads back equal.

        Raises SerializationError if the value is not of the type, if JSON cannot hold it, or if it reads back
        differently.
        """
        try:
            dumped = self._write(value)
        except Exception as exc:  # noqa: BLE001 — serializers are the user's
            reason = f"{self._path_of(way_to_unwritable(self._write, value))}: {_failure(exc)}"
            raise self._refused(reason) from None
        if self._wraps:
            dumped = {_ITEMS: dumped}
        elif not isinstance(dumped, dict):
            reason = f"value: this {display(type(value))} is not of the type"
            if is_record(value):
                reason = f"its serializer returns {type(dumped).__name__}, not an object; annotate its return type"
            raise self._refused(reason)
        stored, encoded = EncodedDict.of(cast("dict[str, Any]", dumped))
        try:
            got = self._read(self._content(decode_value(encoded)))
        except Exception as exc:  # noqa: BLE001 — validators are the user's
            raise self._refused(self._reason(exc)) from None
        if not are_plainly_equal(value, got):
            self._refuse_unless_alike(value, got)
        return stored

    def load(self, stored: Mapping[str, Any]) -> T:
        """Return the value of a JSON object. Raises a DeserializationError that names the invalid fields."""
        if self._wraps and _ITEMS not in stored:
            message = f"the stored value is not of type {self.name}: it has no {_ITEMS!r}"
            raise DeserializationError(message)
        try:
            return self._read(self._content(stored))
        except Exception as exc:  # noqa: BLE001 — validators are the user's
            message = f"the stored value is not of type {self.name}: {self._reason(exc)}"
            raise DeserializationError(message) from None

    def _read_as_json(self, content: Any) -> T:
        return self._read_text(to_json(content, inf_nan_mode="constants"))

    def _refused(self, reason: str) -> SerializationError:
        return SerializationError(f"cannot serialize the value as {self.name}: {reason}")

    def _content(self, stored: Mapping[str, Any]) -> Any:
        return stored[_ITEMS] if self._wraps else stored

    def _refuse_unless_alike(self, value: T, got: T) -> None:
        @cache
        def taken_apart() -> T:
            return self._accept(self._write(value, mode="python"))

        differences = Differences(self._left_out)
        for difference in differences.between(value, got):
            # Inside an instance nothing is validated unless it is taken apart.
            take = taken_apart if difference.steps else partial(self._accept, value)
            if not self._is_taken_for(difference, take):
                raise self._refused(self._difference(difference))
        if differences.by_identity and self._write(got) != self._write(value):
            reason = "value: it holds objects without an equality of their own, whose JSON differs when read back"
            raise self._refused(reason)

    def _is_taken_for(self, difference: Difference, take: Callable[[], T]) -> bool:
        """Whether the part is not of its type, and what is read is what the type takes it for, as a list for a tuple.

        Such are defaults, which pydantic does not validate, and what is put in the place of a value.
        """
        put, got, steps = difference
        # A value of one type of a union must not become one of another.
        if self._has_unions or not _may_stand_for(put, got) or any(step.place is Place.PRIVATE for step in steps):
            return False
        # Taking a value apart hides the class of what is in it.
        if steps and any(map(is_record, all_parts_of(put))):
            return False
        try:
            taken = part_at(take(), steps)
        except Exception:  # noqa: BLE001 — it is taken for nothing
            return False
        return type(taken) is type(got) and not any(Differences(self._left_out).between(taken, got))

    def _difference(self, difference: Difference) -> str:
        path = self._path_of(difference.steps)
        if any(step.place is Place.PRIVATE for step in difference.steps):
            return f"{path}: a private attribute is not stored, and this one would be different when the value is read"
        put, got = type(difference.put), type(difference.got)
        if put is got is dict:
            return f"{path}: its keys would be read as other keys, because JSON keys are text"
        read_as = "another" if put is got else display(got)
        return f"{path}: this {display(put)} would be read as {read_as}; name its type or give it a serializer"

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
            elif kind in _UNKNOWN_NAME and place == len(steps):
                path += _named(step)
            else:
                path += self._key(step)
        return _shortened(path)

    def _path_of(self, steps: Sequence[Step]) -> str:
        path = "value"
        for place, name in steps:
            if place is Place.INDEX:
                path += f"[{name}]"
            elif place is not Place.ROOT:
                path += self._key(name) if place in {Place.KEY, Place.ELEMENT} else _named(name)
        return _shortened(path)

    def _key(self, key: object) -> str:
        return _named(key) if isinstance(key, str) and key in self._known_names else "[*]"

    @cached_property
    def _known_names(self) -> frozenset[str]:
        return known_names(self._schema)


def _type_adapter(of: Any, name: str) -> tuple[TypeAdapter[Any], Mapping[str, Any]]:
    """pydantic's adapter of the type, and its core schema."""
    reason = "it is no type"
    # Before 2.11 pydantic took an instance for its class.
    if not hasattr(cast("object", of).__class__, "__pydantic_core_schema__"):
        try:
            adapter: TypeAdapter[Any] = TypeAdapter(of)
            # What a type lacks that is not fully defined is said here, or before pydantic 2.10 when it is looked at.
            if hasattr(adapter, "rebuild"):
                adapter.rebuild(raise_errors=True)
            return adapter, dict(adapter.core_schema)
        except (PydanticUserError, PydanticUndefinedAnnotation, SchemaError) as exc:
            if _is_type(of):
                reason = _failure_to_build(exc)
    message = (
        f"pydantic cannot handle {name}: {reason}; pass a type it can: a model, dataclass, TypedDict, built-in or "
        "standard type, or a container, union or Annotated of such, with every type it names defined"
    )
    raise TypeError(message)


def _failure_to_build(error: Exception) -> str:
    """The first sentence of what pydantic says, unless it may hold something that is no type."""
    if isinstance(error, SchemaError):
        return "its core schema is wrong"
    said = str(error).splitlines()[0].split(". ")[0]
    if getattr(error, "code", None) == "schema-for-unknown-type" and " for <class " not in said:
        return "a part of it is no type"
    return said.rstrip(".")


def _reader(adapter: TypeAdapter[Any], schema: Mapping[str, Any], *, aliases: bool) -> tuple[Any, dict[str, Any]]:
    """The validator of the type, and its options."""
    names = {"by_alias": aliases, "by_name": True}
    reading: Any = schema
    if not _TAKES_BY_NAME:
        names = {}
        reading = reading_names(schema, and_aliases=aliases)
    if has_fields_without_init(schema):
        reading = with_init(reading)
    return adapter if reading is schema else SchemaValidator(reading, **_FROM_THE_SCHEMA), names


def _may_stand_for(put: object, got: object) -> bool:
    """Whether one may be what another type makes of the other. A number may not: no float holds every integer."""
    if isinstance(put, Number) and isinstance(got, Number):
        return False
    return not (type(put) is type(got) or is_record(put) or is_record(got) or isinstance(put, Iterator))


def display(of: Any) -> str:
    """The type as a message shows it. An object that is not a type may hold secrets, and is not shown."""
    if get_origin(of) is Annotated:
        return display(get_args(of)[0])
    if get_origin(of) is not None or type(of).__module__ in {"typing", "typing_extensions"}:
        return _shortened(str(of))
    return _shortened(of.__qualname__) if isinstance(of, type) else f"an instance of {type(of).__qualname__}"


def _is_type(of: Any) -> bool:
    return isinstance(of, type) or get_origin(of) is not None or type(of).__module__ in {"typing", "typing_extensions"}


def _named(name: str) -> str:
    return f".{name}" if name.isidentifier() else f"[{name!a:.100}]"


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def _failure(error: Exception) -> str:
    """The message of a serializer's or validator's exception if it is known to hold no value, or else its class."""
    message = str(error)
    return message if message.startswith(_WITHOUT_VALUE) else type(error).__name__


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
    # Earlier versions relied on that alone, and could not put values that read as an object but are not written as one.
    return not has_serializers(schema) or _kind(adapter, "serialization") in {"object", None}


def _kind(adapter: TypeAdapter[Any], mode: Literal["validation", "serialization"]) -> object:
    try:
        return adapter.json_schema(schema_generator=_ShapeOnly, mode=mode).get("type")
    except Exception:  # noqa: BLE001 — a type may bring a generator of its own, or omit itself
        return None
