"""What a store asks of Redis, whoever sends it."""

from abc import abstractmethod

from key_value.aio.core.numbers import scaled_timeout
from key_value.aio.core.resp.session import RespSession
from key_value.aio.stores.redis.driver import NoScriptError

__all__ = ["Session"]


class Session(RespSession):
    """Raises the exceptions of `connection` besides the driver's. A command has `seconds`, once more for each full
    thousand of its entries.
    """

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds

    @abstractmethod
    async def close(self) -> None:
        """Have every call that is under way answered, then release the connections."""

    @property
    def idle(self) -> bool:
        """Whether no call is under way."""
        return True

    def release(self) -> None:
        """Be rid of the connections, which their event loop cannot close."""

    def is_unknown_script(self, error: Exception) -> bool:
        return isinstance(error, NoScriptError)

    def _limit(self, entries: int) -> float | None:
        return scaled_timeout(self._seconds, entries)
