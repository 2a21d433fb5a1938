"""Conversion of values of a type to JSON objects and back."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, cached_property, partial
from inspect import signature
from numbers import Number
from typing import Annotated, Any, Generic, Literal, TypeVar, cast, get_args, get_origin

from key_value.aio.adapters.core_schemas import (
    excluded_fields,
    has_ambiguous_aliases,
    has_fields_without_init,
    has_serializers,
    has_unions,
    has_unreadable_aliases,
    known_names,
    populated_by_name,
    reads_like_json,
    with_init_fields_read,
)
from key_value.aio.adapters.equality import Difference, Differences, are_quickly_equal
from key_value.aio.adapters.parts import Place, Step, all_parts_of, is_record, part_at
from key_value.aio.adapters.unwritable import path_to_unwritable
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
_MAX_SHOWN_ERRORS = 5
_MAX_SHOWN_CHARACTERS = 200

# Since pydantic 2.11, a validator reuses the validator of a class if it has one; since 2.12, this can be disabled.
_WITHOUT_PREBUILT: dict[str, Any] = (
    {"_use_prebuilt": False} if "_use_prebuilt" in (SchemaValidator.__text_signature__ or "") else {}
)

_HAS_BY_NAME = "by_name" in signature(TypeAdapter[Any].validate_python).parameters  # since pydantic 2.11

_PREFIXES_OF_SAFE_MESSAGES = ("Unable to serialize unknown type: ", "Circular reference detected")

# The last step of the path of these errors is not a name of the type, but the error is useless without it.
_UNKNOWN_NAME_ERRORS = frozenset({"extra_forbidden", "unexpected_keyword_argument"})


class JsonForm(Generic[T]):
    """pydantic's JSON form of a value, wrapped in `{"items": …}` unless it is an object itself.

    Whether it is an object depends only on the type, never on the value. Errors contain neither pydantic's messages nor
    pydantic's exceptions as `__cause__`, because both show values.
    """

    def __init__(self, of: Any) -> None:
        """`of` is any type that pydantic can handle. Raises TypeError for any other."""
        self.name: str = display(of)
        adapter, self._schema = _type_adapter(of, self.name)
        self._wraps = not _is_object(adapter, self._schema)
        # Read by name, which is how fields are written, and by alias. Write by alias if the type's configuration says
        # so, like earlier versions, unless that could not be read.
        aliases = not has_ambiguous_aliases(self._schema)
        by_alias: dict[str, Any] = {} if aliases and not has_unreadable_aliases(self._schema) else {"by_alias": False}
        self._write = partial(adapter.dump_python, mode="json", round_trip=True, warnings=False, **by_alias)
        validator, names = _reader(adapter, self._schema, aliases=aliases)
        self._accept: Callable[[Any], T] = partial(validator.validate_python, **names)
        self._read_text: Callable[[bytes], T] = partial(validator.validate_json, **names)
        self._read: Callable[[Any], T] = self._accept if reads_like_json(self._schema) else self._read_as_json
        self._excluded = excluded_fields(self._schema)
        self._has_unions = has_unions(self._schema)

    def dump(self, value: T) -> EncodedDict:
        """Return the JSON object of a value, after checking that it reads back equal.

        Raises SerializationError if the value is not of the type, cannot be represented in JSON, or reads back
        differently.
        """
        try:
            dumped = self._write(value)
        except Exception as exc:  # noqa: BLE001 — serializers are the user's
            reason = f"{self._path_of(path_to_unwritable(self._write, value))}: {_failure(exc)}"
            raise self._serialization_error(reason) from None
        if self._wraps:
            dumped = {_ITEMS: dumped}
        elif not isinstance(dumped, dict):
            reason = f"value: it must be of type {self.name}, not {display(type(value))}"
            if is_record(value):
                reason = f"its serializer returns {type(dumped).__name__}, not an object; annotate its return type"
            raise self._serialization_error(reason)
        stored, encoded = EncodedDict.of(cast("dict[str, Any]", dumped))
        try:
            got = self._read(self._content(decode_value(encoded)))
        except Exception as exc:  # noqa: BLE001 — validators are the user's
            raise self._serialization_error(self._reason(exc)) from None
        if not are_quickly_equal(value, got):
            self._check_equivalent(value, got)
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

    def _serialization_error(self, reason: str) -> SerializationError:
        return SerializationError(f"cannot serialize the value as {self.name}: {reason}")

    def _content(self, stored: Mapping[str, Any]) -> Any:
        return stored[_ITEMS] if self._wraps else stored

    def _check_equivalent(self, value: T, got: T) -> None:
        @cache
        def from_python_form() -> T:
            return self._accept(self._write(value, mode="python"))

        differences = Differences(self._excluded)
        for difference in differences.between(value, got):
            # pydantic does not validate the fields of an instance, so convert it to plain objects first.
            convert = from_python_form if difference.steps else partial(self._accept, value)
            if not self._is_conversion(difference, convert):
                raise self._serialization_error(self._describe_difference(difference))
        if differences.by_identity and self._write(got) != self._write(value):
            reason = "value: it contains objects without __eq__, and their JSON differs when read back"
            raise self._serialization_error(reason)

    def _is_conversion(self, difference: Difference, convert: Callable[[], T]) -> bool:
        """Return whether the part is not of its type, and reads back as the type converts it, as a list to a tuple.

        That happens with defaults, which pydantic does not validate, and with values assigned without validation.
        """
        put, got, steps = difference
        # A value of one type of a union must not become one of another.
        if self._has_unions or not _may_be_converted(put, got) or any(step.place is Place.PRIVATE for step in steps):
            return False
        # Converting to plain objects hides the classes of the parts.
        if steps and any(map(is_record, all_parts_of(put))):
            return False
        try:
            converted = part_at(convert(), steps)
        except Exception:  # noqa: BLE001 — cannot be converted
            return False
        return type(converted) is type(got) and not any(Differences(self._excluded).between(converted, got))

    def _describe_difference(self, difference: Difference) -> str:
        path = self._path_of(difference.steps)
        if any(step.place is Place.PRIVATE for step in difference.steps):
            return f"{path}: a private attribute is not stored, and this one would differ after reading"
        put, got = type(difference.put), type(difference.got)
        if put is got is dict:
            return f"{path}: its keys would be read as other keys, because JSON keys are strings"
        if put is dict and is_record(difference.got):
            return f"{path}: this dict would be read as {display(got)}; put an instance of {display(got)}, not a dict"
        read_as = "another" if put is got else display(got)
        return f"{path}: this {display(put)} would be read as {read_as}; name its type or give it a serializer"

    def _reason(self, error: Exception) -> str:
        """Return the path and kind of each error without any part of the value: a dict key is shown as `[*]`."""
        if not isinstance(error, ValidationError):
            return _failure(error)
        details = error.errors(include_url=False, include_context=False, include_input=False)
        shown = [f"{self._path(each['loc'], each['type'])}: {each['type']}" for each in details[:_MAX_SHOWN_ERRORS]]
        if len(details) > _MAX_SHOWN_ERRORS:
            shown.append(f"and {len(details) - _MAX_SHOWN_ERRORS} more")
        return ", ".join(shown)

    def _path(self, steps: tuple[int | str, ...], kind: str) -> str:
        path = "value"
        for place, step in enumerate(steps, start=1):
            if isinstance(step, int):
                path += f"[{step}]"
            elif kind in _UNKNOWN_NAME_ERRORS and place == len(steps):
                path += _name_step(step)
            else:
                path += self._key_step(step)
        return _shortened(path)

    def _path_of(self, steps: Sequence[Step]) -> str:
        path = "value"
        for place, name in steps:
            if place is Place.INDEX:
                path += f"[{name}]"
            elif place is not Place.ROOT:
                path += self._key_step(name) if place in {Place.KEY, Place.ELEMENT} else _name_step(name)
        return _shortened(path)

    def _key_step(self, key: object) -> str:
        return _name_step(key) if isinstance(key, str) and key in self._known_names else "[*]"

    @cached_property
    def _known_names(self) -> frozenset[str]:
        return known_names(self._schema)


def _type_adapter(of: Any, name: str) -> tuple[TypeAdapter[Any], Mapping[str, Any]]:
    """Return pydantic's adapter of the type, and its core schema."""
    reason = "it is not a type"
    # Before 2.11, pydantic accepted an instance in place of its class.
    if not hasattr(cast("object", of).__class__, "__pydantic_core_schema__"):
        try:
            adapter: TypeAdapter[Any] = TypeAdapter(of)
            # Raises if the type is not fully defined. Before pydantic 2.10, `core_schema` raises.
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
    """Return the first sentence of pydantic's message, unless it may contain an object that is not a type."""
    if isinstance(error, SchemaError):
        return "its core schema is invalid"
    reason = str(error).splitlines()[0].split(". ")[0]
    if getattr(error, "code", None) == "schema-for-unknown-type" and " for <class " not in reason:
        return "a part of it is not a type"
    return reason.rstrip(".")


