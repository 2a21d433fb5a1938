"""The operations on indices that a store is made of."""

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
    IncompleteAnswerError,
    StrangeAnswerError,
)
from key_value.aio.core.search.session import SearchSession
from key_value.aio.errors import StoreSetupError

__all__ = ["Action", "Found", "Place", "Refresh", "SearchIndices"]

Refresh = Literal["listing", "write", "wait_for", "interval"]

_READ_AT_ONCE = 1000
# https://www.elastic.co/docs/deploy-manage/production-guidance/optimize-performance/indexing-speed: a few megabytes.
_MOST_WRITTEN_BYTES = 5_000_000
_DELETED_AT_ONCE = 10_000
_BUCKETS = 1000

# Where a document could not be read, the answer has no status.
_STATUS_OF = {INDEX_MISSING: 404, "security_exception": 403}
_UNAVAILABLE = 503

_REFUSED = 300
# What a server has no room for now, it has surely not done; what no shard took in time may be done.
_NOT_DONE = frozenset({429})
_WHEN_REPEATABLE = _NOT_DONE | {_UNAVAILABLE}

_COMPLETE = {"allow_partial_search_results": "false"}
_IF_ANY = {"ignore_unavailable": "true"}


class Place(NamedTuple):
    """Where a document stands in the history of its index: another write has another one."""

    sequence: int
    term: int


class Found(NamedTuple):
    document: dict[str, Any]
    place: Place


class Action(NamedTuple):
    """A write. One with a place is done only if the document is still there."""

    operation: Literal["index", "create", "delete"]
    id: str
    document: bytes = b""
    place: Place | None = None

    @property
    def lines(self) -> bytes:
        target: dict[str, Any] = {"_id": self.id}
        if self.place is not None:
            target |= {"if_seq_no": self.place.sequence, "if_primary_term": self.place.term}
        head = encode_value({self.operation: target})
        head = head.encode() if isinstance(head, str) else head
        return b"%b\n%b\n" % (head, self.document) if self.document else b"%b\n" % head

    @property
    def is_repeatable(self) -> bool:
        """The answer to a second deletion would be that there is nothing, and to a second creation that there is."""
        return self.operation == "index" and self.place is None


