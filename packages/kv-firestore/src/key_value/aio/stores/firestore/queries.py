"""Queries for the documents of a collection."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from key_value.aio.core.names import end_of_prefix
from key_value.aio.stores.firestore.documents import EXPIRES_AT, IDENTIFYING_FIELDS, Found
from key_value.aio.stores.firestore.names import is_id

__all__ = ["ExpiredQuery", "IdQuery", "Query"]

_NAME = "__name__"
# Sorts before all other characters in ids that are not reserved.
_FIRST_CHARACTER = "!"


class IdQuery(NamedTuple):
    """A query for the first documents after the id `after`, in id order, with ids that begin with `prefix`."""

    collection: str
    limit: int
    prefix: str = ""
    after: str | None = None
    with_values: bool = False

    def next_page(self, page: Sequence[Found]) -> "IdQuery | None":
        """Return the query for the page after this result; None if it was the last page."""
        return self._replace(after=page[-1].path.key) if len(page) == self.limit else None

    def under(self, root: str) -> dict[str, Any]:
        """Return the query in the format of Firestore. `root` is the prefix of all document names."""
        collection_path = f"{root}/{self.collection}/"
        end = end_of_prefix(self.prefix)
        bounds: list[Any] = []
        if self.prefix:
            bounds.append(_filter(_NAME, "GREATER_THAN_OR_EQUAL", {"reference_value": collection_path + self.prefix}))
        if end is not None:
            # Reserved ids are not allowed as bounds.
            end = end if is_id(end) else end + _FIRST_CHARACTER
            bounds.append(_filter(_NAME, "LESS_THAN", {"reference_value": collection_path + end}))
        start = None if self.after is None else [{"reference_value": collection_path + self.after}]
        return _query(self.collection, bounds, [_NAME], start, self.limit, with_values=self.with_values)


class ExpiredQuery(NamedTuple):
    """A query for documents expired at `moment`, an ISO time like `expires_at`, with their values, in expiry order."""

    collection: str
    limit: int
    moment: str
    after: tuple[str, str] | None = None
    """Expiry and id of the last document of the previous page."""

    def next_page(self, page: Sequence[Found]) -> "ExpiredQuery | None":
        """Return the query for the page after this result; None if it was the last page."""
        last = page[-1] if len(page) == self.limit else None
        return None if last is None else self._replace(after=(last.expires_at or "", last.path.key))

    def under(self, root: str) -> dict[str, Any]:
        """Return the query in the format of Firestore. `root` is the prefix of all document names."""
        bounds = [_filter(EXPIRES_AT, "LESS_THAN_OR_EQUAL", {"string_value": self.moment})]
        start: list[Any] | None = None
        if self.after is not None:
            expired_at, key_id = self.after
            name = f"{root}/{self.collection}/{key_id}"
            start = [{"string_value": expired_at}, {"reference_value": name}]
        return _query(self.collection, bounds, [EXPIRES_AT, _NAME], start, self.limit, with_values=True)


Query = IdQuery | ExpiredQuery


def _filter(field: str, operator: str, value: Any) -> dict[str, Any]:
    return {"field_filter": {"field": {"field_path": field}, "op": operator, "value": value}}


def _query(
    collection: str, bounds: list[Any], order: list[str], start: list[Any] | None, limit: int, *, with_values: bool
) -> dict[str, Any]:
    query: dict[str, Any] = {
        "from_": [{"collection_id": collection}],
        "order_by": [{"field": {"field_path": name}, "direction": "ASCENDING"} for name in order],
        "limit": limit,
    }
    if not with_values:
        query["select"] = {"fields": [{"field_path": name} for name in IDENTIFYING_FIELDS]}
    if bounds:
        query["where"] = {"composite_filter": {"op": "AND", "filters": bounds}}
    if start is not None:
        query["start_at"] = {"values": start, "before": False}
    return query
