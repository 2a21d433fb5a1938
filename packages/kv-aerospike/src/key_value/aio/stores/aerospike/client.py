"""Blocking calls of the C client on the records of one set."""

import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from aerospike_helpers.batch import records  # pyright: ignore[reportMissingTypeStubs] — no stubs exist
from aerospike_helpers.operations import operations  # pyright: ignore[reportMissingTypeStubs] — no stubs exist
from key_value.aio.errors import StoreSetupError
from key_value.aio.stores.aerospike.conditions import begins_with, is_unchanged
from key_value.aio.stores.aerospike.errors import FORBIDDEN, NO_SERVER, NOT_FOUND, OK, error_of_code

import aerospike
from aerospike import exception

__all__ = ["Item", "Key", "Query", "Records", "Stored", "connect", "is_client"]

Key = Any
"""The key of a record: its name, or its digest."""

BIN = "value"

# The server's default limit for a batch: batch-max-requests.
_RECORDS_PER_BATCH = 5000
_BYTES_PER_BATCH = 32 * 1024 * 1024
_BATCH_FAILED = -16
_MAX_READ_RETRIES = 2
# The client's own default. It also limits the health checks in the client's thread, for which closing waits.
_MAX_CONNECT_TIMEOUT_SECONDS = 1.0
# The server rejects a longer TTL.
_MAX_TTL_SECONDS = 10 * 365 * 24 * 60 * 60

# The client's annotations are incomplete.
_Driver: Any = aerospike
_Operations: Any = operations


class Item(NamedTuple):
    """A record to store. `ttl` is in seconds, None for no expiry."""

    name: str
    text: str
    ttl: int | None


class Stored(NamedTuple):
    """A stored record: the content of its bin, and its generation, the number of writes."""

    text: Any
    generation: int


class Query(NamedTuple):
    """The records to list: those of `width` partitions from `begin`, optionally after a digest."""

    begin: int
    width: int
    after: bytes | None
    limit: int
    """The maximum number of records, 0 for all."""
    prefix: str | None
    """The prefix of the names, None for all. Records without a name are always listed."""


def is_client(client: object) -> bool:
    return isinstance(client, _Driver.Client)


def connect(config: Mapping[str, Any], seconds: float | None) -> Any:
    """Return a client of a cluster. The first host that answers reports the other nodes."""
    try:
        limit = _MAX_CONNECT_TIMEOUT_SECONDS if seconds is None else min(seconds, _MAX_CONNECT_TIMEOUT_SECONDS)
        return _Driver.client({"connect_timeout": _milliseconds(limit), **config})
    except exception.AerospikeError as exc:
        _check_names(config["hosts"], exc)
        raise


