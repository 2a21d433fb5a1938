"""One bucket: requests with a time limit, repeated where that is safe, several at once where there are many."""

import re
import sys
from asyncio import TimeoutError as AsyncioTimeoutError
from asyncio import get_running_loop
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, TypeVar

from key_value.aio.core.aws.errors import aws_errors, code_of, is_throttled, lost_connection, service_error
from key_value.aio.core.aws.requests import aws_sender
from key_value.aio.core.clients import ClientGetter
from key_value.aio.core.driver_errors import DriverErrors
from key_value.aio.core.numbers import scaled_timeout
from key_value.aio.core.requests import Sender, map_together
from key_value.aio.errors import (
    DeserializationError,
    KeyValueStoreError,
    StoreConnectionError,
    StoreSetupError,
    StoreTimeoutError,
)
from key_value.aio.stores.s3.entries import Seen, StoredEntry, revision_of, seen
from key_value.aio.stores.s3.wire import Way, Wire

if sys.version_info >= (3, 11):
    from asyncio import timeout
else:
    from async_timeout import timeout

__all__ = [
    "DRIVER_ERRORS",
    "Bucket",
    "Listing",
    "LostConnection",
    "Requests",
    "ServiceError",
    "check_bucket_name",
    "is_absent",
    "is_failed_condition",
]

ServiceError: type[Exception] = service_error()
LostConnection: tuple[type[Exception], ...] = lost_connection()

T = TypeVar("T")
R = TypeVar("R")

_BUCKET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}|arn:[A-Za-z0-9:/._-]{1,1000}")

_AT_ONCE = 1000

# An answer to HEAD has no text, so that its status is all there is.
_ABSENT = frozenset({"NoSuchKey", "404"})
_FAILED_CONDITION = frozenset({"PreconditionFailed", "412"})
# Nothing was done, because another request for the same name or bucket is under way, or the service is busy. The
# second is versitygw's, when the folder of an object is removed with another's last one:
# https://github.com/versity/versitygw/blob/v1.8.0/backend/posix/posix.go#L4353
_NOT_DONE = frozenset(
    {
        "ConditionalRequestConflict",
        "ExistingObjectIsDirectory",
        "OperationAborted",
        "ServiceUnavailable",
        "503",
    }
)

_NO_BUCKET = "there is no such bucket"
_BAD_NAME = "the bucket cannot have this name"
_TAKEN = "the name of the bucket is another account's"

DRIVER_ERRORS: DriverErrors = {
    **aws_errors(
        {
            "NoSuchBucket": (StoreSetupError, _NO_BUCKET),
            "InvalidBucketName": (StoreSetupError, _BAD_NAME),
            "BucketAlreadyExists": (StoreSetupError, _TAKEN),
            "IllegalLocationConstraintException": (
                StoreSetupError,
                "the region of the endpoint is not that in which the bucket is or would be created",
            ),
            "InvalidLocationConstraint": (StoreSetupError, "there is no such region"),
            "XAdminUserNotFound": (StoreSetupError, "the access key is not known, or the session token is none of it"),
            "301": (StoreSetupError, "the bucket is in another region than that of the endpoint"),
            "400": (
                StoreSetupError,
                "the service refuses a request (400), as with credentials of another region, or past their time",
            ),
            "403": (StoreSetupError, "these credentials are refused, or lack the right to look at objects"),
            # SlowDown, where HEAD is answered.
            "503": (StoreConnectionError, "the service limits the rate of requests (status 503)"),
            "ExistingObjectIsDirectory": (KeyValueStoreError, "the server has a folder of the object's name"),
            "KeyTooLongError": (KeyValueStoreError, "the service does not take a name of this length"),
        }
    ),
    AsyncioTimeoutError: (StoreTimeoutError, "the limit `timeout` was reached"),
    TimeoutError: (StoreTimeoutError, "the limit `timeout` was reached"),
}


class Listing(NamedTuple):
    """A page of names in the order of their UTF-8 bytes, and what others begin with up to the delimiter."""

    names: list[str]
    prefixes: list[str]
    following: str | None
    """Where to go on; None when there is no more."""


def check_bucket_name(name: str) -> None:
    """Raises ValueError for one that no bucket can have."""
    if not _BUCKET_NAME.fullmatch(name):
        message = (
            "bucket_name must be 3 to 63 lower-case letters, digits, hyphens and dots, or the ARN of an access point, "
            f"not {name!r:.300}"
        )
        raise ValueError(message)


def is_absent(error: Exception) -> bool:
    return code_of(error) in _ABSENT


def is_failed_condition(error: Exception) -> bool:
    return code_of(error) in _FAILED_CONDITION


class Bucket:
    """A bucket in the event loop that its client belongs to, with so many requests under way at once."""

    def __init__(
        self, name: str, get_client: ClientGetter, way: Way | None, *, requests: int, seconds: float | None
    ) -> None:
        self.get_client = get_client
        self._name = name
        self._way = way
        self._wire: Wire | None = None
        self.requests = requests
        self.sender: Sender = aws_sender(requests, _was_not_done)
        self._seconds = seconds

    async def ask(self, operation: str, parameters: dict[str, Any]) -> Any:
        """The answer to one request; with the text of an object, where it gives one, as `Text`."""
        client = await self.get_client()
        if self._wire is None or self._wire.client is not client:
            self._wire = Wire(client, self._way)
        return await self._wire.send(operation, {"Bucket": self._name, **parameters})

    @asynccontextmanager
    async def limit(self, entries: int = 1) -> "AsyncGenerator[Requests, None]":
        """The requests of one operation, which together have the time for so many entries."""
        # Making the client is not a part of an operation: the first one waits for it, as long as it takes.
        await self.get_client()
        seconds = scaled_timeout(self._seconds, entries)
        if seconds is None:
            yield Requests(self, None)
            return
        async with timeout(seconds):
            yield Requests(self, get_running_loop().time() + seconds)


