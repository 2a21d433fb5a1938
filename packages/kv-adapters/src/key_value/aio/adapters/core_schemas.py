"""Inspection of a type's core schema: the names in it, and how its JSON is read.

A core schema, from which pydantic builds its validators, is made of nested dicts with a `type`.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

__all__ = [
    "excluded_fields",
    "has_ambiguous_aliases",
    "has_fields_without_init",
    "has_serializers",
    "has_unions",
    "has_unreadable_aliases",
    "known_names",
    "populated_by_name",
    "reads_like_json",
    "with_init_fields_read",
]

CoreSchema = Mapping[str, Any]

# Fields of a schema with values that are not schemas, or that do not affect validation.
_OPAQUE_FIELDS = frozenset({"computed_fields", "config", "default", "expected", "metadata", "serialization"})

_TYPES_WITH_FIELDS = frozenset({"dataclass-args", "model-fields", "typed-dict"})
_FIELD_TYPES = frozenset({"dataclass-field", "model-field", "typed-dict-field"})

_RECORD_TYPES = frozenset({"dataclass", "model"})

_SCALARS = frozenset({"none", "bool", "int", "float", "str", "literal"})

# Types of schemas that give the same result for decoded JSON as for the JSON text.
_SAME_FROM_JSON = frozenset(
    {
        *("any", "list", "dict", "nullable", "default", "definitions", "definition-ref", "model", "tagged-union"),
        *_SCALARS,
        *_TYPES_WITH_FIELDS,
        *_FIELD_TYPES,
    }
)
# These too, unless they are strict. Not timedelta, which accepts a decoded bool but not `true`, and not decimal, which
# keeps the trailing zero of a decoded 1.0.
_SAME_FROM_JSON_UNLESS_STRICT = frozenset(
    {"dataclass", "date", "datetime", "enum", "frozenset", "set", "time", "tuple", "url", "uuid"}
)


def _schemas(schema: object) -> Iterator[CoreSchema]:
    """Yield the schema and every schema inside it."""
    pending = [schema]
    while pending:
        node = pending.pop()
        if isinstance(node, Mapping):
            mapping = cast("Mapping[str, object]", node)
            opaque: frozenset[str] = frozenset()
            # Other mappings map arbitrary names of fields or choices to their schemas.
            if isinstance(mapping.get("type"), str):
                yield mapping
                opaque = _OPAQUE_FIELDS
            pending.extend(child for name, child in mapping.items() if name not in opaque)
        elif isinstance(node, (list, tuple)):
            pending.extend(cast("list[object] | tuple[object, ...]", node))


def reads_like_json(schema: CoreSchema) -> bool:
    """Return whether validating decoded JSON always gives the same result as validating the JSON text.

    Exceptions are a `datetime | str`, which accepts every decoded string as a str, a strict model, which rejects its
    own decoded JSON, and a type with a separate validator for JSON.
    """
    strict = converts = False
    for node in _schemas(schema):
        kind: str = node["type"]
        if kind == "union":
            if not all(_choice_schema(choice)["type"] in _SCALARS for choice in node["choices"]):
                return False
        elif kind == "literal":
            if not all(type(value) in {str, int, bool, type(None)} for value in node["expected"]):
                return False
        elif kind in _SAME_FROM_JSON_UNLESS_STRICT or (kind == "dict" and not _has_string_keys(node)):
            converts = True
        elif kind not in _SAME_FROM_JSON:
            return False
        strict = strict or _is_strict(node)
    return not (strict and converts)


def _choice_schema(choice: CoreSchema | tuple[CoreSchema, str]) -> CoreSchema:
    return choice[0] if isinstance(choice, tuple) else choice


def _has_string_keys(dictionary: CoreSchema) -> bool:
    keys: CoreSchema = dictionary.get("keys_schema", {"type": "any"})
    return keys["type"] in {"any", "str"}


def _is_strict(node: CoreSchema) -> bool:
    config: Mapping[str, Any] = node.get("config") or {}
    return bool(node.get("strict") or config.get("strict"))


def has_serializers(schema: CoreSchema) -> bool:
    """Return whether some part has a custom serializer."""
    return any("serialization" in node for node in _schemas(schema))


def has_unions(schema: CoreSchema) -> bool:
    """Return whether some part is a union of several types other than None."""
    return any(node["type"] == "union" for node in _schemas(schema))


def _fields(node: CoreSchema) -> Iterator[tuple[str, CoreSchema]]:
    if node["type"] == "dataclass-args":
        yield from ((field["name"], field) for field in node["fields"])
    elif node["type"] in _TYPES_WITH_FIELDS:
        yield from node["fields"].items()


def _paths(field: CoreSchema) -> list[list[str | int]]:
    """Return the validation aliases of the field, each as the path of steps from the object."""
    alias: Any = field.get("validation_alias", [])
    if isinstance(alias, str):
        return [[alias]]
    return alias if not alias or isinstance(alias[0], list) else [alias]


def known_names(schema: CoreSchema) -> frozenset[str]:
    """Return the names that the type itself defines: of fields, aliases, tags and types."""
    names: set[str] = set()
    for node in _schemas(schema):
        names.add(node["type"])
        names.add(getattr(node.get("cls"), "__name__", ""))
        if node["type"] == "tagged-union":
            names.update(tag for tag in node["choices"] if isinstance(tag, str))
        for name, field in _fields(node):
            names.add(name)
            names.update(step for path in _paths(field) for step in path if isinstance(step, str))
    return frozenset(names)


def has_unreadable_aliases(schema: CoreSchema) -> bool:
    """Return whether some field would be written under an alias from which it is not read."""
    return any(
        alias != name and [alias] not in _paths(field)
        for node in _schemas(schema)
        for name, field in _fields(node)
        for alias in [field.get("serialization_alias", name)]
    )


def has_ambiguous_aliases(schema: CoreSchema) -> bool:
    """Return whether some alias is also the name of another field, which would be read instead."""
    for node in _schemas(schema):
        fields = dict(_fields(node))
        if any(path[0] != name and path[0] in fields for name, field in fields.items() for path in _paths(field)):
            return True
    return False


def excluded_fields(schema: CoreSchema) -> dict[type, frozenset[str]]:
    """Return, by class, the fields with `exclude=True`, which are not written."""
    return {
        node["cls"]: frozenset(
            name for name, field in _fields(_with_fields(node)) if field.get("serialization_exclude") is True
        )
        for node in _schemas(schema)
        if node["type"] in _RECORD_TYPES
    }


def _with_fields(node: CoreSchema) -> CoreSchema:
    """Return the schema with the fields of a model or dataclass, unwrapped from validators."""
    inner: CoreSchema = node
    while inner["type"] not in _TYPES_WITH_FIELDS and "schema" in inner:
        inner = inner["schema"]
    return inner


def has_fields_without_init(schema: CoreSchema) -> bool:
    """Return whether a dataclass has fields with `init=False`, which are written but not read."""
    return any(field.get("init") is False for node in _schemas(schema) for _, field in _fields(node))


def with_init_fields_read(schema: Any) -> Any:
    """Return a copy of the schema that also reads fields with `init=False` if they are present."""

    def change(node: dict[str, Any]) -> None:
        if node["type"] == "dataclass-field":
            node.pop("init", None)

    return _transformed(schema, change)


def populated_by_name(schema: Any, *, and_aliases: bool) -> Any:
    """Return a copy of the schema that reads fields by name, and also by alias if `and_aliases`.

    For pydantic before 2.11.
    """

    def change(node: dict[str, Any]) -> None:
        if node["type"] in _TYPES_WITH_FIELDS:
            node["populate_by_name"] = True
        elif node["type"] in _FIELD_TYPES and not and_aliases:
            node.pop("validation_alias", None)

    return _transformed(schema, change)


def _transformed(schema: Any, change: Callable[[dict[str, Any]], None]) -> Any:
    """Return a copy with `change` applied to each schema."""
    if isinstance(schema, Mapping):
        mapping = cast("Mapping[str, object]", schema)
        is_schema = isinstance(mapping.get("type"), str)
        opaque = _OPAQUE_FIELDS if is_schema else frozenset[str]()
        copied = {name: child if name in opaque else _transformed(child, change) for name, child in mapping.items()}
        if is_schema:
            change(copied)
        return copied
    if isinstance(schema, (list, tuple)):
        sequence = cast("list[object] | tuple[object, ...]", schema)
        return type(sequence)(_transformed(child, change) for child in sequence)
    return schema
