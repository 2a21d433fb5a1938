"""Operations on entries in MongoDB collections. `name` is the stored name of a collection."""

from collections.abc import Sequence
from typing import Any

from key_value.aio.core import clock
from key_value.aio.core.entry import ManagedEntry
from key_value.aio.core.names import end_of_prefix
from key_value.aio.stores.base import KeyPage, VersionedEntry
from key_value.aio.stores.mongodb.documents import (
    decode_document,
    document_fields,
    document_version,
    has_expired,
    load_document,
    load_documents,
    unchanged_condition,
)
from key_value.aio.stores.mongodb.session import Filter, Session

__all__ = ["Entries"]

_DELETE_PAGE_DOCUMENTS = 999

_IS_ENTRY: Filter = {"version": 1, "key": {"$type": "string"}, "collection": {"$type": "string"}}


def _live() -> Filter:
    """Return the condition that a document has not expired. Documents without a date never expire."""
    return {"expires_at": {"$not": {"$lte": clock.now()}}}


class Entries:
    """The operations of the store, in the event loop of the session."""

    def __init__(self, session: Session) -> None:
        self.session = session

    async def probe(self, name: str) -> None:
        """Find, update and delete nothing. The server checks permissions even if there is nothing to change."""
        never: Filter = {"_id": {"$in": []}}
        with self.session.kept_open():
            await self.session.find(name, never)
            await self.session.replace(name, never, {"version": 1})
            await self.session.delete(name, never)

    # Single entries

    async def get(self, name: str, key: str) -> ManagedEntry | None:
        document = await self.session.find(name, {"key": key})
        return None if document is None else load_document(document)

    async def put(self, name: str, key: str, entry: ManagedEntry) -> None:
        fields = document_fields(entry)
        with self.session.kept_open():
            await self.session.put(name, key, fields)

    async def delete(self, name: str, key: str) -> bool:
        return await self.session.delete(name, {"key": key, **_live()})

    # Batches

    async def get_each(self, name: str, keys: Sequence[str]) -> list[ManagedEntry | None]:
        entries = load_documents(await self.session.find_keys(name, keys))
        found = {entry.key: entry for entry in entries}
        return [found.get(key) for key in keys]

    async def put_each(self, name: str, keys: Sequence[str], entries: Sequence[ManagedEntry]) -> None:
        fields = list(map(document_fields, entries))
        with self.session.kept_open():
            await self.session.put_each(name, keys, fields)

    async def delete_each(self, name: str, keys: Sequence[str]) -> int:
        return await self.session.delete_keys(name, keys, _live())

    # Versions

    async def get_versioned(self, name: str, key: str) -> VersionedEntry | None:
        document = await self.session.find_undecoded(name, {"key": key})
        if document is None:
            return None
        return VersionedEntry(load_document(decode_document(document)), document_version(document))

    async def put_if_absent(self, name: str, key: str, entry: ManagedEntry) -> bool:
        fields = document_fields(entry)
        while not await self.session.insert(name, key, fields):
            found = await self.session.find_undecoded(name, {"key": key})
            if found is not None and not has_expired(found):
                return False
            # A document with this date has expired, even if it was changed meanwhile.
            if found is not None and await self.session.replace(
                name, {"_id": found["_id"], "expires_at": found["expires_at"]}, fields
            ):
                return True
            # The document was replaced or removed in between: try again.
        return True

    async def put_if_version(self, name: str, key: str, entry: ManagedEntry, version: str) -> bool:
        document = await self._find_version(name, key, version)
        fields = document_fields(entry)
        return document is not None and await self.session.replace(name, unchanged_condition(document, fields), fields)

    async def delete_if_version(self, name: str, key: str, version: str) -> bool:
        document = await self._find_version(name, key, version)
        return document is not None and await self.session.delete(name, unchanged_condition(document, {}))

    async def _find_version(self, name: str, key: str, version: str) -> Any:
        """Return the document if it has this version and has not expired. MongoDB cannot compare digests itself."""
        document = await self.session.find_undecoded(name, {"key": key})
        return None if document is None or document_version(document) != version or has_expired(document) else document

    # Names

    async def page(self, collection: str, name: str, prefix: str, cursor: str | None, limit: int) -> KeyPage:
        condition: Filter = {"$gte": prefix}
        if cursor is not None:
            condition["$gt"] = cursor
        end = end_of_prefix(prefix)
        if end is not None:
            condition["$lt"] = end
        documents = await self.session.page(name, {"key": condition, **_live()}, "key", ("key", "collection"), limit)
        return KeyPage(
            [each["key"] for each in documents if each.get("collection") in (None, collection)],
            documents[-1]["key"] if len(documents) == limit else None,
        )

    async def collection_of(self, name: str, collection: str | None, *, is_live: bool) -> str | None:
        """Return the collection of the first (live) entry found, optionally only in the given collection."""
        condition = {**_IS_ENTRY, **({} if collection is None else {"collection": collection})}
        found = await self.session.find(name, {**condition, **(_live() if is_live else {})})
        return None if found is None else found["collection"]

    # Removing

    async def delete_collection(self, name: str, collection: str) -> bool:
        return await self._delete_all(name, {**_IS_ENTRY, "collection": collection})

    async def cull(self, name: str, collection: str) -> None:
        await self._delete_all(name, {**_IS_ENTRY, "collection": collection, "expires_at": {"$lte": clock.now()}})

    async def _delete_all(self, name: str, condition: Filter) -> bool:
        """Delete documents that meet the condition, page by page; return whether any had not expired."""
        was_live = False
        with self.session.kept_open():
            while True:
                found = await self.session.page(name, condition, "_id", ("_id", "expires_at"), _DELETE_PAGE_DOCUMENTS)
                was_live = was_live or not all(map(has_expired, found))
                if found:
                    await self.session.delete_ids(name, [document["_id"] for document in found], condition)
                if len(found) < _DELETE_PAGE_DOCUMENTS:
                    # Stop here: concurrent writers might add documents endlessly.
                    return was_live
