"""What the core schema of a type tells: the names in it, and how its JSON is read.

A core schema is what pydantic builds its validators from: dicts with a `type`, nested.
"""

from collections.abc import Iterator, Mapping
from typing import Any, cast

__all__ = [
    "has_ambiguous_aliases",
    "has_serializers",
    "has_unreadable_aliases",
    "known_names",
    "reading_names",
    "reads_like_json",
]

CoreSchema = Mapping[str, Any]

# Their values are no schemas, or play no part in validation.
_OPAQUE = frozenset({"computed_fields", "config", "default", "expected", "metadata", "serialization"})

_WITH_FIELDS = frozenset({"dataclass-args", "model-fields", "typed-dict"})
_FIELD = frozenset({"dataclass-field", "model-field", "typed-dict-field"})

_SCALARS = frozenset({"none", "bool", "int", "float", "str", "literal"})

# Read from decoded JSON, each of these gives what it gives when it is read from the JSON text.
_ALIKE = frozenset(
    {
        *("any", "list", "dict", "nullable", "default", "definitions", "definition-ref", "model", "tagged-union"),
        *_SCALARS,
        *_WITH_FIELDS,
        *_FIELD,
    }
)
# So does each of these, unless it is strict. Not a timedelta, which takes a bool that is no text, nor a decimal, which
# keeps the zero of 1.0.
_ALIKE_UNLESS_STRICT = frozenset(
    {"dataclass", "date", "datetime", "enum", "frozenset", "set", "time", "tuple", "url", "uuid"}
)


def _schemas(schema: object) -> Iterator[CoreSchema]:
    """The schema and every schema inside it."""
    pending = [schema]
    while pending:
        node = pending.pop()
        if isinstance(node, Mapping):
            mapping = cast("Mapping[str, object]", node)
            opaque: frozenset[str] = frozenset()
            # Other mappings are from the names of fields or choices, which may be any, to their schemas.
            if isinstance(mapping.get("type"), str):
                yield mapping
                opaque = _OPAQUE
            pending.extend(child for name, child in mapping.items() if name not in opaque)
        elif isinstance(node, (list, tuple)):
            pending.extend(cast("list[object] | tuple[object, ...]", node))


def reads_like_json(schema: CoreSchema) -> bool:
    """Whether validating decoded JSON as Python objects gives what validating the JSON text gives, for any JSON.

    Where it does not: a `datetime | str` takes every text for a str, a strict model refuses its own JSON, and a type
    may have another validator for JSON.
    """
    strict = converts = False
    for node in _schemas(schema):
        kind: str = node["type"]
        if kind == "union":
            if not all(_without_label(choice)["type"] in _SCALARS for choice in node["choices"]):
                return False
        elif kind == "literal":
            if not all(type(value) in {str, int, bool, type(None)} for value in node["expected"]):
                return False
        elif kind in _ALIKE_UNLESS_STRICT or (kind == "dict" and not _has_text_keys(node)):
            converts = True
        elif kind not in _ALIKE:
            return False
        strict = strict or _is_strict(node)
    return not (strict and converts)


def _without_label(choice: CoreSchema | tuple[CoreSchema, str]) -> CoreSchema:
    return choice[0] if isinstance(choice, tuple) else choice


def _has_text_keys(dictionary: CoreSchema) -> bool:
    keys: CoreSchema = dictionary.get("keys_schema", {"type": "any"})
    return keys["type"] in {"any", "str"}


def _is_strict(node: CoreSchema) -> bool:
    config: Mapping[str, Any] = node.get("config") or {}
    return bool(node.get("strict") or config.get("strict"))


def has_serializers(schema: CoreSchema) -> bool:
    """Whether some part is written in another way than its kind is by itself."""
    return any("serialization" in node for node in _schemas(schema))


def _fields(node: CoreSchema) -> Iterator[tuple[str, CoreSchema]]:
    if node["type"] == "dataclass-args":
        yield from ((field["name"], field) for field in node["fields"])
    elif node["type"] in _WITH_FIELDS:
        yield from node["fields"].items()


def _paths(field: CoreSchema) -> list[list[str | int]]:
    """Where the field is read from, besides its name: each alias as the steps from the object to it."""
    alias: Any = field.get("validation_alias", [])
    if isinstance(alias, str):
        return [[alias]]
    return alias if not alias or isinstance(alias[0], list) else [alias]


def known_names(schema: CoreSchema) -> frozenset[str]:
    """The names that the type itself brings: of fields, aliases, tags and types."""
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
    """Whether some field would be written under an alias that it is not read by."""
    return any(
        alias != name and [alias] not in _paths(field)
        for node in _schemas(schema)
        for name, field in _fields(node)
        for alias in [field.get("serialization_alias", name)]
    )


def has_ambiguous_aliases(schema: CoreSchema) -> bool:
    """Whether some alias is the name of another field, which would be read in its place."""
    for node in _schemas(schema):
        fields = dict(_fields(node))
        if any(path[0] != name and path[0] in fields for name, field in fields.items() for path in _paths(field)):
            return True
    return False


def reading_names(schema: Any, *, and_aliases: bool) -> Any:
    """The schema, except that fields with an alias are read by their names, too or only. For pydantic before 2.11."""
    if isinstance(schema, Mapping):
        mapping = cast("Mapping[str, object]", schema)
        left = _OPAQUE if isinstance(mapping.get("type"), str) else frozenset[str]()
        copied = {
            name: child if name in left else reading_names(child, and_aliases=and_aliases)
            for name, child in mapping.items()
        }
        if mapping.get("type") in _WITH_FIELDS:
            copied["populate_by_name"] = True
        elif mapping.get("type") in _FIELD and not and_aliases:
            copied.pop("validation_alias", None)
        return copied
    if isinstance(schema, (list, tuple)):
        sequence = cast("list[object] | tuple[object, ...]", schema)
        return type(sequence)(reading_names(child, and_aliases=and_aliases) for child in sequence)
    return schema
