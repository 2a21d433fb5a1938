"""The blocking calls of the C client, on the records of one set."""

import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from aerospike_helpers.batch import records  # pyright: ignore[reportMissingTypeStubs] — it has none
from aerospike_helpers.operations import operations  # pyright: ignore[reportMissingTypeStubs] — it has none
from key_value.aio.errors import StoreSetupError
from key_value.aio.stores.aerospike.conditions import begins_with, is_still
from key_value.aio.stores.aerospike.errors import FORBIDDEN, NO_SERVER, NOT_FOUND, OK, refused

import aerospike
from aerospike import exception

__all__ = ["Item", "Key", "Query", "Records", "Stored", "connect", "is_client"]

Key = Any
"""The key of a record: its name, or its digest."""

BIN = "value"

# A server's own limit for a batch, by default: batch-max-requests.
_RECORDS_PER_BATCH = 5000
_BYTES_PER_BATCH = 32 * 1024 * 1024
_BATCH_FAILED = -16
_READ_RETRIES = 2
# The client's own default. Its thread asks the servers how they are with this limit too, and closing waits for it.
_CONNECTING_SECONDS = 1.0
# Anything longer is refused.
_LONGEST_TTL = 10 * 365 * 24 * 60 * 60

# Its annotations are partial.
_Driver: Any = aerospike
_Operations: Any = operations


class Item(NamedTuple):
    """What is to be stored; `ttl` in seconds, None for ever."""

    name: str
    text: str
    ttl: int | None


class Stored(NamedTuple):
    """What is stored: its bin, and how often the record was written."""

    text: Any
    generation: int


class Query(NamedTuple):
    """Which records to list: those of some partitions, and of one behind a digest."""

    begin: int
    width: int
    after: bytes | None
    most: int
    """0 for all."""
    prefix: str | None
    """Of the names; None for all. Records without a name always come."""


def is_client(client: object) -> bool:
    return isinstance(client, _Driver.Client)


def connect(config: Mapping[str, Any], seconds: float | None) -> Any:
    """A client of a cluster. The first of the hosts that answers tells the others."""
    try:
        connecting = _CONNECTING_SECONDS if seconds is None else min(seconds, _CONNECTING_SECONDS)
        return _Driver.client({"connect_timeout": _milliseconds(connecting), **config})
    except exception.AerospikeError as exc:
        _check_names(config["hosts"], exc)
        raise


def _check_names(hosts: Sequence[tuple[Any, ...]], error: Exception) -> None:
    """Raise the error of the system if all names are unknown: the client's does not tell."""
    unknown = [exc for host in hosts if (exc := _unknown(host[0], host[1])) is not None]
    if len(unknown) == len(hosts):
        raise unknown[0] from error


def _unknown(name: str, port: int) -> OSError | None:
    try:
        socket.getaddrinfo(name, port)
    except socket.gaierror as exc:
        return exc
    return None