def _reader(adapter: TypeAdapter[Any], schema: Mapping[str, Any], *, aliases: bool) -> tuple[Any, dict[str, Any]]:
    """Return the validator of the type, and its options."""
    names = {"by_alias": aliases, "by_name": True}
    reading: Any = schema
    if not _HAS_BY_NAME:
        names = {}
        reading = populated_by_name(schema, and_aliases=aliases)
    if has_fields_without_init(schema):
        reading = with_init_fields_read(reading)
    return adapter if reading is schema else SchemaValidator(reading, **_WITHOUT_PREBUILT), names


def _may_be_converted(put: object, got: object) -> bool:
    """Return whether `got` may be a lossless conversion of `put`. Not between numbers: a float may round an integer."""
    if isinstance(put, Number) and isinstance(got, Number):
        return False
    return not (type(put) is type(got) or is_record(put) or is_record(got) or isinstance(put, Iterator))


def display(of: Any) -> str:
    """Return the type for a message. An object that is not a type may contain secrets, so only its class is shown."""
    if get_origin(of) is Annotated:
        return display(get_args(of)[0])
    if get_origin(of) is not None or type(of).__module__ in {"typing", "typing_extensions"}:
        return _shortened(str(of))
    return _shortened(of.__qualname__) if isinstance(of, type) else f"an instance of {type(of).__qualname__}"


