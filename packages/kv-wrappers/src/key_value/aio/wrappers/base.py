"""The base that wrappers are written on, by the name that it had in earlier versions."""

from key_value.aio.core.wrappers import BaseWrapper

__all__ = ["BaseWrapper"]
