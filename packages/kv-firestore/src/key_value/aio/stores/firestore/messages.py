"""Requests and answers as messages of protobuf.

The driver's own classes around them take ten times as long to build; only what it asks for is wrapped.
"""

from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from google.cloud.firestore_v1 import types
from google.protobuf.timestamp_pb2 import Timestamp
from key_value.aio.stores.firestore.documents import Condition, Found, Path, Write

__all__ = ["answered_documents", "answered_statuses", "commit_request", "get_request", "write_request"]

# It leaves the types of its messages out.
_types: Any = types
_BatchGet, _Commit, _BatchWrite = _types.BatchGetDocumentsRequest, _types.CommitRequest, _types.BatchWriteRequest
_BatchGetAnswer, _QueryAnswer = _types.BatchGetDocumentsResponse, _types.RunQueryResponse
_BatchWriteAnswer = _types.BatchWriteResponse
_Document, _Value, _Write, _Precondition = (
    each.pb() for each in (_types.Document, _types.Value, _types.Write, _types.Precondition)
)


def get_request(database: str, names: Iterable[str], fields: Sequence[str]) -> Any:
    mask = {"field_paths": fields} if fields else None
    return _BatchGet.wrap(_BatchGet.pb()(database=database, documents=names, mask=mask))


def commit_request(database: str, writes: Sequence[Write], name: Callable[[Path], str]) -> Any:
    return _Commit.wrap(_Commit.pb()(database=database, writes=[_write(each, name(each.path)) for each in writes]))


def write_request(database: str, writes: Sequence[Write], name: Callable[[Path], str]) -> Any:
    return _BatchWrite.wrap(
        _BatchWrite.pb()(database=database, writes=[_write(each, name(each.path)) for each in writes])
    )


async def answered_documents(answers: AsyncIterable[Any]) -> list[Found]:
    """The documents of a stream of answers, some of which have none."""
    found: list[Found] = []
    async for answer in answers:
        if isinstance(answer, _BatchGetAnswer):
            message: Any = _BatchGetAnswer.pb(answer)
            document = message.found if message.HasField("found") else None
        else:
            message = _QueryAnswer.pb(answer)
            document = message.document if message.HasField("document") else None
        if document is not None:
            found.append(_found(document))
    return found


def answered_statuses(answer: Any) -> list[tuple[int, str]]:
    """A code and its text for each write; the code is 0 where it was made."""
    return [(status.code, status.message) for status in _BatchWriteAnswer.pb(answer).status]


def _write(write: Write, name: str) -> Any:
    condition = None if write.condition is None else _precondition(write.condition)
    if write.fields is None:
        return _Write(delete=name, current_document=condition)
    fields = {field: _value(value) for field, value in write.fields.items()}
    return _Write(update=_Document(name=name, fields=fields), current_document=condition)


def _precondition(condition: Condition) -> Any:
    if not isinstance(condition, str):
        return _Precondition(exists=condition)
    seconds, _, nanos = condition.partition(".")
    return _Precondition(update_time=Timestamp(seconds=int(seconds), nanos=int(nanos)))


def _value(value: str | int | datetime) -> Any:
    if isinstance(value, str):
        return _Value(string_value=value)
    if isinstance(value, int):
        return _Value(integer_value=value)
    moment = Timestamp()
    moment.FromDatetime(value)
    return _Value(timestamp_value=moment)


def _found(document: Any) -> Found:
    _, collection, key = document.name.rsplit("/", 2)
    written_at = f"{document.update_time.seconds}.{document.update_time.nanos:09d}"
    return Found(Path(collection, key), {name: _plain(each) for name, each in document.fields.items()}, written_at)


def _plain(value: Any) -> Any:
    """What entries have, as it is in Python; anything else as the message that it is."""
    kind = value.WhichOneof("value_type")
    return None if kind == "null_value" else getattr(value, kind)