class SearchIndices:
    """Documents in the indices of a server."""

    def __init__(self, session: SearchSession, field: FlattenedField, refresh: Refresh, *, auto_create: bool) -> None:
        self.session = session
        self._field = field
        self._refresh = refresh
        self._auto_create = auto_create
        self._missing: Mapping[str, str] = _IF_ANY if auto_create else {}

    # Documents

    async def read(
        self, index: str, ids: Sequence[str], deadline: float | None, fields: Sequence[str] = ()
    ) -> list[Found | None]:
        """The documents, or some of their fields, as they are now; none where there is no index yet."""
        return [self._found(each) for each in await self._answers(index, ids, deadline, fields)]

    async def documents(self, index: str, ids: Sequence[str], deadline: float | None) -> list[dict[str, Any] | None]:
        """The same without their places, which takes half the time of the program."""
        answers = await self._answers(index, ids, deadline)
        try:
            # A document that is missing or could not be read has none.
            return [each["_source"] for each in answers]
        except KeyError:
            return [found and found.document for found in map(self._found, answers)]

    async def _answers(
        self, index: str, ids: Sequence[str], deadline: float | None, fields: Sequence[str] = ()
    ) -> list[dict[str, Any]]:
        answers: list[dict[str, Any]] = []
        path, params = _path(index, "_mget"), {"_source": ",".join(fields)} if fields else {}
        for start in range(0, len(ids), _READ_AT_ONCE):
            body = _json({"ids": list(ids[start : start + _READ_AT_ONCE])})
            answers += await self._read(Request("POST", path, body, params), deadline)
        return answers

    async def _read(self, request: Request, deadline: float | None) -> list[dict[str, Any]]:
        attempt = 0
        while True:
            answers = _list(await self.session.send(request, deadline), "docs")
            unread = any("error" in each and _refusal(each).status == _UNAVAILABLE for each in answers)
            attempt += 1
            # Such as of an index that another client has just created, which the node has not opened yet.
            if not unread or not await waited(attempt, deadline):
                return answers

    def _found(self, answer: dict[str, Any]) -> Found | None:
        if "error" in answer:
            refusal = _refusal(answer)
            if refusal.kind == INDEX_MISSING and self._auto_create:
                return None
            raise DocumentsError([(answer.get("_id", ""), refusal)], 1)
        if not answer.get("found"):
            return None
        return Found(answer.get("_source") or {}, Place(answer["_seq_no"], answer["_primary_term"]))

    async def write(self, index: str, actions: Sequence[Action], deadline: float | None) -> list[Refusal | None]:
        """What was refused, of each; None for what was done. A missing document is `Refusal(404, "")`."""
        outcomes: list[Refusal | None] = []
        params = {"write": {"refresh": "true"}, "wait_for": {"refresh": "wait_for"}}.get(self._refresh, {})
        for lines in _batches(actions):
            outcomes += await self._write(index, lines, params, deadline)
        return outcomes

    async def _write(
        self, index: str, lines: "Lines", params: Mapping[str, str], deadline: float | None
    ) -> list[Refusal | None]:
        outcomes: dict[int, Refusal | None] = {}
        left = list(range(len(lines.each)))
        again = _WHEN_REPEATABLE if lines.are_repeatable else _NOT_DONE
        attempt = 0
        while True:
            body = b"".join(lines.each[number] for number in left)
            request = Request(
                "POST", _path(index, "_bulk"), body, params, content_type=JSON_LINES, repeatable=lines.are_repeatable
            )
            answer = _list(await self.session.send(request, deadline), "items")
            outcomes.update(zip(left, map(_outcome, answer), strict=True))
            left = [number for number in left if (refused := outcomes[number]) and refused.status in again]
            attempt += 1
            if not left or not await waited(attempt, deadline):
                return [outcomes[number] for number in range(len(lines.each))]

    # Listing

    async def refresh(self, indices: str, deadline: float | None, *, always: bool = False) -> None:
        """Let what was written be found, unless it is told that others see to it, or always."""
        if always or self._refresh == "listing":
            await self.session.send(Request("POST", _path(indices, "_refresh"), params=self._missing), deadline)

    async def search(self, index: str, body: dict[str, Any], deadline: float | None) -> list[dict[str, Any]]:
        """The hits; none where there is no index yet."""
        request = Request("POST", _path(index, "_search"), _json(body), {**_COMPLETE, **self._missing})
        return _list((await self.session.send(request, deadline)).get("hits", {}), "hits")

    async def buckets(
        self, indices: str, query: dict[str, Any], deadline: float | None
    ) -> AsyncGenerator[tuple[str, str], None]:
        """Each index with each stored collection in it that the query finds."""
        sources = [{"index": {"terms": {"field": "_index"}}}, {"collection": {"terms": {"field": "collection"}}}]
        composite: dict[str, Any] = {"size": _BUCKETS, "sources": sources}
        while True:
            body = {"size": 0, "query": query, "aggs": {"names": {"composite": composite}}}
            request = Request("POST", _path(indices, "_search"), _json(body), {**_COMPLETE, **self._missing})
            # Where there is no index, there is no aggregation either.
            names: Any = (await self.session.send(request, deadline)).get("aggregations", {}).get("names", {})
            buckets: list[Any] = names.get("buckets", [])
            for bucket in buckets:
                yield bucket["key"]["index"], bucket["key"]["collection"]
            if len(buckets) < _BUCKETS:
                return
            composite["after"] = names["after_key"]

    async def delete_found(self, indices: str, query: dict[str, Any]) -> int:
        """Remove what the query finds, unless it changes meanwhile; how much that was. Each part has its own time."""
        params = {**self._missing, "conflicts": "proceed", "refresh": "true", "max_docs": str(_DELETED_AT_ONCE)}
        request = Request("POST", _path(indices, "_delete_by_query"), _json({"query": query}), params)
        deleted = 0
        while True:
            async with self.session.operation() as deadline:
                answer = await self.session.send(request, deadline)
            if answer.get("failures"):
                raise IncompleteAnswerError
            deleted += answer["deleted"]
            if answer["total"] < _DELETED_AT_ONCE:
                return deleted

    # Indices

    async def prepare(self, index: str, deadline: float | None) -> None:
        """Create the index where it is missing, which others may do at the same time, and check its mapping."""
        mappings = await self._mappings(index, deadline)
        if not mappings:
            if not self._auto_create:
                message = f"there is no index {index!r}, and auto_create is off"
                raise StoreSetupError(message)
            if await self._create(index, deadline):
                return
            mappings = await self._mappings(index, deadline)
        wanted = mapping_for(self._field)["properties"]
        for mapping in mappings:
            properties = mapping.get("properties", {})
            if _types(properties, self._field) != _types(wanted, self._field):
                message = f"the index {index!r} has fields of other types than entries need"
                raise StoreSetupError(message)
            if self._auto_create and ("names" not in properties or "json" not in properties["value"]["properties"]):
                # One of an earlier version.
                body = _json({"properties": {name: wanted[name] for name in ("names", "value")}})
                await self.session.send(Request("PUT", _path(index, "_mapping"), body), deadline)

    async def _mappings(self, index: str, deadline: float | None) -> list[dict[str, Any]]:
        answer = await self.session.send(Request("GET", _path(index, "_mapping"), params=_IF_ANY), deadline)
        return [each.get("mappings", {}) for each in answer.values()]

    async def _create(self, index: str, deadline: float | None) -> bool:
        """Whether it was not another who did."""
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


