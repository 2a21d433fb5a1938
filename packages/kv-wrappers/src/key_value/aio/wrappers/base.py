"""BaseWrapper, under its import path of earlier versions."""

from key_value.aio.core.wrappers import BaseWrapper

__all__ = ["BaseWrapper"]
