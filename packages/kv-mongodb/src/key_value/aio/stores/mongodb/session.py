"""The only module that sends requests to MongoDB: calls in an event loop, each with a time limit."""

from collections.abc import Awaitable, Generator, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, TypeVar

import pymongo
from key_value.aio.core.forks import ForkAware, leave_to_parent, sever
from key_value.aio.core.numbers import scaled_timeout
from key_value.aio.core.requests import InFlightCalls
from key_value.aio.stores.mongodb.documents import DECODED, UNDECODED, Document
from key_value.aio.stores.mongodb.errors import ForeignLoopError, RefusedWriteError
from pymongo import AsyncMongoClient, IndexModel, ReadPreference, UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError, OperationFailure

__all__ = ["Filter", "Session"]

T = TypeVar("T")

Filter = dict[str, Any]

# If two writers both try to insert the same key, one gets a duplicate key error, and updates the document on retry.
_MAX_ATTEMPTS = 10
_DUPLICATE_KEY = 11000

_CLOSE_TIMEOUT_SECONDS = 5.0
_MAX_CACHED_COLLECTIONS = 1000
_MAX_PART_BYTES = 4 * 1024 * 1024

_UNIQUE = IndexModel("key", name="key_unique", unique=True)
_EXPIRY = IndexModel("expires_at", name="expires_at_1", expireAfterSeconds=0)
_UNIQUE_WARNING = (
    "the server refuses a unique index on key, so simultaneous first puts of a key by this library and by other "
    "applications can create two documents"
)
_EXPIRY_WARNING = (
    "the server refuses an index that removes expired entries: cull() removes them, and readers ignore them"
)
# Wrong credentials, or a server that is starting, stopping or not the primary: the write would fail as well.
_TEMPORARY_CODES = frozenset({18, 91, 189, 10107, 11600, 11602, 13435, 13436})


