"""Deprecated: use `key_value.aio.stores.base` for ManagedEntry, and `key_value.aio.core.codec` for JSON."""

import warnings
from collections.abc import Mapping
from typing import Any

from key_value.aio.core.codec import encode_value, load_object
from key_value.aio.core.entry import ManagedEntry

__all__ = ["ManagedEntry", "dump_to_json", "load_from_json"]

warnings.warn(
    f"{__name__} is deprecated: import ManagedEntry from key_value.aio.stores.base", DeprecationWarning, stacklevel=2
)


def dump_to_json(obj: Mapping[str, Any]) -> str:
    """Return the object as JSON. Raises SerializationError, or TypeError if it is not a mapping."""
    encoded = encode_value(obj)
    return encoded if isinstance(encoded, str) else encoded.decode()


def load_from_json(json_str: str) -> dict[str, Any]:
    """Return the object in a JSON text. Raises DeserializationError if the text is not a JSON object."""
    return load_object(json_str, "the text")
