"""Secret text parameters."""

from typing import Protocol, runtime_checkable

__all__ = ["SecretText", "Text", "plain"]


@runtime_checkable
class SecretText(Protocol):
    """An object that hides its text, such as pydantic's SecretStr."""

    def get_secret_value(self) -> str: ...


Text = str | SecretText


def plain(text: Text | None) -> str | None:
    """Return the text as a str, revealing a secret."""
    return text.get_secret_value() if isinstance(text, SecretText) else text