def _check_names(hosts: Sequence[tuple[Any, ...]], error: Exception) -> None:
    """Raise the resolver's error if all host names are unknown, which the client's error does not show."""
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
    """The records of a set. Each call takes a deadline on the monotonic clock, None for no limit."""

    def __init__(self, client: Any, namespace: str, set_name: str) -> None:
        self._client = client
        self._set_id = (namespace, set_name)

    def close(self) -> None:
        self._client.close()

    # Single records

    def get(self, deadline: float | None, name: str) -> Stored | None:
        try:
            _, meta, bins = self._client.get((*self._set_id, name), _read_policy(deadline))
        except exception.RecordNotFound:
            return None
        return Stored(bins.get(BIN), meta["gen"])

    def put(self, deadline: float | None, item: Item) -> None:
        policy = {**_write_policy(deadline, item.ttl), "exists": aerospike.POLICY_EXISTS_CREATE_OR_REPLACE}
        self._put(deadline, item, None, policy)

    def add(self, deadline: float | None, item: Item) -> bool:
        """Store the item unless one exists. Return whether it was stored."""
        policy = {**_write_policy(deadline, item.ttl), "exists": aerospike.POLICY_EXISTS_CREATE}
        try:
            self._put(deadline, item, None, policy)
        except exception.RecordExistsError:
            return False
        return True

    def replace(self, deadline: float | None, item: Item, stored: Stored) -> bool:
        """Replace a stored item if it is unchanged. Return whether it was."""
        policy = {
            **_write_policy(deadline, item.ttl),
            "exists": aerospike.POLICY_EXISTS_REPLACE,
            "gen": aerospike.POLICY_GEN_EQ,
            "expressions": is_unchanged(BIN, stored.text),
        }
        return _was_applied(lambda: self._put(deadline, item, {"gen": stored.generation}, policy))

    def delete(self, deadline: float | None, name: str) -> bool:
        return _was_applied(lambda: self._client.remove((*self._set_id, name), policy=_base_policy(deadline)))

    def delete_stored(self, deadline: float | None, name: str, stored: Stored) -> bool:
        """Remove a stored item if it is unchanged. Return whether it was."""
        policy = {
            **_base_policy(deadline),
            "gen": aerospike.POLICY_GEN_EQ,
            "generation": stored.generation,
            "expressions": is_unchanged(BIN, stored.text),
        }
        return _was_applied(lambda: self._client.remove((*self._set_id, name), policy=policy))

    def _put(self, deadline: float | None, item: Item, meta: dict[str, int] | None, policy: dict[str, Any]) -> None:
        try:
            self._client.put((*self._set_id, item.name), {BIN: item.text}, meta, policy)
        except exception.ForbiddenError as exc:
            self._check_ttl_allowed(deadline, item, exc)
            raise

    # Batches

    def get_each(self, deadline: float | None, keys: Sequence[Key]) -> list[Stored | None]:
        """Return the records with these names or digests, None for a missing one."""
        found: list[Stored | None] = []
        for start in range(0, len(keys), _RECORDS_PER_BATCH):
            batch_keys = [self._key(key) for key in keys[start : start + _RECORDS_PER_BATCH]]
            answered = self._client.batch_read(batch_keys, [BIN], _read_policy(deadline))
            found += [
                None if each.result else Stored(each.record[2].get(BIN), each.record[1]["gen"])
                for each in self._checked(answered, NOT_FOUND)
            ]
        return found

    def put_each(self, deadline: float | None, items: Sequence[Item]) -> None:
        for part in _chunks(items):
            # All items of a batch have the same expiry.
            policy = {**_storage_policy(part[0].ttl), "exists": aerospike.POLICY_EXISTS_CREATE_OR_REPLACE}
            written: list[Any] = [
                records.Write((*self._set_id, item.name), [_Operations.write(BIN, item.text)], policy=policy)
                for item in part
            ]
            try:
                self._checked(self._client.batch_write(records.BatchRecords(written), _base_policy(deadline)))
            except exception.AerospikeError as exc:
                self._check_ttl_allowed(deadline, part[0], exc)
                raise

    def delete_each(self, deadline: float | None, keys: Sequence[Key]) -> int:
        """Remove the records with these names or digests. Return how many existed."""
        count = 0
        for start in range(0, len(keys), _RECORDS_PER_BATCH):
            batch_keys = [self._key(key) for key in keys[start : start + _RECORDS_PER_BATCH]]
            removed = self._checked(self._client.batch_remove(batch_keys, _base_policy(deadline)), NOT_FOUND)
            count += sum(each.result == OK for each in removed)
        return count

    # The set

    def query(self, deadline: float | None, wanted: Query) -> list[tuple[str | None, bytes]]:
        """Return the names of records, None for one stored without a name, with their digests."""
        partitions: dict[str, Any] = {"begin": wanted.begin, "count": wanted.width}
        if wanted.after is not None:
            partitions["digest"] = {"init": True, "value": bytearray(wanted.after)}
        policy = {**_read_policy(deadline), "partition_filter": partitions}
        if wanted.prefix is not None:
            policy["expressions"] = begins_with(wanted.prefix)
        query = self._client.query(*self._set_id)
        query.max_records = wanted.limit
        try:
            found = query.results(policy, {"nobins": True})
        except exception.AerospikeError as exc:
            # Without a connection, the client wrongly reports a server that is too old.
            if not self._client.is_connected():
                raise error_of_code(NO_SERVER) from exc
            raise
        # A key that is not a string belongs to another application.
        return [(key[2], bytes(key[3])) for key, *_ in found if key[2] is None or isinstance(key[2], str)]

    def digest(self, name: str) -> bytes:
        return bytes(_Driver.calc_digest(*self._set_id, name))

    def truncate(self, deadline: float | None) -> None:
        self._client.truncate(*self._set_id, 0, {"timeout": _milliseconds(_remaining(deadline))})

    def _key(self, key: Key) -> tuple[Any, ...]:
        return (*self._set_id, key) if isinstance(key, str) else (*self._set_id, None, bytearray(key))

    def _checked(self, batch: Any, *accepted: int) -> list[Any]:
        """Return the records of a batch. Raises AerospikeError if a record or the whole batch failed.

        When no server can be reached, only the result of the batch shows it; those of its records are OK.
        """
        if batch.result not in (OK, _BATCH_FAILED):
            raise error_of_code(batch.result if self._client.is_connected() else NO_SERVER)
        for each in batch.batch_records:
            if each.result not in (OK, *accepted):
                raise error_of_code(each.result)
        return batch.batch_records

    def _check_ttl_allowed(self, deadline: float | None, item: Item, error: exception.AerospikeError) -> None:
        """Raise StoreSetupError if the namespace rejects every TTL, which is the default."""
        if item.ttl is None or error.args[0] != FORBIDDEN:
            return
        answers = self._client.info_all(
            f"namespace/{self._set_id[0]}", {"timeout": _milliseconds(_remaining(deadline))}
        )
        for _, answer in answers.values():
            text: str = (answer or "").rpartition("\t")[2].strip()
            settings = {name: setting for name, _, setting in (pair.partition("=") for pair in text.split(";"))}
            if settings.get("nsup-period") == "0" and settings.get("allow-ttl-without-nsup") != "true":
                message = (
                    f"the namespace {self._set_id[0]} rejects entries with a TTL: set its nsup-period to more than 0 "
                    "seconds, so that Aerospike removes expired records, or allow-ttl-without-nsup to true"
                )
                raise StoreSetupError(message) from error


