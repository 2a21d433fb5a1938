"""Requests to one bucket, with a time limit, retried where that is safe, and several at once for batches."""

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
from key_value.aio.core.requests import Sender, map_concurrently
from key_value.aio.errors import (
    DeserializationError,
    KeyValueStoreError,
    StoreConnectionError,
    StoreSetupError,
    StoreTimeoutError,
)
from key_value.aio.stores.s3.entries import ObjectInfo, StoredEntry, info_of, revision_of
from key_value.aio.stores.s3.object_client import ObjectClient, RouteCache

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

_MAX_KEYS_PER_REQUEST = 1000

# An answer to HEAD has no body, so its status is the only code.
_ABSENT = frozenset({"NoSuchKey", "404"})
_FAILED_CONDITION = frozenset({"PreconditionFailed", "412"})
# Nothing was done, because another request for the same name or bucket is in progress, or the service is busy.
# versitygw returns ExistingObjectIsDirectory while it removes the directory of an object with the last other one:
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
_BAD_NAME = "the bucket name is invalid"
_TAKEN = "the bucket name belongs to another account"

DRIVER_ERRORS: DriverErrors = {
    **aws_errors(
        {
            "NoSuchBucket": (StoreSetupError, _NO_BUCKET),
            "InvalidBucketName": (StoreSetupError, _BAD_NAME),
            "BucketAlreadyExists": (StoreSetupError, _TAKEN),
            "IllegalLocationConstraintException": (
                StoreSetupError,
                "the region of the endpoint is not the region of the bucket",
            ),
            "InvalidLocationConstraint": (StoreSetupError, "there is no such region"),
            "XAdminUserNotFound": (StoreSetupError, "the access key is not known, or does not match the session token"),
            "301": (StoreSetupError, "the bucket is in another region than the endpoint"),
            "400": (
                StoreSetupError,
                "the service rejects a request (400), as for expired credentials or those of another region",
            ),
            "403": (StoreSetupError, "these credentials are rejected, or lack the right to read objects"),
            # SlowDown in an answer to HEAD.
            "503": (StoreConnectionError, "the service limits the rate of requests (status 503)"),
            "ExistingObjectIsDirectory": (KeyValueStoreError, "the server has a directory with the name of the object"),
            "KeyTooLongError": (KeyValueStoreError, "the service rejects a name of this length"),
        }
    ),
    AsyncioTimeoutError: (StoreTimeoutError, "the limit `timeout` was reached"),
    TimeoutError: (StoreTimeoutError, "the limit `timeout` was reached"),
}


class Listing(NamedTuple):
    """A page of names in the order of their UTF-8 bytes, and the common prefixes up to the delimiter."""

    names: list[str]
    prefixes: list[str]
    following: str | None
    """The position of the next page, None on the last page."""


def check_bucket_name(name: str) -> None:
    """Raise ValueError for an invalid bucket name."""
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
    """A bucket, used in the event loop of its client with at most `requests` requests in flight."""

    def __init__(
        self,
        name: str,
        get_client: ClientGetter,
        route_cache: RouteCache | None,
        *,
        requests: int,
        seconds: float | None,
    ) -> None:
        self.get_client = get_client
        self._name = name
        self._route_cache = route_cache
        self._object_client: ObjectClient | None = None
        self.requests = requests
        self.sender: Sender = aws_sender(requests, _was_not_done)
        self._seconds = seconds

    async def send_once(self, operation: str, parameters: dict[str, Any]) -> Any:
        """Send one request and return the answer, with the text of an object as `Text`."""
        client = await self.get_client()
        if self._object_client is None or self._object_client.client is not client:
            self._object_client = ObjectClient(client, self._route_cache)
        return await self._object_client.send(operation, {"Bucket": self._name, **parameters})

    @asynccontextmanager
    async def limit(self, entries: int = 1) -> "AsyncGenerator[Requests, None]":
        """Yield the requests of one operation, within the time limit for this number of entries."""
        # Creating the client does not count against the time limit of the first operation.
        await self.get_client()
        seconds = scaled_timeout(self._seconds, entries)
        if seconds is None:
            yield Requests(self, None)
            return
        async with timeout(seconds):
            yield Requests(self, get_running_loop().time() + seconds)


