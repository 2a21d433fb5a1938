"""Requests and responses as protobuf messages.

Building the driver's wrapper classes takes ten times as long, so only the outermost messages are wrapped.
"""

from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from google.cloud.firestore_v1 import types
from google.protobuf.timestamp_pb2 import Timestamp
from key_value.aio.stores.firestore.documents import Condition, Found, Path, Write

__all__ = ["batch_write_request", "commit_request", "documents_in", "get_request", "statuses_in"]

# The package has no type annotations for its messages.
_types: Any = types
_BatchGet, _Commit, _BatchWrite = _types.BatchGetDocumentsRequest, _types.CommitRequest, _types.BatchWriteRequest
_BatchGetResponse, _QueryResponse = _types.BatchGetDocumentsResponse, _types.RunQueryResponse
_BatchWriteResponse = _types.BatchWriteResponse
_Document, _Value, _Write, _Precondition = (
    each.pb() for each in (_types.Document, _types.Value, _types.Write, _types.Precondition)
)


def get_request(database: str, names: Iterable[str], fields: Sequence[str]) -> Any:
    mask = {"field_paths": fields} if fields else None
    return _BatchGet.wrap(_BatchGet.pb()(database=database, documents=names, mask=mask))


def commit_request(database: str, writes: Sequence[Write], name: Callable[[Path], str]) -> Any:
    return _Commit.wrap(_Commit.pb()(database=database, writes=[_write(each, name(each.path)) for each in writes]))


def batch_write_request(database: str, writes: Sequence[Write], name: Callable[[Path], str]) -> Any:
    return _BatchWrite.wrap(
        _BatchWrite.pb()(database=database, writes=[_write(each, name(each.path)) for each in writes])
    )


async def documents_in(responses: AsyncIterable[Any]) -> list[Found]:
    """Return the documents in a stream of responses. Some responses contain none."""
    found: list[Found] = []
    async for response in responses:
        if isinstance(response, _BatchGetResponse):
            message: Any = _BatchGetResponse.pb(response)
            document = message.found if message.HasField("found") else None
        else:
            message = _QueryResponse.pb(response)
            document = message.document if message.HasField("document") else None
        if document is not None:
            found.append(_found(document))
    return found


def statuses_in(response: Any) -> list[tuple[int, str]]:
    """Return status code and message of each write; code 0 means success."""
    return [(status.code, status.message) for status in _BatchWriteResponse.pb(response).status]


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
    timestamp = Timestamp()
    timestamp.FromDatetime(value)
    return _Value(timestamp_value=timestamp)


def _found(document: Any) -> Found:
    _, collection, key = document.name.rsplit("/", 2)
    updated_at = f"{document.update_time.seconds}.{document.update_time.nanos:09d}"
    return Found(Path(collection, key), {name: _plain(each) for name, each in document.fields.items()}, updated_at)


def _plain(value: Any) -> Any:
    """Return the Python value of scalar fields, and the protobuf message of others."""
    kind = value.WhichOneof("value_type")
    return None if kind == "null_value" else getattr(value, kind)
