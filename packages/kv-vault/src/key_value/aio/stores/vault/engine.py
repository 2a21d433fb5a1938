"""Requests to one KV version 2 secrets engine, with a time limit and retried where that is safe.

https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2
"""

import json
import sys
from asyncio import get_running_loop
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, TypeVar, cast
from urllib.parse import quote

from key_value.aio.core.clients import ClientGetter
from key_value.aio.core.numbers import scaled_timeout
from key_value.aio.core.requests import Sender, map_concurrently
from key_value.aio.errors import DeserializationError, StoreSetupError
from key_value.aio.stores.vault.errors import AnswerError, is_unavailable, was_not_executed
from key_value.aio.stores.vault.transports import Answer, TransportError

if sys.version_info >= (3, 11):
    from asyncio import timeout
else:
    from async_timeout import timeout

__all__ = ["VALUE", "Engine", "Requests", "Secret"]

T = TypeVar("T")
R = TypeVar("R")

VALUE = "value"
"""The field of a secret that holds the entry."""

_FORBIDDEN, _NOT_FOUND, _BAD_REQUEST = 403, 404, 400
_FIRST_ERROR = 300

# Up to this number, all versions of a path are named for destruction; above it, the existing ones are queried first.
_MAX_VERSIONS_UNQUERIED = 100

_CAPABILITIES_OF = {"GET": "read", "LIST": "list", "DELETE": "delete", "POST": "update"}


class Secret(NamedTuple):
    """The latest version of a path."""

    version: int
    created_time: str
    data: dict[str, Any] | None
    """None if the version was deleted or destroyed."""

    @property
    def text(self) -> str:
        """The stored text of the entry. Raises DeserializationError if the secret has none."""
        text = (self.data or {}).get(VALUE)
        if not isinstance(text, str):
            message = f"the stored secret has no field {VALUE!r} that is a string"
            raise DeserializationError(message)
        return text


class Engine:
    """A secrets engine, used in the event loop of its transport with at most `requests` requests in flight."""

    def __init__(self, mount_point: str, get_transport: ClientGetter, *, requests: int, seconds: float | None) -> None:
        self.mount_point = mount_point
        self.get_transport = get_transport
        self.requests = requests
        self._seconds = seconds
        self.sender: Sender = Sender(
            requests,
            service_error=AnswerError,
            lost_connection=TransportError,
            was_not_executed=was_not_executed,
            is_unavailable=is_unavailable,
        )

    @asynccontextmanager
    async def limit(self, entries: int = 1) -> "AsyncGenerator[Requests, None]":
        """Yield the requests of one operation, within the time limit for this number of entries."""
        # Creating the transport does not count against the time limit of the first operation.
        await self.get_transport()
        seconds = scaled_timeout(self._seconds, entries)
        if seconds is None:
            yield Requests(self, None)
            return
        async with timeout(seconds):
            yield Requests(self, get_running_loop().time() + seconds)


