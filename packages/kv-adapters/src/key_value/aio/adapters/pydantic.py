"""PydanticAdapter: values of any type that pydantic can handle."""

from typing import TYPE_CHECKING, TypeVar

from key_value.aio.adapters.base import BasePydanticAdapter
from key_value.aio.adapters.json_form import JsonForm
from key_value.aio.protocols import AsyncKeyValue

if TYPE_CHECKING:
    from typing_extensions import TypeForm

__all__ = ["PydanticAdapter"]

T = TypeVar("T")


class PydanticAdapter(BasePydanticAdapter[T]):
    """Values of any one type: a model, a dataclass, a TypedDict, a list or union of these, a datetime, and so on.

    Values of a type that is not a JSON object are stored as `{"items": …}`.
    """

    def __init__(
        self,
        key_value: AsyncKeyValue,
        pydantic_model: "TypeForm[T]",
        default_collection: str | None = None,
        raise_on_validation_error: bool = False,  # noqa: FBT001, FBT002 — public
    ) -> None:
        """Store values of the type `pydantic_model` in the store `key_value`.

        `default_collection` is the collection used for `collection=None`; None means the store's default collection.
        Raises TypeError for a type that pydantic cannot handle.
        """
        super().__init__(key_value, JsonForm(pydantic_model), default_collection, raise_on_validation_error)
