"""One secrets engine, KV version 2: requests with a time limit, repeated where that is safe.

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
from key_value.aio.core.requests import Sender, map_together
from key_value.aio.errors import DeserializationError, StoreSetupError
from key_value.aio.stores.vault.errors import AnswerError, is_unavailable, was_not_done
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

# The versions of a path with so many are asked for before they are destroyed; those of others are all named.
_MANY_VERSIONS = 100

_CAPABILITIES_OF = {"GET": "read", "LIST": "list", "DELETE": "delete", "POST": "update"}


class Secret(NamedTuple):
    """The latest version of a path."""

    version: int
    created_time: str
    data: dict[str, Any] | None
    """None where the version was deleted or destroyed."""

    @property
    def text(self) -> str:
        """What is stored for the entry. Raises DeserializationError for a secret without it."""
        text = (self.data or {}).get(VALUE)
        if not isinstance(text, str):
            message = f"the stored secret has no field {VALUE!r} that is a string"
            raise DeserializationError(message)
        return text


class Engine:
    """A secrets engine in the event loop that its transport belongs to, with so many requests under way at once."""

    def __init__(self, mount_point: str, get_transport: ClientGetter, *, requests: int, seconds: float | None) -> None:
        self.mount_point = mount_point
        self.get_transport = get_transport
        self.requests = requests
        self._seconds = seconds
        self.sender: Sender = Sender(
            requests,
            service_error=AnswerError,
            lost_connection=TransportError,
            was_not_done=was_not_done,
            is_unavailable=is_unavailable,
        )

    @asynccontextmanager
    async def limit(self, entries: int = 1) -> "AsyncGenerator[Requests, None]":
        """The requests of one operation, which together have the time for so many entries."""
        # Making the transport is not a part of an operation: the first one waits for it, as long as it takes.
        await self.get_transport()
        seconds = scaled_timeout(self._seconds, entries)
        if seconds is None:
            yield Requests(self, None)
            return
        async with timeout(seconds):
            yield Requests(self, get_running_loop().time() + seconds)


class Requests:
    """What can be asked of the engine, up to a moment of the event loop's time."""

    def __init__(self, engine: Engine, deadline: float | None) -> None:
        self._engine = engine
        self._deadline = deadline

    async def read(self, path: str) -> Secret | None:
        """The latest version; None where there never was one, or where all has been removed."""
        answer = await self._ask("GET", "data", path, accepts=_tells_of_secret)
        found = answer.data
        if not found:
            return None
        metadata = found.get("metadata")
        if not isinstance(metadata, dict):
            raise self._not_version_2()
        metadata = cast("dict[str, Any]", metadata)
        return Secret(metadata["version"], metadata["created_time"], found.get("data"))

    async def write(self, path: str, data: bytes, version: int | None = None) -> bool:
        """Store the data, if the latest version is this one; 0 if there never was one. Whether it was stored."""
        if version is None:
            answer = await self._ask("POST", "data", path, b'{"data": %b}' % data)
        else:
            body = b'{"options": {"cas": %d}, "data": %b}' % (version, data)
            answer = await self._ask("POST", "data", path, body, repeatable=False, accepts=_tells_of_another_version)
        if answer.status == _BAD_REQUEST:
            return False
        if "version" not in answer.data:
            # One that has no versions has stored all of the body, whatever was there.
            raise self._not_version_2()
        return True

    async def destroy(self, path: str, latest: int) -> None:
        """Remove what all versions hold, up to this one; the versions go on being counted."""
        versions: list[int] = list(range(1, latest + 1))
        if latest > _MANY_VERSIONS:
            answer = await self._ask("GET", "metadata", path, accepts=_is_not_found)
            kept = answer.data.get("versions", {})
            versions = [version for version in map(int, kept) if version <= latest]
        if versions:
            await self._ask("POST", "destroy", path, json.dumps({"versions": versions}).encode())

    async def remove(self, path: str) -> None:
        """Remove the path with all of its versions, whatever they are meanwhile."""
        await self._ask("DELETE", "metadata", path)

    async def list(self, directory: str) -> "list[str]":
        """What is in the directory, which is empty or ends in a slash: paths, and directories with a slash behind."""
        answer = await self._ask("LIST", "metadata", directory, accepts=_is_not_found)
        return answer.data.get("keys") or []

    async def each(self, handle: Callable[[T], Awaitable[R]], things: Iterable[T]) -> "Sequence[R]":
        """What `handle` gives for each, in order, as many at once as there may be. The first error ends the others."""
        return await map_together(handle, things, self._engine.requests)

    def _not_version_2(self) -> StoreSetupError:
        message = f"the secrets engine at {self._engine.mount_point} is not KV version 2"
        return StoreSetupError(message)

    async def ask_system(self, method: str, path: str, body: bytes | None = None) -> Answer:
        """The answer of Vault itself, with whatever status."""
        return await self._send(method, f"sys/{quote(path, safe='/~')}", body, "ask", lambda _: True)

    async def _ask(
        self,
        method: str,
        kind: str,
        path: str,
        body: bytes | None = None,
        *,
        repeatable: bool = True,
        accepts: Callable[[Answer], bool] = lambda _: False,
    ) -> Answer:
        """The answer about a path. `accepts` says which answers with an error are what was asked for."""
        mount_point = self._engine.mount_point
        right = f"{_CAPABILITIES_OF[method]} {mount_point}/{kind}"
        target = quote(f"{mount_point}/{kind}/{path}", safe="/~")
        if method == "LIST":
            # Not every proxy knows the method, for which Vault has this spelling.
            method, target = "GET", f"{target}?list=true"
        try:
            return await self._send(method, target, body, right, accepts, repeatable=repeatable)
        except AnswerError as error:
            if error.answer.status == _FORBIDDEN:
                # It says the same of a token that is none and of a right that is missing.
                looked_up = await self._send("GET", "auth/token/lookup-self", None, "ask", lambda _: True)
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
        async def ask() -> Answer:
            transport = await self._engine.get_transport()
            answer: Answer = await transport.request(method, target, body)
            is_good = answer.status < _FIRST_ERROR and (bool(answer.body) or method in ("POST", "DELETE"))
            if not (is_good or accepts(answer)):
                raise AnswerError(right, answer)
            return answer

        return await self._engine.sender.send(ask, self._deadline, repeatable=repeatable)


def _is_not_found(answer: Answer) -> bool:
    return answer.status == _NOT_FOUND and answer.body.get("errors") == []


def _tells_of_secret(answer: Answer) -> bool:
    """Whether it says that there is no such path, or that its latest version is deleted or destroyed."""
    return _is_not_found(answer) or (answer.status == _NOT_FOUND and bool(answer.data))


def _tells_of_another_version(answer: Answer) -> bool:
    return answer.status == _BAD_REQUEST and "check-and-set" in answer.errors
