"""What is to be found out about a server: whether the bucket is there, which names it folds, which conditions hold."""

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

__all__ = ["Facts", "Server", "have_bucket", "prove", "prove_rights"]

# The region whose name a request to create a bucket must not hold.
_FIRST_REGION = "us-east-1"
_NO_REGION = "aws-global"

_DENIED = frozenset({"AccessDenied", "403"})


class Facts(NamedTuple):
    """What the server was seen to do."""

    names: Names
    conditions: bool
    """If-None-Match and If-Match hold when an object is written, and If-Match when it is deleted."""
    exact_deletes: bool
    """If-Match is not taken for fulfilled where there is no object any more."""


class Server:
    """What a server does, found out when it first matters, once for a store object."""

    def __init__(self, believe: Callable[[Facts], None], *, escape_names: bool | None) -> None:
        """`believe` is told what was found out. `escape_names` says what need not be found out, as for the store."""
        self._believe = believe
        self._escape_names = escape_names
        self._facts: Facts | None = None
        self._proving = Once()

    async def facts(self, requests: Requests) -> Facts:
        async def find_out() -> None:
            self._facts = await prove(requests)
            self._believe(self._facts)

        if self._facts is None:
            await self._proving.run(find_out)
        if self._facts is None:
            message = "what the server does was not found out"
            raise StoreSetupError(message)
        return self._facts

    async def names(self, requests: Requests) -> Names:
        """The names that the server takes."""
        if self._escape_names is not None:
            return FLAT if self._escape_names else EXACT
        return (await self.facts(requests)).names

    async def names_for(self, requests: Requests, collection: str, keys: Sequence[str]) -> Names:
        """The same, as far as it matters for these: most names are alike everywhere, and need no finding out."""
        unknown = self._facts is None and self._escape_names is None
        if unknown and all(FLAT.name(collection, key) == EXACT.name(collection, key) for key in keys):
            return EXACT
        return await self.names(requests)


async def have_bucket(requests: Requests, region: str | None) -> None:
    """Have the bucket there, created in the region where it is missing."""
    try:
        await requests.list("", limit=1)
    except ServiceError as error:
        # Who may not list may still read and write, which shows then; `setup` asks for all of it.
        if code_of(error) in _DENIED:
            return
        if code_of(error) not in ("NoSuchBucket", "404"):
            raise
    else:
        return
    place: dict[str, Any] = {}
    if region not in (None, _FIRST_REGION, _NO_REGION):
        place["CreateBucketConfiguration"] = {"LocationConstraint": region}
    try:
        await requests.send("create_bucket", **place)
    except ServiceError as error:
        # Another process was faster.
        if code_of(error) != "BucketAlreadyOwnedByYou":
            raise


async def prove_rights(requests: Requests) -> None:
    """Do what the operations of a store do. What is refused raises the error of the driver."""
    await requests.list("", limit=1)
    name = f"{PROBES}{uuid4().hex}"
    await requests.put(name, tombstone())
    try:
        if await requests.get(name) is None:
            message = "an object that was written is not found"
            raise StoreSetupError(message)
    finally:
        await requests.delete(name)


async def prove(requests: Requests) -> Facts:
    """Find out what the server does, on objects that are removed afterwards."""
    root = f"{PROBES}{uuid4().hex}"
    names = FLAT if await _folds(requests, root) else EXACT
    conditions, exact_deletes = await _holds(requests, f"{root}-conditions")
    return Facts(names, conditions, exact_deletes)


async def _folds(requests: Requests, root: str) -> bool:
    """Whether it folds names as paths are folded, or keeps no object beside those below it."""
    plain, folded, below = f"{root.lstrip('/')}/a/b", f"{root}/./a//b", f"{root}/a/b/c"
    written: list[str] = []
    try:
        for name in (plain, f"{root}/a/b", below, folded):
            await requests.put(name, tombstone())
            written.append(name)
        await requests.delete(folded)
        return any([await requests.look(name) is None for name in (plain, below)])
    except ServiceError as error:
        if code_of(error) in _DENIED or not written:
            raise
        return True  # it refuses such names
    except LostConnection:
        if not written:
            raise
        return True
    finally:
        for name in reversed(written):
            # What was folded is gone already.
            with suppress(ServiceError):
                await requests.delete(name)


async def _holds(requests: Requests, name: str) -> tuple[bool, bool]:
    """Whether conditions hold, and whether none does where there is no object."""
    try:
        first = await requests.put_if(name, tombstone(), IfNoneMatch="*")
        if first is None or await requests.put_if(name, tombstone(), IfNoneMatch="*") is not None:
            return False, False
        second = await requests.put_if(name, tombstone(), IfMatch=first)
        if second is None or await requests.put_if(name, tombstone(), IfMatch=first) is not None:
            return False, False
        if await requests.delete(name, first) or await requests.look(name) is None:
            return False, False
        if not await requests.delete(name, second) or await requests.look(name) is not None:
            return False, False
        return True, not await requests.delete(name, second)
    except ServiceError as error:
        # Some servers know no conditions, and say so.
        if is_unavailable(error) and code_of(error) not in ("NotImplemented", "501"):
            raise
        if code_of(error) in _DENIED or is_absent(error):
            raise
        return False, False
    finally:
        await requests.delete(name)
