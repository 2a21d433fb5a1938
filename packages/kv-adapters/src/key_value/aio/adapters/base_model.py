"""BaseModelAdapter: pydantic models, or lists of a model."""

from typing import Any, TypeVar, get_args, get_origin

from key_value.aio.adapters.base import BasePydanticAdapter
from key_value.aio.adapters.json_form import JsonForm, display
from key_value.aio.protocols import AsyncKeyValue
from pydantic import BaseModel

__all__ = ["BaseModelAdapter"]

T = TypeVar("T", bound="BaseModel | list[Any]")


class BaseModelAdapter(BasePydanticAdapter[T]):
    """Instances of a pydantic model, or lists of them. A list is stored as `{"items": …}`."""

    def __init__(
        self,
        key_value: AsyncKeyValue,
        pydantic_model: type[T],
        default_collection: str | None = None,
        raise_on_validation_error: bool = False,  # noqa: FBT001, FBT002 — public
    ) -> None:
        """Like PydanticAdapter, for a BaseModel subclass or a list of it. Raises TypeError for any other type."""
        model: Any = get_args(pydantic_model)[0] if get_origin(pydantic_model) is list else pydantic_model
        if get_origin(model) is not None or not isinstance(model, type) or not _is_model(model):
            message = f"pydantic_model must be a subclass of BaseModel or a list of one, not {display(pydantic_model)}"
            raise TypeError(message)
        super().__init__(key_value, JsonForm(pydantic_model), default_collection, raise_on_validation_error)


def _is_model(model: type) -> bool:
    # BaseModel itself has no fields: every value would be stored as an empty object.
    return issubclass(model, BaseModel) and model is not BaseModel
