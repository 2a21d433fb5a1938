"""Facts from the core schema of a type: the names in it, and how its JSON is read.

pydantic builds its validators from a core schema: nested dicts with a `type`.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

__all__ = [
    "has_ambiguous_aliases",
    "has_fields_without_init",
    "has_serializers",
    "has_unions",
    "has_unreadable_aliases",
    "known_names",
    "left_out_fields",
    "reading_names",
    "reads_like_json",
    "with_init",
]

CoreSchema = Mapping[str, Any]

# Their values are no schemas, or play no part in validation.
_OPAQUE = frozenset({"computed_fields", "config", "default", "expected", "metadata", "serialization"})

_WITH_FIELDS = frozenset({"dataclass-args", "model-fields", "typed-dict"})
_FIELD = frozenset({"dataclass-field", "model-field", "typed-dict-field"})

_RECORD = frozenset({"dataclass", "model"})

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
    """Whether validating decoded JSON gives the same result as validating the JSON text, for any JSON.

    It does not where a `datetime | str` accepts every text as a str, a strict model refuses its own JSON, or a type has
    another validator for JSON.
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


def has_unions(schema: CoreSchema) -> bool:
    """Whether some part may be of one of several types, besides None."""
    return any(node["type"] == "union" for node in _schemas(schema))


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


def left_out_fields(schema: CoreSchema) -> dict[type, frozenset[str]]:
    """By class, the fields that are not written because the type says so."""
    return {
        node["cls"]: frozenset(
            name for name, field in _fields(_with_fields(node)) if field.get("serialization_exclude") is True
        )
        for node in _schemas(schema)
        if node["type"] in _RECORD
    }


def _with_fields(node: CoreSchema) -> CoreSchema:
    """The schema with the fields of a model or dataclass, inside any validators."""
    inner: CoreSchema = node
    while inner["type"] not in _WITH_FIELDS and "schema" in inner:
        inner = inner["schema"]
    return inner


def has_fields_without_init(schema: CoreSchema) -> bool:
    """Whether a dataclass has fields that are written and, by `init=False`, not read."""
    return any(field.get("init") is False for node in _schemas(schema) for _, field in _fields(node))


def with_init(schema: Any) -> Any:
    """The schema, except that fields with `init=False` are read where there is something to read."""

    def change(node: dict[str, Any]) -> None:
        if node["type"] == "dataclass-field":
            node.pop("init", None)

    return _changed(schema, change)


def reading_names(schema: Any, *, and_aliases: bool) -> Any:
    """The schema, except that fields with an alias are read by their names, too or only. For pydantic before 2.11."""

    def change(node: dict[str, Any]) -> None:
        if node["type"] in _WITH_FIELDS:
            node["populate_by_name"] = True
        elif node["type"] in _FIELD and not and_aliases:
            node.pop("validation_alias", None)

    return _changed(schema, change)


def _changed(schema: Any, change: Callable[[dict[str, Any]], None]) -> Any:
    """A copy, in which each schema has been changed."""
    if isinstance(schema, Mapping):
        mapping = cast("Mapping[str, object]", schema)
        is_schema = isinstance(mapping.get("type"), str)
        left = _OPAQUE if is_schema else frozenset[str]()
        copied = {name: child if name in left else _changed(child, change) for name, child in mapping.items()}
        if is_schema:
            change(copied)
        return copied
    if isinstance(schema, (list, tuple)):
        sequence = cast("list[object] | tuple[object, ...]", schema)
        return type(sequence)(_changed(child, change) for child in sequence)
    return schema
