"""Texts that do not show themselves."""

from typing import Protocol, runtime_checkable

__all__ = ["SecretText", "Text", "plain"]


@runtime_checkable
class SecretText(Protocol):
    """As pydantic's SecretStr."""

    def get_secret_value(self) -> str: ...


Text = str | SecretText


def plain(text: Text | None) -> str | None:
    return text.get_secret_value() if isinstance(text, SecretText) else text
