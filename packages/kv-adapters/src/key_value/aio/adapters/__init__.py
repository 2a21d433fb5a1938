"""Adapters: typed values over a store, and a store that raises for missing entries."""

from key_value.aio.adapters.base import TypedVersioned
from key_value.aio.adapters.base_model import BaseModelAdapter
from key_value.aio.adapters.dataclass import DataclassAdapter
from key_value.aio.adapters.pydantic import PydanticAdapter
from key_value.aio.adapters.raise_on_missing import RaiseOnMissingAdapter

__all__ = ["BaseModelAdapter", "DataclassAdapter", "PydanticAdapter", "RaiseOnMissingAdapter", "TypedVersioned"]