class Session(ForkAware):
    """A client in its event loop."""

    def __init__(self, client: "AsyncMongoClient[Any]", database: str, seconds: float | None, *, owned: bool) -> None:
        super().__init__()
        self._client = client
        self._database = client.get_database(database)
        self._seconds = seconds
        self._owned = owned
        self._collections: dict[str, Any] = {}
        self._in_flight = InFlightCalls()

    async def close(self) -> None:
        """Close the client after the calls in flight, or after 5 s. The caller closes a client that it passed."""
        if not self._owned:
            return
        await self._in_flight.wait(_CLOSE_TIMEOUT_SECONDS)
        # Closing notifies the server, which may not answer.
        with pymongo.timeout(_CLOSE_TIMEOUT_SECONDS):
            await self._client.close()

    def after_fork_in_child(self) -> None:
        """Leave the connections to the parent, because monitors in an inherited event loop would use them too."""
        client: Any = self._client if self._owned else None
        with suppress(AttributeError):  # depends on pymongo's internals; it has no other access
            for server in client._topology._servers.values():  # noqa: SLF001 — see above
                for pool in (server.pool, server._monitor._pool):  # noqa: SLF001 — see above
                    for connection in pool.conns:
                        sever(connection.conn.conn[0])
                        leave_to_parent(connection)

    async def run(self, work: Awaitable[T], entries: int = 1) -> T:
        """Await the work under one time limit, scaled by the number of entries; return its result."""
        seconds = scaled_timeout(self._seconds, entries)
        try:
            with self.kept_open(), nullcontext() if seconds is None else pymongo.timeout(seconds):
                return await work
        except RuntimeError as exc:
            if "different event loop" not in str(exc):
                raise
            raise ForeignLoopError from exc

    @contextmanager
    def kept_open(self) -> Generator[None, None, None]:
        """Keep the client open between several requests."""
        self._in_flight.begin()
        try:
            yield
        finally:
            self._in_flight.end()

    def collection(self, name: str) -> Any:
        """Return the collection with this stored name."""
        found = self._collections.get(name)
        if found is None:
            if len(self._collections) >= _MAX_CACHED_COLLECTIONS:
                self._collections.clear()
            found = self._collections[name] = self._database.get_collection(name, codec_options=DECODED)
        return found

    def undecoded(self, name: str) -> Any:
        """Return the collection, reading undecoded documents from the primary."""
        return self.collection(name).with_options(codec_options=UNDECODED, read_preference=ReadPreference.PRIMARY)

    # Reading

    async def find(self, name: str, condition: Filter) -> Document | None:
        return await self.run(self.collection(name).find_one(condition))

    async def find_undecoded(self, name: str, condition: Filter) -> Any:
        return await self.run(self.undecoded(name).find_one(condition))

    async def find_keys(self, name: str, keys: Sequence[str]) -> list[Document]:
        """Return the documents of these keys, one request per part."""

        async def find() -> list[Document]:
            found: list[Document] = []
            for part in _parts(keys):
                # The default batch size of 101 documents would need a second request.
                cursor = self.collection(name).find({"key": {"$in": part}}, batch_size=len(part) + 1)
                found += await cursor.to_list()
            return found

        return await self.run(find(), len(keys))

    async def page(self, name: str, condition: Filter, order: str, fields: Sequence[str], limit: int) -> list[Document]:
        projection = {"_id": "_id" in fields, **dict.fromkeys(fields, True)}
        cursor = self.collection(name).find(condition, projection, batch_size=limit + 1, limit=limit).sort(order)
        return await self.run(cursor.to_list())

    async def collection_names(self, name: str | None = None) -> list[str]:
        """Return the stored names of collections, without views; with a name, only that one if it exists."""
        condition = {"type": "collection"} if name is None else {"name": name}
        return await self.run(self._database.list_collection_names(filter=condition, authorizedCollections=True))

    # Writing

    async def put(self, name: str, key: str, fields: dict[str, Any]) -> None:
        condition, update = {"key": key}, _update(key, fields)
        for attempt in range(1, _MAX_ATTEMPTS + 1):
            try:
                await self.run(self.collection(name).update_one(condition, update, upsert=True))
            except DuplicateKeyError:  # noqa: PERF203 — a request takes a millisecond
                if attempt == _MAX_ATTEMPTS:
                    raise
            else:
                return

    async def put_each(self, name: str, keys: Sequence[str], fields: Sequence[dict[str, Any]]) -> None:
        left: list[Any] = [
            UpdateOne({"key": key}, _update(key, each), upsert=True) for key, each in zip(keys, fields, strict=True)
        ]
        for attempt in range(1, _MAX_ATTEMPTS + 1):
            try:
                await self.run(self.collection(name).bulk_write(left, ordered=False), len(left))
            except BulkWriteError as exc:
                failed: list[Any] = exc.details["writeErrors"] or exc.details["writeConcernErrors"]
                codes = {each.get("code") for each in failed}
            else:
                return
            if codes != {_DUPLICATE_KEY} or attempt == _MAX_ATTEMPTS:
                raise RefusedWriteError((codes - {_DUPLICATE_KEY} or codes).pop())
            left = [left[each["index"]] for each in failed]

    async def insert(self, name: str, key: str, fields: dict[str, Any]) -> bool:
        """Insert the document if the key has none; return whether it was inserted."""
        update = {"$setOnInsert": {"_id": key, **fields}}
        try:
            written = await self.run(self.collection(name).update_one({"key": key}, update, upsert=True))
        except DuplicateKeyError:
            # Another writer inserted one simultaneously.
            return False
        return written.upserted_id is not None

    async def replace(self, name: str, condition: Filter, fields: dict[str, Any]) -> bool:
        """Replace the document that meets the condition; return whether there was one."""
        update = {"$set": fields, **_unset(fields)}
        return bool((await self.run(self.collection(name).update_one(condition, update))).matched_count)

    async def delete(self, name: str, condition: Filter) -> bool:
        return bool((await self.run(self.collection(name).delete_one(condition))).deleted_count)

    async def delete_keys(self, name: str, keys: Sequence[str], condition: Filter) -> int:
        async def delete() -> int:
            count = 0
            for part in _parts(keys):
                count += (await self.collection(name).delete_many({"key": {"$in": part}, **condition})).deleted_count
            return count

        return await self.run(delete(), len(keys))

    async def delete_ids(self, name: str, ids: Sequence[Any], condition: Filter) -> None:
        """Delete the documents with these ids that still meet the condition."""
        await self.run(self.collection(name).delete_many({**condition, "_id": {"$in": ids}}), len(ids))

    async def create_indexes(self, name: str) -> list[str]:
        """Create the indexes; return a warning for each index that the server refuses."""
        refused: list[str] = []
        for index, warning in ((_UNIQUE, _UNIQUE_WARNING), (_EXPIRY, _EXPIRY_WARNING)):
            try:
                await self.run(self.collection(name).create_indexes([index]))
            except OperationFailure as exc:  # noqa: PERF203 — a request takes a millisecond
                if exc.timeout or exc.code in _TEMPORARY_CODES:
                    raise
                refused.append(f"{warning} (code {exc.code})")
        return refused


def _update(key: str, fields: dict[str, Any]) -> dict[str, Any]:
    # The _id is unique even without indexes, such as in a collection that was dropped and created again.
    return {"$set": fields, "$setOnInsert": {"_id": key}, **_unset(fields)}


def _unset(fields: dict[str, Any]) -> dict[str, Any]:
    return {} if "expires_at" in fields else {"$unset": {"expires_at": ""}}


def _parts(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    """Split the keys into parts small enough for one command."""
    if sum(map(len, keys)) * 4 <= _MAX_PART_BYTES:
        yield keys
        return
    part: list[str] = []
    size = 0
    for key in keys:
        size_of_key = len(key.encode())
        if part and size + size_of_key > _MAX_PART_BYTES:
            yield part
            part, size = [], 0
        part.append(key)
        size += size_of_key
    yield part
