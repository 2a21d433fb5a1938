"""DataclassAdapter: dataclasses, or lists of a dataclass."""

from dataclasses import is_dataclass
from typing import Any, TypeVar, get_args, get_origin

from key_value.aio.adapters.base import BasePydanticAdapter
from key_value.aio.adapters.json_form import JsonForm, display
from key_value.aio.protocols import AsyncKeyValue

__all__ = ["DataclassAdapter"]

T = TypeVar("T")


class DataclassAdapter(BasePydanticAdapter[T]):
    """Instances of a standard library or pydantic dataclass, or lists of them.

    Reads validate values even if the dataclass itself does not. A list is stored as `{"items": …}`.
    """

    def __init__(
        self,
        key_value: AsyncKeyValue,
        dataclass_type: type[T],
        default_collection: str | None = None,
        raise_on_validation_error: bool = False,  # noqa: FBT001, FBT002 — public
    ) -> None:
        """Like PydanticAdapter, for a dataclass or a list of it. Raises TypeError for any other type."""
        element: Any = get_args(dataclass_type)[0] if get_origin(dataclass_type) is list else dataclass_type
        element = get_origin(element) or element
        if not (isinstance(element, type) and is_dataclass(element)):
            message = f"dataclass_type must be a dataclass or a list of one, not {display(dataclass_type)}"
            raise TypeError(message)
        super().__init__(key_value, JsonForm(dataclass_type), default_collection, raise_on_validation_error)
