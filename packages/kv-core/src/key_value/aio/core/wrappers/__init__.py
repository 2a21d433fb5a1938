"""What a wrapper is written on: one base that passes through, and one each for names, values and calls."""

from key_value.aio.core.wrappers.base import BaseWrapper
from key_value.aio.core.wrappers.calls import BaseCallWrapper, Call
from key_value.aio.core.wrappers.names import BaseNameWrapper
from key_value.aio.core.wrappers.values import BaseValueWrapper

__all__ = ["BaseCallWrapper", "BaseNameWrapper", "BaseValueWrapper", "BaseWrapper", "Call"]