class Requests:
    """What can be asked of the bucket, up to a moment of the event loop's time."""

    def __init__(self, bucket: Bucket, deadline: float | None) -> None:
        self._bucket = bucket
        self._deadline = deadline

    # Objects

    async def get(self, name: str) -> StoredEntry | None:
        try:
            answer = await self.send("get_object", Key=name)
        except ServiceError as error:
            if not is_absent(error):
                raise
            return None
        return StoredEntry(answer["Text"], seen(answer))

    async def look(self, name: str) -> Seen | None:
        """What is known of the object without reading it, unless it lacks the marks of an entry."""
        try:
            found = seen(await self.send("head_object", Key=name))
        except ServiceError as error:
            if not is_absent(error):
                raise
            return None
        if found.is_entry:
            return found
        # Written by another program, or copied without its metadata.
        stored = await self.get(name)
        if stored is None:
            return None
        try:
            entry = stored.load()
        except DeserializationError:
            return stored.seen
        return stored.seen._replace(is_entry=True, expires_at=entry.expires_at)

    async def confirm(self, name: str, found: Seen | None) -> Seen | None:
        """The same of one write, after `look` found this.

        A server that keeps objects as files reads the metadata and then the ETag, as versitygw 1.8 does, and another
        write may come between: what is removed by that ETag would be judged by the metadata of its predecessor.
        """
        while found is not None:
            earlier, found = found, await self.look(name)
            if found is None or found.etag == earlier.etag:
                break
        return found

    async def put(self, name: str, parameters: dict[str, Any]) -> None:
        await self.send("put_object", Key=name, **parameters)

    async def put_if(self, name: str, parameters: dict[str, Any], **condition: str) -> str | None:
        """The ETag of what was written, if the condition held; `condition` is IfMatch or IfNoneMatch."""
        try:
            answer = await self.send("put_object", repeatable=False, Key=name, **parameters, **condition)
        except ServiceError as error:
            if is_absent(error):
                return None
            if not is_failed_condition(error):
                raise
        else:
            return answer["ETag"]
        # A client that was passed in may have repeated what had been done, or a proxy.
        found = await self.look(name)
        if found is not None and found.revision == revision_of(parameters):
            found = await self.confirm(name, found)
        return found.etag if found is not None and found.revision == revision_of(parameters) else None

    async def delete(self, name: str, etag: str | None = None) -> bool:
        """Remove the object; with an ETag, if it still has it, and whether it had."""
        condition = {} if etag is None else {"IfMatch": etag}
        try:
            await self.send("delete_object", repeatable=etag is None, Key=name, **condition)
        except ServiceError as error:
            if not (is_absent(error) or is_failed_condition(error)):
                raise
            return False
        return True

    async def delete_each(self, names: Sequence[str]) -> None:
        # XML, in which the names travel, has no way to write the others.
        alone = [name for name in names if not _is_in_xml(name)]
        together = [name for name in names if _is_in_xml(name)]
        await self.each(self.delete, alone)
        await self.each(self._delete_some, [together[at : at + _AT_ONCE] for at in range(0, len(together), _AT_ONCE)])

    async def _delete_some(self, names: Sequence[str]) -> None:
        objects = [{"Key": name} for name in names]
        answer = await self.send("delete_objects", Delete={"Objects": objects, "Quiet": True})
        # Each is told in the words of the service; asked for alone, it gets the error that it would have got.
        await self.each(self.delete, [error["Key"] for error in answer.get("Errors", ())])

    async def list(
        self, prefix: str, *, after: str = "", position: str = "", limit: int = _AT_ONCE, delimiter: str = ""
    ) -> Listing:
        """Names that begin with the prefix, behind `after` or from a position on that another listing gave.

        Those with the delimiter behind the prefix are cut there.
        """
        options = {"StartAfter": after, "ContinuationToken": position, "Delimiter": delimiter}
        given: dict[str, Any] = {option: text for option, text in options.items() if text}
        answer = await self.send("list_objects_v2", Prefix=prefix, MaxKeys=min(limit, _AT_ONCE), **given)
        names = [each["Key"] for each in answer.get("Contents", ())]
        prefixes = [each["Prefix"] for each in answer.get("CommonPrefixes", ())]
        return Listing(names, prefixes, answer["NextContinuationToken"] if answer.get("IsTruncated") else None)

    # All requests

    async def send(self, operation: str, *, repeatable: bool = True, **parameters: Any) -> Any:
        """The answer of the service; with the text of an object, where it gives one, as `Text`.

        What is `repeatable` may be sent again when nobody knows whether it was done.
        """

        async def ask() -> Any:
            return await self._bucket.ask(operation, parameters)

        return await self._bucket.sender.send(ask, self._deadline, repeatable=repeatable)

    async def each(self, handle: Callable[[T], Awaitable[R]], things: Iterable[T]) -> "list[R]":
        """What `handle` gives for each, in order, as many at once as there may be. The first error ends the others."""
        return await map_together(handle, things, self._bucket.requests)


def _was_not_done(error: Exception) -> bool:
    return is_throttled(error) or code_of(error) in _NOT_DONE


def _is_in_xml(name: str) -> bool:
    return not any(character < " " or character in "\ufffe\uffff" for character in name)
