"""Detection of a server's behaviour: whether the bucket exists, names are folded, and conditions are supported."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple
from uuid import uuid4

from key_value.aio.core.aws.errors import code_of, is_unavailable
from key_value.aio.core.lifecycle import Once
from key_value.aio.errors import StoreSetupError
from key_value.aio.stores.s3.bucket import LostConnection, Requests, ServiceError, is_absent
from key_value.aio.stores.s3.entries import tombstone
from key_value.aio.stores.s3.names import EXACT, FLAT, PROBES, Names

__all__ = ["Facts", "Server", "check_rights", "detect_facts", "ensure_bucket"]

# The region that a request to create a bucket must not name.
_FIRST_REGION = "us-east-1"
_NO_REGION = "aws-global"

_DENIED = frozenset({"AccessDenied", "403"})


class Facts(NamedTuple):
    """The detected behaviour of a server."""

    names: Names
    conditions: bool
    """Whether the server honours If-None-Match and If-Match for writes, and If-Match for deletions."""
    exact_deletes: bool
    """Whether If-Match fails for the deletion of a missing object."""


class Server:
    """The behaviour of a server, detected when first needed, once per store object."""

    def __init__(self, on_detected: Callable[[Facts], None], *, escape_names: bool | None) -> None:
        """`on_detected` is called with the result of the detection. `escape_names` is the option of the store."""
        self._on_detected = on_detected
        self._escape_names = escape_names
        self._facts: Facts | None = None
        self._detecting = Once()

    async def facts(self, requests: Requests) -> Facts:
        async def detect() -> None:
            self._facts = await detect_facts(requests)
            self._on_detected(self._facts)

        if self._facts is None:
            await self._detecting.run(detect)
        if self._facts is None:
            message = "the behaviour of the server could not be detected"
            raise StoreSetupError(message)
        return self._facts

    async def names(self, requests: Requests) -> Names:
        """Return the naming scheme for the server."""
        if self._escape_names is not None:
            return FLAT if self._escape_names else EXACT
        return (await self.facts(requests)).names

    async def names_for(self, requests: Requests, collection: str, keys: Sequence[str]) -> Names:
        """Return the naming scheme for these keys. Most names are the same in both schemes and need no detection."""
        unknown = self._facts is None and self._escape_names is None
        if unknown and all(FLAT.name(collection, key) == EXACT.name(collection, key) for key in keys):
            return EXACT
        return await self.names(requests)


async def ensure_bucket(requests: Requests, region: str | None) -> None:
    """Create the bucket in the region if it does not exist."""
    try:
        await requests.list("", limit=1)
    except ServiceError as error:
        # Credentials without the right to list may still read and write; `setup` checks all rights.
        if code_of(error) in _DENIED:
            return
        if code_of(error) not in ("NoSuchBucket", "404"):
            raise
    else:
        return
    parameters: dict[str, Any] = {}
    if region not in (None, _FIRST_REGION, _NO_REGION):
        parameters["CreateBucketConfiguration"] = {"LocationConstraint": region}
    try:
        await requests.send("create_bucket", **parameters)
    except ServiceError as error:
        # Another process created it first.
        if code_of(error) != "BucketAlreadyOwnedByYou":
            raise


async def check_rights(requests: Requests) -> None:
    """Run each kind of request of a store once. A missing right raises the driver's error."""
    await requests.list("", limit=1)
    name = f"{PROBES}{uuid4().hex}"
    await requests.put(name, tombstone())
    try:
        if await requests.get(name) is None:
            message = "an object that was just written does not exist"
            raise StoreSetupError(message)
    finally:
        await requests.delete(name)


async def detect_facts(requests: Requests) -> Facts:
    """Detect the behaviour of the server with test objects, which are removed afterwards."""
    root = f"{PROBES}{uuid4().hex}"
    names = FLAT if await _folds_names(requests, root) else EXACT
    conditions, exact_deletes = await _detect_conditions(requests, f"{root}-conditions")
    return Facts(names, conditions, exact_deletes)


async def _folds_names(requests: Requests, root: str) -> bool:
    """Whether the server normalizes names like paths, or cannot store both `a/b` and `a/b/c`."""
    plain, folded, below = f"{root.lstrip('/')}/a/b", f"{root}/./a//b", f"{root}/a/b/c"
    written: list[str] = []
    try:
        for name in (plain, f"{root}/a/b", below, folded):
            await requests.put(name, tombstone())
            written.append(name)
        await requests.delete(folded)
        return any([await requests.inspect(name) is None for name in (plain, below)])
    except ServiceError as error:
        if code_of(error) in _DENIED or not written:
            raise
        return True  # the server rejects such names
    except LostConnection:
        if not written:
            raise
        return True
    finally:
        for name in reversed(written):
            # A folded object has already been removed under its other name.
            with suppress(ServiceError):
                await requests.delete(name)


async def _detect_conditions(requests: Requests, name: str) -> tuple[bool, bool]:
    """Return `Facts.conditions` and `Facts.exact_deletes`."""
    try:
        first = await requests.put_if(name, tombstone(), IfNoneMatch="*")
        if first is None or await requests.put_if(name, tombstone(), IfNoneMatch="*") is not None:
            return False, False
        second = await requests.put_if(name, tombstone(), IfMatch=first)
        if second is None or await requests.put_if(name, tombstone(), IfMatch=first) is not None:
            return False, False
        if await requests.delete(name, first) or await requests.inspect(name) is None:
            return False, False
        if not await requests.delete(name, second) or await requests.inspect(name) is not None:
            return False, False
        return True, not await requests.delete(name, second)
    except ServiceError as error:
        # Some servers reject conditions with an error.
        if is_unavailable(error) and code_of(error) not in ("NotImplemented", "501"):
            raise
        if code_of(error) in _DENIED or is_absent(error):
            raise
        return False, False
    finally:
        await requests.delete(name)