class Requests:
    """The requests of one operation."""

    def __init__(self, engine: Engine, deadline: float | None) -> None:
        """`deadline` is a time of the event loop's clock, None for no limit."""
        self._engine = engine
        self._deadline = deadline

    async def read(self, path: str) -> Secret | None:
        """Return the latest version; None if the path does not exist or was removed."""
        answer = await self._request("GET", "data", path, accepts=_is_missing_or_deleted)
        found = answer.data
        if not found:
            return None
        metadata = found.get("metadata")
        if not isinstance(metadata, dict):
            raise self._not_version_2()
        metadata = cast("dict[str, Any]", metadata)
        return Secret(metadata["version"], metadata["created_time"], found.get("data"))

    async def write(self, path: str, data: bytes, version: int | None = None) -> bool:
        """Store the data, with a `version` only if it is the latest, 0 for none. Return whether it was stored."""
        if version is None:
            answer = await self._request("POST", "data", path, b'{"data": %b}' % data)
        else:
            body = b'{"options": {"cas": %d}, "data": %b}' % (version, data)
            answer = await self._request("POST", "data", path, body, repeatable=False, accepts=_is_version_mismatch)
        if answer.status == _BAD_REQUEST:
            return False
        if "version" not in answer.data:
            # KV version 1 has ignored the condition and stored the whole body.
            raise self._not_version_2()
        return True

    async def destroy(self, path: str, latest: int) -> None:
        """Destroy the data of all versions up to `latest`. The version numbers continue from there."""
        versions: list[int] = list(range(1, latest + 1))
        if latest > _MAX_VERSIONS_UNQUERIED:
            answer = await self._request("GET", "metadata", path, accepts=_is_not_found)
            existing = answer.data.get("versions", {})
            versions = [version for version in map(int, existing) if version <= latest]
        if versions:
            await self._request("POST", "destroy", path, json.dumps({"versions": versions}).encode())

    async def remove(self, path: str) -> None:
        """Remove the path with all its versions, including concurrently written ones."""
        await self._request("DELETE", "metadata", path)

    async def list(self, directory: str) -> "list[str]":
        """Return the names in the directory, which is empty or ends in a slash; names of directories end in one too."""
        answer = await self._request("LIST", "metadata", directory, accepts=_is_not_found)
        return answer.data.get("keys") or []

    async def each(self, handle: Callable[[T], Awaitable[R]], things: Iterable[T]) -> "Sequence[R]":
        """Return the result of `handle` for each, in order, up to the request limit at once.

        The first error cancels the others.
        """
        return await map_concurrently(handle, things, self._engine.requests)

    def _not_version_2(self) -> StoreSetupError:
        message = f"the secrets engine at {self._engine.mount_point} is not KV version 2"
        return StoreSetupError(message)

    async def ask_system(self, method: str, path: str, body: bytes | None = None) -> Answer:
        """Send a request to Vault's system backend and return the answer, whatever its status."""
        return await self._send(method, f"sys/{quote(path, safe='/~')}", body, "request", lambda _: True)

    async def _request(
        self,
        method: str,
        kind: str,
        path: str,
        body: bytes | None = None,
        *,
        repeatable: bool = True,
        accepts: Callable[[Answer], bool] = lambda _: False,
    ) -> Answer:
        """Send a request for a path. `accepts` decides which error responses are returned instead of raised."""
        mount_point = self._engine.mount_point
        right = f"{_CAPABILITIES_OF[method]} {mount_point}/{kind}"
        target = quote(f"{mount_point}/{kind}/{path}", safe="/~")
        if method == "LIST":
            # Some proxies reject the method LIST, for which Vault accepts this form.
            method, target = "GET", f"{target}?list=true"
        try:
            return await self._send(method, target, body, right, accepts, repeatable=repeatable)
        except AnswerError as error:
            if error.answer.status == _FORBIDDEN:
                # Vault returns the same status for an invalid token and for a missing right.
                looked_up = await self._send("GET", "auth/token/lookup-self", None, "request", lambda _: True)
                error.is_token_valid = looked_up.status != _FORBIDDEN
            raise

    async def _send(
        self,
        method: str,
        target: str,
        body: bytes | None,
        right: str,
        accepts: Callable[[Answer], bool],
        *,
        repeatable: bool = True,
    ) -> Answer:
        async def request() -> Answer:
            transport = await self._engine.get_transport()
            answer: Answer = await transport.request(method, target, body)
            is_good = answer.status < _FIRST_ERROR and (bool(answer.body) or method in ("POST", "DELETE"))
            if not (is_good or accepts(answer)):
                raise AnswerError(right, answer)
            return answer

        return await self._engine.sender.send(request, self._deadline, repeatable=repeatable)


def _is_not_found(answer: Answer) -> bool:
    return answer.status == _NOT_FOUND and answer.body.get("errors") == []


def _is_missing_or_deleted(answer: Answer) -> bool:
    """Whether it says that there is no such path, or that its latest version is deleted or destroyed."""
    return _is_not_found(answer) or (answer.status == _NOT_FOUND and bool(answer.data))


def _is_version_mismatch(answer: Answer) -> bool:
    return answer.status == _BAD_REQUEST and "check-and-set" in answer.errors