class Records:
    """The records of a set. Each call takes a deadline by the monotonic clock, None for none."""

    def __init__(self, client: Any, namespace: str, set_name: str) -> None:
        self._client = client
        self._place = (namespace, set_name)

    def close(self) -> None:
        self._client.close()

    # Single records

    def get(self, deadline: float | None, name: str) -> Stored | None:
        try:
            _, meta, bins = self._client.get((*self._place, name), _reading(deadline))
        except exception.RecordNotFound:
            return None
        return Stored(bins.get(BIN), meta["gen"])

    def put(self, deadline: float | None, item: Item) -> None:
        policy = {**_writing(deadline, item.ttl), "exists": aerospike.POLICY_EXISTS_CREATE_OR_REPLACE}
        self._put(deadline, item, None, policy)

    def add(self, deadline: float | None, item: Item) -> bool:
        """Store it where nothing is; whether it was stored."""
        policy = {**_writing(deadline, item.ttl), "exists": aerospike.POLICY_EXISTS_CREATE}
        try:
            self._put(deadline, item, None, policy)
        except exception.RecordExistsError:
            return False
        return True

    def replace(self, deadline: float | None, item: Item, stored: Stored) -> bool:
        """Store it in place of what is known to be stored; whether that still was."""
        policy = {
            **_writing(deadline, item.ttl),
            "exists": aerospike.POLICY_EXISTS_REPLACE,
            "gen": aerospike.POLICY_GEN_EQ,
            "expressions": is_still(BIN, stored.text),
        }
        return _was_as_known(lambda: self._put(deadline, item, {"gen": stored.generation}, policy))

    def delete(self, deadline: float | None, name: str) -> bool:
        return _was_as_known(lambda: self._client.remove((*self._place, name), policy=_limits(deadline)))

    def delete_stored(self, deadline: float | None, name: str, stored: Stored) -> bool:
        """Remove what is known to be stored; whether it still was."""
        policy = {
            **_limits(deadline),
            "gen": aerospike.POLICY_GEN_EQ,
            "generation": stored.generation,
            "expressions": is_still(BIN, stored.text),
        }
        return _was_as_known(lambda: self._client.remove((*self._place, name), policy=policy))

    def _put(self, deadline: float | None, item: Item, meta: dict[str, int] | None, policy: dict[str, Any]) -> None:
        try:
            self._client.put((*self._place, item.name), {BIN: item.text}, meta, policy)
        except exception.ForbiddenError as exc:
            self._tell_of_expiry(deadline, item, exc)
            raise

    # Batches

    def get_each(self, deadline: float | None, keys: Sequence[Key]) -> list[Stored | None]:
        """What is stored under names or digests, in their order."""
        found: list[Stored | None] = []
        for start in range(0, len(keys), _RECORDS_PER_BATCH):
            asked = [self._key(key) for key in keys[start : start + _RECORDS_PER_BATCH]]
            answered = self._client.batch_read(asked, [BIN], _reading(deadline))
            found += [
                None if each.result else Stored(each.record[2].get(BIN), each.record[1]["gen"])
                for each in self._checked(answered, NOT_FOUND)
            ]
        return found

    def put_each(self, deadline: float | None, items: Sequence[Item]) -> None:
        for part in _parts(items):
            # All of them expire at the same time.
            policy = {**_stored(part[0].ttl), "exists": aerospike.POLICY_EXISTS_CREATE_OR_REPLACE}
            written: list[Any] = [
                records.Write((*self._place, item.name), [_Operations.write(BIN, item.text)], policy=policy)
                for item in part
            ]
            try:
                self._checked(self._client.batch_write(records.BatchRecords(written), _limits(deadline)))
            except exception.AerospikeError as exc:
                self._tell_of_expiry(deadline, part[0], exc)
                raise

    def delete_each(self, deadline: float | None, keys: Sequence[Key]) -> int:
        """Remove what is under names or digests; how many there were."""
        count = 0
        for start in range(0, len(keys), _RECORDS_PER_BATCH):
            asked = [self._key(key) for key in keys[start : start + _RECORDS_PER_BATCH]]
            removed = self._checked(self._client.batch_remove(asked, _limits(deadline)), NOT_FOUND)
            count += sum(each.result == OK for each in removed)
        return count

    # The set

    def query(self, deadline: float | None, asked: Query) -> list[tuple[str | None, bytes]]:
        """The names of records, None where none is stored, and their digests."""
        partitions: dict[str, Any] = {"begin": asked.begin, "count": asked.width}
        if asked.after is not None:
            partitions["digest"] = {"init": True, "value": bytearray(asked.after)}
        policy = {**_reading(deadline), "partition_filter": partitions}
        if asked.prefix is not None:
            policy["expressions"] = begins_with(asked.prefix)
        query = self._client.query(*self._place)
        query.max_records = asked.most
        try:
            found = query.results(policy, {"nobins": True})
        except exception.AerospikeError as exc:
            # Without a server, the client takes it for one that is too old.
            if not self._client.is_connected():
                raise refused(NO_SERVER) from exc
            raise
        # A key that is no text is another application's.
        return [(key[2], bytes(key[3])) for key, *_ in found if key[2] is None or isinstance(key[2], str)]

    def digest(self, name: str) -> bytes:
        return bytes(_Driver.calc_digest(*self._place, name))

    def truncate(self, deadline: float | None) -> None:
        self._client.truncate(*self._place, 0, {"timeout": _milliseconds(_left(deadline))})

    def _key(self, key: Key) -> tuple[Any, ...]:
        return (*self._place, key) if isinstance(key, str) else (*self._place, None, bytearray(key))

    def _checked(self, batch: Any, *accepted: int) -> list[Any]:
        """The records of a batch. Raises AerospikeError for one that failed, or for the batch.

        When no server can be reached, the batch alone says so, and its records say that all is well.
        """
        if batch.result not in (OK, _BATCH_FAILED):
            raise refused(batch.result if self._client.is_connected() else NO_SERVER)
        for each in batch.batch_records:
            if each.result not in (OK, *accepted):
                raise refused(each.result)
        return batch.batch_records

    def _tell_of_expiry(self, deadline: float | None, item: Item, error: exception.AerospikeError) -> None:
        """Raise StoreSetupError if the namespace refuses every ttl, as it does by default."""
        if item.ttl is None or error.args[0] != FORBIDDEN:
            return
        answers = self._client.info_all(f"namespace/{self._place[0]}", {"timeout": _milliseconds(_left(deadline))})
        for _, answer in answers.values():
            text: str = (answer or "").rpartition("\t")[2].strip()
            settings = {name: setting for name, _, setting in (pair.partition("=") for pair in text.split(";"))}
            if settings.get("nsup-period") == "0" and settings.get("allow-ttl-without-nsup") != "true":
                message = (
                    f"the namespace {self._place[0]} takes no entry with a ttl: set its nsup-period, in seconds, to "
                    "more than 0, with which Aerospike removes what has expired, or allow-ttl-without-nsup to true"
                )
                raise StoreSetupError(message) from error