def _is_type(of: Any) -> bool:
    return isinstance(of, type) or get_origin(of) is not None or type(of).__module__ in {"typing", "typing_extensions"}


def _name_step(name: str) -> str:
    return f".{name}" if name.isidentifier() else f"[{name!a:.100}]"


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN_CHARACTERS else f"{text[:_MAX_SHOWN_CHARACTERS]}…"


def _failure(error: Exception) -> str:
    """Return the message of a serializer's or validator's exception if it is known to show no value, or its class."""
    message = str(error)
    return message if message.startswith(_PREFIXES_OF_SAFE_MESSAGES) else type(error).__name__


class _OutermostType(GenerateJsonSchema):
    """Accepts parts that have no JSON schema, such as callables: only the outermost `type` is needed."""

    ignored_warning_kinds: set[JsonSchemaWarningKind] = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 — as pydantic declares it

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> JsonSchemaValue:
        del schema, error_info
        return {}


def _is_object(adapter: TypeAdapter[Any], schema: Mapping[str, Any]) -> bool:
    """Return whether the values of the type are JSON objects, by the JSON schema that pydantic generates for it.

    Recursive types and unions of objects are not. This is part of the stored format.
    """
    if _json_schema_type(adapter, "validation") != "object":
        return False
    # Earlier versions checked only that, and could not put values that are read as an object but not written as one.
    return not has_serializers(schema) or _json_schema_type(adapter, "serialization") in {"object", None}


def _json_schema_type(adapter: TypeAdapter[Any], mode: Literal["validation", "serialization"]) -> object:
    try:
        return adapter.json_schema(schema_generator=_OutermostType, mode=mode).get("type")
    except Exception:  # noqa: BLE001 — a type may customize or omit its JSON schema
        return None
