"""The operations on indices that the stores use."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple, cast
from urllib.parse import quote

from key_value.aio.core.codec import encode_value
from key_value.aio.core.requests import waited
from key_value.aio.core.search.documents import FlattenedField, mapping_for
from key_value.aio.core.search.driver import JSON_LINES, Refusal, Request
from key_value.aio.core.search.errors import (
    INDEX_EXISTS,
    INDEX_MISSING,
    DocumentsError,
    IncompleteResponseError,
    UnexpectedResponseError,
)
from key_value.aio.core.search.session import SearchSession
from key_value.aio.errors import StoreSetupError

__all__ = ["Action", "FoundDocument", "Refresh", "SearchIndices", "SequenceNumber"]

Refresh = Literal["listing", "write", "wait_for", "interval"]

_MAX_READ_DOCUMENTS = 1000
# https://www.elastic.co/docs/deploy-manage/production-guidance/optimize-performance/indexing-speed: a few megabytes.
_MAX_BULK_BYTES = 5_000_000
_MAX_DELETED_DOCUMENTS = 10_000
_BUCKETS_PER_PAGE = 1000

# The error of a single document in an _mget response has a type, but no status.
_STATUS_BY_TYPE = {INDEX_MISSING: 404, "security_exception": 403}
_STATUS_UNAVAILABLE = 503

_MIN_REFUSED_STATUS = 300
# An overloaded server (429) has certainly not executed the write. An unavailable shard (503) may have.
_NOT_EXECUTED = frozenset({429})
_RETRIED_IF_REPEATABLE = _NOT_EXECUTED | {_STATUS_UNAVAILABLE}

_COMPLETE_RESULTS = {"allow_partial_search_results": "false"}
_IGNORE_MISSING = {"ignore_unavailable": "true"}


class SequenceNumber(NamedTuple):
    """The sequence number and primary term of a document, which every write changes."""

    number: int
    primary_term: int


class FoundDocument(NamedTuple):
    document: dict[str, Any]
    seq_no: SequenceNumber


class Action(NamedTuple):
    """A write. With `if_seq_no`, it is executed only if the document still has this sequence number."""

    operation: Literal["index", "create", "delete"]
    id: str
    document: bytes = b""
    if_seq_no: SequenceNumber | None = None

    @property
    def lines(self) -> bytes:
        target: dict[str, Any] = {"_id": self.id}
        if self.if_seq_no is not None:
            target |= {"if_seq_no": self.if_seq_no.number, "if_primary_term": self.if_seq_no.primary_term}
        head = encode_value({self.operation: target})
        head = head.encode() if isinstance(head, str) else head
        return b"%b\n%b\n" % (head, self.document) if self.document else b"%b\n" % head

    @property
    def is_repeatable(self) -> bool:
        """Whether a repetition has the same outcome. A second deletion finds nothing, a second creation a conflict."""
        return self.operation == "index" and self.if_seq_no is None


class SearchIndices:
    """Documents in the indices of a server."""

    def __init__(self, session: SearchSession, field: FlattenedField, refresh: Refresh, *, auto_create: bool) -> None:
        self.session = session
        self._field = field
        self._refresh = refresh
        self._auto_create = auto_create
        self._missing_index: Mapping[str, str] = _IGNORE_MISSING if auto_create else {}

    # Documents

    async def read(
        self, index: str, ids: Sequence[str], deadline: float | None, fields: Sequence[str] = ()
    ) -> list[FoundDocument | None]:
        """Return the current documents, or some of their fields; None for each if the index does not exist yet."""
        return [self._found(each) for each in await self._read_all(index, ids, deadline, fields)]

    async def documents(self, index: str, ids: Sequence[str], deadline: float | None) -> list[dict[str, Any] | None]:
        """Return the same without sequence numbers, in half the CPU time."""
        results = await self._read_all(index, ids, deadline)
        try:
            # A document that is missing or could not be read has no _source.
            return [each["_source"] for each in results]
        except KeyError:
            return [found and found.document for found in map(self._found, results)]

    async def _read_all(
        self, index: str, ids: Sequence[str], deadline: float | None, fields: Sequence[str] = ()
    ) -> list[dict[str, Any]]:
        results: list[dict[str, Any]] = []
        path, params = _path(index, "_mget"), {"_source": ",".join(fields)} if fields else {}
        for start in range(0, len(ids), _MAX_READ_DOCUMENTS):
            body = _json({"ids": list(ids[start : start + _MAX_READ_DOCUMENTS])})
            results += await self._read(Request("POST", path, body, params), deadline)
        return results

    async def _read(self, request: Request, deadline: float | None) -> list[dict[str, Any]]:
        attempt = 0
        while True:
            results = _list(await self.session.send(request, deadline), "docs")
            unavailable = any("error" in each and _refusal(each).status == _STATUS_UNAVAILABLE for each in results)
            attempt += 1
            # For example, another client has just created the index, and the node has not opened it yet.
            if not unavailable or not await waited(attempt, deadline):
                return results

    def _found(self, result: dict[str, Any]) -> FoundDocument | None:
        if "error" in result:
            refusal = _refusal(result)
            if refusal.kind == INDEX_MISSING and self._auto_create:
                return None
            raise DocumentsError([(result.get("_id", ""), refusal)], 1)
        if not result.get("found"):
            return None
        return FoundDocument(result.get("_source") or {}, SequenceNumber(result["_seq_no"], result["_primary_term"]))

    async def write(self, index: str, actions: Sequence[Action], deadline: float | None) -> list[Refusal | None]:
        """Execute the actions; return a Refusal or, on success, None for each.

        Deleting a missing document results in `Refusal(404, "")`.
        """
        outcomes: list[Refusal | None] = []
        params = {"write": {"refresh": "true"}, "wait_for": {"refresh": "wait_for"}}.get(self._refresh, {})
        for bulk in _bulks(actions):
            outcomes += await self._write(index, bulk, params, deadline)
        return outcomes

    async def _write(
        self, index: str, bulk: "_Bulk", params: Mapping[str, str], deadline: float | None
    ) -> list[Refusal | None]:
        outcomes: dict[int, Refusal | None] = {}
        pending = list(range(len(bulk.actions)))
        retried = _RETRIED_IF_REPEATABLE if bulk.is_repeatable else _NOT_EXECUTED
        attempt = 0
        while True:
            body = b"".join(bulk.actions[number] for number in pending)
            request = Request(
                "POST", _path(index, "_bulk"), body, params, content_type=JSON_LINES, repeatable=bulk.is_repeatable
            )
            items = _list(await self.session.send(request, deadline), "items")
            outcomes.update(zip(pending, map(_outcome, items), strict=True))
            pending = [number for number in pending if (refused := outcomes[number]) and refused.status in retried]
            attempt += 1
            if not pending or not await waited(attempt, deadline):
                return [outcomes[number] for number in range(len(bulk.actions))]

    # Listing

    async def refresh(self, indices: str, deadline: float | None, *, always: bool = False) -> None:
        """Make earlier writes searchable if the option is "listing", or with `always`."""
        if always or self._refresh == "listing":
            await self.session.send(Request("POST", _path(indices, "_refresh"), params=self._missing_index), deadline)

    async def search(self, index: str, body: dict[str, Any], deadline: float | None) -> list[dict[str, Any]]:
        """Return the hits, empty if the index does not exist yet."""
        request = Request("POST", _path(index, "_search"), _json(body), {**_COMPLETE_RESULTS, **self._missing_index})
        return _list((await self.session.send(request, deadline)).get("hits", {}), "hits")

    async def buckets(
        self, indices: str, query: dict[str, Any], deadline: float | None
    ) -> AsyncGenerator[tuple[str, str], None]:
        """Yield each pair of an index and a stored collection in it that the query matches."""
        sources = [{"index": {"terms": {"field": "_index"}}}, {"collection": {"terms": {"field": "collection"}}}]
        composite: dict[str, Any] = {"size": _BUCKETS_PER_PAGE, "sources": sources}
        params = {**_COMPLETE_RESULTS, **self._missing_index}
        while True:
            body = {"size": 0, "query": query, "aggs": {"names": {"composite": composite}}}
            request = Request("POST", _path(indices, "_search"), _json(body), params)
            # Without an index, the response has no aggregations.
            names: Any = (await self.session.send(request, deadline)).get("aggregations", {}).get("names", {})
            buckets: list[Any] = names.get("buckets", [])
            for bucket in buckets:
                yield bucket["key"]["index"], bucket["key"]["collection"]
            if len(buckets) < _BUCKETS_PER_PAGE:
                return
            composite["after"] = names["after_key"]

    async def delete_by_query(self, indices: str, query: dict[str, Any]) -> int:
        """Delete the documents that the query matches, except any modified in the meantime; return how many.

        Each request has the full time limit.
        """
        conditions = {"conflicts": "proceed", "refresh": "true", "max_docs": str(_MAX_DELETED_DOCUMENTS)}
        params = {**self._missing_index, **conditions}
        request = Request("POST", _path(indices, "_delete_by_query"), _json({"query": query}), params)
        deleted = 0
        while True:
            async with self.session.operation() as deadline:
                response = await self.session.send(request, deadline)
            if response.get("failures"):
                raise IncompleteResponseError
            deleted += response["deleted"]
            if response["total"] < _MAX_DELETED_DOCUMENTS:
                return deleted

    # Indices

    async def prepare(self, index: str, deadline: float | None) -> None:
        """Create the index if it is missing, tolerating concurrent creation by others, and check its mapping."""
        mappings = await self._mappings(index, deadline)
        if not mappings:
            if not self._auto_create:
                message = f"the index {index!r} does not exist, and auto_create is off"
                raise StoreSetupError(message)
            if await self._create(index, deadline):
                return
            mappings = await self._mappings(index, deadline)
        expected = mapping_for(self._field)["properties"]
        for mapping in mappings:
            properties = mapping.get("properties", {})
            if _types(properties, self._field) != _types(expected, self._field):
                message = f"the index {index!r} has a mapping whose field types differ from those that entries need"
                raise StoreSetupError(message)
            if self._auto_create and ("names" not in properties or "json" not in properties["value"]["properties"]):
                # An earlier version created the index.
                body = _json({"properties": {name: expected[name] for name in ("names", "value")}})
                await self.session.send(Request("PUT", _path(index, "_mapping"), body), deadline)

    async def _mappings(self, index: str, deadline: float | None) -> list[dict[str, Any]]:
        response = await self.session.send(Request("GET", _path(index, "_mapping"), params=_IGNORE_MISSING), deadline)
        return [each.get("mappings", {}) for each in response.values()]

    async def _create(self, index: str, deadline: float | None) -> bool:
        """Create the index; return False if it already exists."""
        driver = self.session.driver
        try:
            await self.session.send(
                Request("PUT", _path(index), _json({"mappings": mapping_for(self._field)})), deadline
            )
        except driver.errors as error:
            if driver.refusal(error).kind != INDEX_EXISTS:
                raise
            return False
        return True


class _Bulk(NamedTuple):
    """The encoded actions of one bulk request."""

    actions: list[bytes]
    is_repeatable: bool


def _bulks(actions: Sequence[Action]) -> list[_Bulk]:
    bulks: list[_Bulk] = []
    size = 0
    repeatable = all(action.is_repeatable for action in actions)
    for action in actions:
        lines = action.lines
        if not bulks or size + len(lines) > _MAX_BULK_BYTES:
            bulks.append(_Bulk([], repeatable))
            size = 0
        bulks[-1].actions.append(lines)
        size += len(lines)
    return bulks


@lru_cache(maxsize=1024)
def _path(index: str, operation: str = "") -> str:
    return f"/{quote(index, safe='*')}/{operation}".rstrip("/")


def _json(fields: dict[str, Any]) -> bytes:
    encoded = encode_value(fields)
    return encoded.encode() if isinstance(encoded, str) else encoded


def _list(response: dict[str, Any], name: str) -> list[Any]:
    items: Any = response.get(name)
    if not isinstance(items, list):
        raise UnexpectedResponseError
    return cast("list[Any]", items)


def _outcome(item: dict[str, Any]) -> Refusal | None:
    """Return the outcome of an action from an item `{operation: outcome}` of the response."""
    [outcome] = item.values()
    status: int = outcome["status"]
    return None if status < _MIN_REFUSED_STATUS else Refusal(status, outcome.get("error", {}).get("type", ""))


def _refusal(result: dict[str, Any]) -> Refusal:
    """Return why a document could not be read."""
    kind: str = result["error"].get("type", "")
    return Refusal(_STATUS_BY_TYPE.get(kind, _STATUS_UNAVAILABLE), kind)


def _types(properties: Any, field: FlattenedField) -> list[Any]:
    """Return the types of the fields that the store depends on."""
    flattened = properties.get("value", {}).get("properties", {}).get(field.name, {})
    return [
        *(properties.get(name, {}).get("type") for name in ("collection", "key", "expires_at")),
        flattened.get("type"),
    ]