class Requests:
    """The requests of one operation."""

    def __init__(self, bucket: Bucket, deadline: float | None) -> None:
        """`deadline` is a time of the event loop's clock, None for no limit."""
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
        return StoredEntry(answer["Text"], info_of(answer))

    async def inspect(self, name: str) -> ObjectInfo | None:
        """Return the metadata of the object. The object itself is read only if it lacks the metadata of an entry."""
        try:
            found = info_of(await self.send("head_object", Key=name))
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
            return stored.info
        return stored.info._replace(is_entry=True, expires_at=entry.expires_at)

    async def confirm(self, name: str, found: ObjectInfo | None) -> ObjectInfo | None:
        """Return the metadata and ETag of one and the same write, given the result of `inspect`.

        A server that stores objects as files, such as versitygw 1.8, reads the metadata first and the ETag afterwards.
        If another write comes between, the ETag would belong to a newer object than the metadata.
        """
        while found is not None:
            earlier, found = found, await self.inspect(name)
            if found is None or found.etag == earlier.etag:
                break
        return found

    async def put(self, name: str, parameters: dict[str, Any]) -> None:
        await self.send("put_object", Key=name, **parameters)

    async def put_if(self, name: str, parameters: dict[str, Any], **condition: str) -> str | None:
        """Write the object if the condition, IfMatch or IfNoneMatch, holds. Return its ETag, or None if it failed."""
        try:
            answer = await self.send("put_object", repeatable=False, Key=name, **parameters, **condition)
        except ServiceError as error:
            if is_absent(error):
                return None
            if not is_failed_condition(error):
                raise
        else:
            return answer["ETag"]
        # A caller's client, or a proxy, may have repeated a request that had succeeded.
        found = await self.inspect(name)
        if found is not None and found.revision == revision_of(parameters):
            found = await self.confirm(name, found)
        return found.etag if found is not None and found.revision == revision_of(parameters) else None

    async def delete(self, name: str, etag: str | None = None) -> bool:
        """Remove the object; with an ETag, only if it matches. Return False if it did not match."""
        condition = {} if etag is None else {"IfMatch": etag}
        try:
            await self.send("delete_object", repeatable=etag is None, Key=name, **condition)
        except ServiceError as error:
            if not (is_absent(error) or is_failed_condition(error)):
                raise
            return False
        return True

    async def delete_each(self, names: Sequence[str]) -> None:
        # DeleteObjects is XML, which cannot represent every name.
        alone = [name for name in names if not _is_in_xml(name)]
        together = [name for name in names if _is_in_xml(name)]
        await self.each(self.delete, alone)
        await self.each(
            self._delete_some,
            [together[at : at + _MAX_KEYS_PER_REQUEST] for at in range(0, len(together), _MAX_KEYS_PER_REQUEST)],
        )

    async def _delete_some(self, names: Sequence[str]) -> None:
        objects = [{"Key": name} for name in names]
        answer = await self.send("delete_objects", Delete={"Objects": objects, "Quiet": True})
        # A single request for each failed name raises the proper error, or succeeds.
        await self.each(self.delete, [error["Key"] for error in answer.get("Errors", ())])

    async def list(
        self,
        prefix: str,
        *,
        after: str = "",
        position: str = "",
        limit: int = _MAX_KEYS_PER_REQUEST,
        delimiter: str = "",
    ) -> Listing:
        """Return names that begin with the prefix, after the name `after` or from the position of another listing.

        Names that contain the delimiter after the prefix are combined into common prefixes.
        """
        options = {"StartAfter": after, "ContinuationToken": position, "Delimiter": delimiter}
        given: dict[str, Any] = {option: text for option, text in options.items() if text}
        answer = await self.send("list_objects_v2", Prefix=prefix, MaxKeys=min(limit, _MAX_KEYS_PER_REQUEST), **given)
        names = [each["Key"] for each in answer.get("Contents", ())]
        prefixes = [each["Prefix"] for each in answer.get("CommonPrefixes", ())]
        return Listing(names, prefixes, answer["NextContinuationToken"] if answer.get("IsTruncated") else None)

    # All requests

    async def send(self, operation: str, *, repeatable: bool = True, **parameters: Any) -> Any:
        """Send a request and return the answer, with the text of an object as `Text`.

        A `repeatable` one may be sent again if its outcome is unknown.
        """

        async def send_once() -> Any:
            return await self._bucket.send_once(operation, parameters)

        return await self._bucket.sender.send(send_once, self._deadline, repeatable=repeatable)

    async def each(self, handle: Callable[[T], Awaitable[R]], things: Iterable[T]) -> "list[R]":
        """Return the result of `handle` for each, in order, up to the request limit at once.

        The first error cancels the others.
        """
        return await map_concurrently(handle, things, self._bucket.requests)


def _was_not_done(error: Exception) -> bool:
    return is_throttled(error) or code_of(error) in _NOT_DONE


def _is_in_xml(name: str) -> bool:
    return not any(character < " " or character in "\ufffe\uffff" for character in name)
