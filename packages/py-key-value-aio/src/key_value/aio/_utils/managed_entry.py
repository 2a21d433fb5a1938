"""Deprecated: ManagedEntry is in `key_value.aio.stores.base`, and JSON in `key_value.aio.core.codec`."""

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
    """The JSON text of an object. Raises SerializationError, or TypeError for what is no mapping."""
    encoded = encode_value(obj)
    return encoded if isinstance(encoded, str) else encoded.decode()


def load_from_json(json_str: str) -> dict[str, Any]:
    """The object in a JSON text. Raises DeserializationError."""
    return load_object(json_str, "the text")