def _left(deadline: float | None) -> float | None:
    """Seconds. Raises TimeoutError when there are none."""
    if deadline is None:
        return None
    left = deadline - time.monotonic()
    if left <= 0:
        message = "no thread was free in time"
        raise TimeoutError(message)
    return left


def _milliseconds(seconds: float | None) -> int:
    """As the client takes it: 0 for no limit."""
    return 0 if seconds is None else max(1, int(seconds * 1000))


def _limits(deadline: float | None) -> dict[str, Any]:
    left = _milliseconds(_left(deadline))
    return {"total_timeout": left, "socket_timeout": left, "max_retries": 0}


def _reading(deadline: float | None) -> dict[str, Any]:
    return {**_limits(deadline), "max_retries": _READ_RETRIES}


def _stored(ttl: int | None) -> dict[str, Any]:
    """How a record is kept: with its name, by which it is listed, and as long as asked."""
    lives = aerospike.TTL_NEVER_EXPIRE if ttl is None or ttl > _LONGEST_TTL else ttl
    return {"key": aerospike.POLICY_KEY_SEND, "ttl": lives}


def _writing(deadline: float | None, ttl: int | None) -> dict[str, Any]:
    return {**_limits(deadline), **_stored(ttl)}


def _was_as_known(write: Callable[[], object]) -> bool:
    try:
        write()
    except (exception.RecordNotFound, exception.RecordGenerationError, exception.FilteredOut):
        return False
    return True


def _parts(items: Sequence[Item]) -> Iterator[list[Item]]:
    part: list[Item] = []
    size = 0
    for item in items:
        if part and (len(part) == _RECORDS_PER_BATCH or size + len(item.text) > _BYTES_PER_BATCH):
            yield part
            part, size = [], 0
        part.append(item)
        size += len(item.text)
    yield part
