"""The base of wrappers, under its name in earlier versions."""

from key_value.aio.core.wrappers import BaseWrapper

__all__ = ["BaseWrapper"]
