"""The one module that talks to MongoDB: the calls of an event loop, each with its limit of time."""

from collections.abc import Awaitable, Generator, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, TypeVar

import pymongo
from key_value.aio.core.forks import AcrossForks, leave_to_parent, sever
from key_value.aio.core.numbers import scaled_timeout
from key_value.aio.core.requests import UnderWay
from key_value.aio.stores.mongodb.documents import DECODED, UNDECODED, Document
from key_value.aio.stores.mongodb.errors import ForeignLoopError, RefusedWriteError
from pymongo import AsyncMongoClient, IndexModel, ReadPreference, UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError, OperationFailure

__all__ = ["Filter", "Session"]

T = TypeVar("T")

Filter = dict[str, Any]

# Of two writers that both find no document, one is told so, and finds the other's when it tries again.
_ATTEMPTS = 10
_DUPLICATE = 11000

_CLOSING_SECONDS = 5.0
_MOST_KEPT = 1000
_KEYS_BYTES = 4 * 1024 * 1024

_UNIQUE = IndexModel("key", name="key_unique", unique=True)
_EXPIRY = IndexModel("expires_at", name="expires_at_1", expireAfterSeconds=0)
_WITHOUT_UNIQUE = (
    "the server refuses a unique index on key, so that the first puts of a key by this library and by others at the "
    "same moment can leave two documents"
)
_WITHOUT_EXPIRY = (
    "the server refuses an index that removes expired entries: cull() removes them, and no reader sees them"
)
# Wrong credentials, and a server that is starting, stopping or not the primary: for these the write fails as well.
_NOT_NOW = frozenset({18, 91, 189, 10107, 11600, 11602, 13435, 13436})


