"""Base classes of wrappers: a transparent one, and one each for changing names, values and calls."""

from key_value.aio.core.wrappers.base import BaseWrapper
from key_value.aio.core.wrappers.call import Call
from key_value.aio.core.wrappers.calls import BaseCallWrapper
from key_value.aio.core.wrappers.names import BaseNameWrapper
from key_value.aio.core.wrappers.values import BaseValueWrapper

__all__ = ["BaseCallWrapper", "BaseNameWrapper", "BaseValueWrapper", "BaseWrapper", "Call"]