class Lines(NamedTuple):
    """Some of the actions, which go to the server together."""

    each: list[bytes]
    are_repeatable: bool


def _batches(actions: Sequence[Action]) -> list[Lines]:
    batches: list[Lines] = []
    size = 0
    repeatable = all(action.is_repeatable for action in actions)
    for action in actions:
        lines = action.lines
        if not batches or size + len(lines) > _MOST_WRITTEN_BYTES:
            batches.append(Lines([], repeatable))
            size = 0
        batches[-1].each.append(lines)
        size += len(lines)
    return batches


@lru_cache(maxsize=1024)
def _path(index: str, operation: str = "") -> str:
    return f"/{quote(index, safe='*')}/{operation}".rstrip("/")


def _json(fields: dict[str, Any]) -> bytes:
    encoded = encode_value(fields)
    return encoded.encode() if isinstance(encoded, str) else encoded


def _list(answer: dict[str, Any], name: str) -> list[Any]:
    listed: Any = answer.get(name)
    if not isinstance(listed, list):
        raise StrangeAnswerError
    return cast("list[Any]", listed)


def _outcome(item: dict[str, Any]) -> Refusal | None:
    """What became of an action, from `{operation: outcome}`."""
    [outcome] = item.values()
    status: int = outcome["status"]
    return None if status < _REFUSED else Refusal(status, outcome.get("error", {}).get("type", ""))


def _refusal(answer: dict[str, Any]) -> Refusal:
    """Why a document could not be read."""
    kind: str = answer["error"].get("type", "")
    return Refusal(_STATUS_OF.get(kind, _UNAVAILABLE), kind)


def _types(properties: Any, field: FlattenedField) -> list[Any]:
    """The types of the fields on which the store relies."""
    flattened = properties.get("value", {}).get("properties", {}).get(field.name, {})
    return [
        *(properties.get(name, {}).get("type") for name in ("collection", "key", "expires_at")),
        flattened.get("type"),
    ]