class Session(AcrossForks):
    """A client in the event loop that it belongs to."""

    def __init__(self, client: "AsyncMongoClient[Any]", database: str, seconds: float | None, *, owned: bool) -> None:
        super().__init__()
        self._client = client
        self._database = client.get_database(database)
        self._seconds = seconds
        self._owned = owned
        self._collections: dict[str, Any] = {}
        self._under_way = UnderWay()

    async def close(self) -> None:
        """Close the client when the calls under way have ended. One that was passed in is its owner's to close."""
        if not self._owned:
            return
        await self._under_way.wait(_CLOSING_SECONDS)
        # It says goodbye to the server, which may not answer.
        with pymongo.timeout(_CLOSING_SECONDS):
            await self._client.close()

    def after_fork_in_child(self) -> None:
        """Leave the connections to the parent: monitors in an inherited event loop would use them too."""
        client: Any = self._client if self._owned else None
        with suppress(AttributeError):  # pymongo has no other way to find them
            for server in client._topology._servers.values():  # noqa: SLF001 — see above
                for pool in (server.pool, server._monitor._pool):  # noqa: SLF001 — see above
                    for connection in pool.conns:
                        sever(connection.conn.conn[0])
                        leave_to_parent(connection)

    async def run(self, work: Awaitable[T], entries: int = 1) -> T:
        """The result of the work, which concerns so many entries and has one limit of time."""
        seconds = scaled_timeout(self._seconds, entries)
        try:
            with self.held(), nullcontext() if seconds is None else pymongo.timeout(seconds):
                return await work
        except RuntimeError as exc:
            if "different event loop" not in str(exc):
                raise
            raise ForeignLoopError from exc

    @contextmanager
    def held(self) -> Generator[None, None, None]:
        """Keep the client open from one request to the next."""
        self._under_way.begin()
        try:
            yield
        finally:
            self._under_way.end()

    def collection(self, name: str) -> Any:
        """The collection of this stored name."""
        found = self._collections.get(name)
        if found is None:
            if len(self._collections) >= _MOST_KEPT:
                self._collections.clear()
            found = self._collections[name] = self._database.get_collection(name, codec_options=DECODED)
        return found

    def undecoded(self, name: str) -> Any:
        """The same, whose documents stay as they are, read where they are written."""
        return self.collection(name).with_options(codec_options=UNDECODED, read_preference=ReadPreference.PRIMARY)

    # Reading

    async def find(self, name: str, condition: Filter) -> Document | None:
        return await self.run(self.collection(name).find_one(condition))

    async def find_undecoded(self, name: str, condition: Filter) -> Any:
        return await self.run(self.undecoded(name).find_one(condition))

    async def find_keys(self, name: str, keys: Sequence[str]) -> list[Document]:
        """The documents of these keys, each part of them in one request."""

        async def find() -> list[Document]:
            found: list[Document] = []
            for part in _parts(keys):
                # By itself, the server would give 101 documents and wait to be asked for the rest.
                cursor = self.collection(name).find({"key": {"$in": part}}, batch_size=len(part) + 1)
                found += await cursor.to_list()
            return found

        return await self.run(find(), len(keys))

    async def page(self, name: str, condition: Filter, order: str, fields: Sequence[str], limit: int) -> list[Document]:
        projection = {"_id": "_id" in fields, **dict.fromkeys(fields, True)}
        cursor = self.collection(name).find(condition, projection, batch_size=limit + 1, limit=limit).sort(order)
        return await self.run(cursor.to_list())

    async def collection_names(self, name: str | None = None) -> list[str]:
        """The stored names of collections, views excluded; with a name, that one if it is there."""
        condition = {"type": "collection"} if name is None else {"name": name}
        return await self.run(self._database.list_collection_names(filter=condition, authorizedCollections=True))

    # Writing

    async def put(self, name: str, key: str, fields: dict[str, Any]) -> None:
        condition, update = {"key": key}, _update(key, fields)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                await self.run(self.collection(name).update_one(condition, update, upsert=True))
            except DuplicateKeyError:  # noqa: PERF203 — a request takes a millisecond
                if attempt == _ATTEMPTS:
                    raise
            else:
                return

    async def put_each(self, name: str, keys: Sequence[str], fields: Sequence[dict[str, Any]]) -> None:
        left: list[Any] = [
            UpdateOne({"key": key}, _update(key, each), upsert=True) for key, each in zip(keys, fields, strict=True)
        ]
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                await self.run(self.collection(name).bulk_write(left, ordered=False), len(left))
            except BulkWriteError as exc:
                failed: list[Any] = exc.details["writeErrors"] or exc.details["writeConcernErrors"]
                codes = {each.get("code") for each in failed}
            else:
                return
            if codes != {_DUPLICATE} or attempt == _ATTEMPTS:
                raise RefusedWriteError((codes - {_DUPLICATE} or codes).pop())
            left = [left[each["index"]] for each in failed]

    async def insert(self, name: str, key: str, fields: dict[str, Any]) -> bool:
        """Put it where no document of the key is; whether it was put."""
        update = {"$setOnInsert": {"_id": key, **fields}}
        try:
            written = await self.run(self.collection(name).update_one({"key": key}, update, upsert=True))
        except DuplicateKeyError:
            # Another's, of the same moment.
            return False
        return written.upserted_id is not None

    async def replace(self, name: str, condition: Filter, fields: dict[str, Any]) -> bool:
        """Put it in place of the document of the condition; whether there was one."""
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
        """Delete the documents of these ids that still meet the condition."""
        await self.run(self.collection(name).delete_many({**condition, "_id": {"$in": ids}}), len(ids))

    async def create_indexes(self, name: str) -> list[str]:
        """What is missing because the server refused an index, in words."""
        refused: list[str] = []
        for index, without in ((_UNIQUE, _WITHOUT_UNIQUE), (_EXPIRY, _WITHOUT_EXPIRY)):
            try:
                await self.run(self.collection(name).create_indexes([index]))
            except OperationFailure as exc:  # noqa: PERF203 — a request takes a millisecond
                if exc.timeout or exc.code in _NOT_NOW:
                    raise
                refused.append(f"{without} (code {exc.code})")
        return refused


def _update(key: str, fields: dict[str, Any]) -> dict[str, Any]:
    # The _id is unique even in a collection without indexes, such as one that others have dropped.
    return {"$set": fields, "$setOnInsert": {"_id": key}, **_unset(fields)}


def _unset(fields: dict[str, Any]) -> dict[str, Any]:
    return {} if "expires_at" in fields else {"$unset": {"expires_at": ""}}


def _parts(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    """The keys in parts that are small enough for a command."""
    if sum(map(len, keys)) * 4 <= _KEYS_BYTES:
        yield keys
        return
    part: list[str] = []
    size = 0
    for key in keys:
        octets = len(key.encode())
        if part and size + octets > _KEYS_BYTES:
            yield part
            part, size = [], 0
        part.append(key)
        size += octets
    yield part
