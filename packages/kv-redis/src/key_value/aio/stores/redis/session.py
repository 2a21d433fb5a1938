"""The interface between a store and the Redis connections."""

from abc import abstractmethod

from key_value.aio.core.numbers import scaled_timeout
from key_value.aio.core.resp.session import RespSession
from key_value.aio.stores.redis.driver import NoScriptError

__all__ = ["Session"]


class Session(RespSession):
    """Raises the exceptions of `connection` in addition to the driver's."""

    def __init__(self, seconds: float | None) -> None:
        """`seconds` is the time limit of a command, granted again for each full thousand of its entries."""
        self._seconds = seconds

    @abstractmethod
    async def close(self) -> None:
        """Wait for the calls in flight, then close the connections."""

    @property
    def idle(self) -> bool:
        """Whether no call is in flight."""
        return True

    def release(self) -> None:
        """Drop the connections, which their event loop cannot close any more."""

    def is_unknown_script(self, error: Exception) -> bool:
        return isinstance(error, NoScriptError)

    def _limit(self, entries: int) -> float | None:
        return scaled_timeout(self._seconds, entries)