def _remaining(deadline: float | None) -> float | None:
    """Return the seconds until the deadline. Raises TimeoutError if it has passed."""
    if deadline is None:
        return None
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        message = "no thread was free in time"
        raise TimeoutError(message)
    return seconds


def _milliseconds(seconds: float | None) -> int:
    """Return a time limit in the client's form: 0 for no limit."""
    return 0 if seconds is None else max(1, int(seconds * 1000))


def _base_policy(deadline: float | None) -> dict[str, Any]:
    milliseconds = _milliseconds(_remaining(deadline))
    return {"total_timeout": milliseconds, "socket_timeout": milliseconds, "max_retries": 0}


def _read_policy(deadline: float | None) -> dict[str, Any]:
    return {**_base_policy(deadline), "max_retries": _MAX_READ_RETRIES}


def _storage_policy(ttl: int | None) -> dict[str, Any]:
    """Return the policy for storing a record: with its name, which listings need, and its TTL."""
    record_ttl = aerospike.TTL_NEVER_EXPIRE if ttl is None or ttl > _MAX_TTL_SECONDS else ttl
    return {"key": aerospike.POLICY_KEY_SEND, "ttl": record_ttl}


def _write_policy(deadline: float | None, ttl: int | None) -> dict[str, Any]:
    return {**_base_policy(deadline), **_storage_policy(ttl)}


def _was_applied(write: Callable[[], object]) -> bool:
    try:
        write()
    except (exception.RecordNotFound, exception.RecordGenerationError, exception.FilteredOut):
        return False
    return True


def _chunks(items: Sequence[Item]) -> Iterator[list[Item]]:
    part: list[Item] = []
    size = 0
    for item in items:
        if part and (len(part) == _RECORDS_PER_BATCH or size + len(item.text) > _BYTES_PER_BATCH):
            yield part
            part, size = [], 0
        part.append(item)
        size += len(item.text)
    yield part
