"""How many requests a call takes, as the driver counts them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.stores.mongodb import MongoDBStore
from pymongo import AsyncMongoClient
from pymongo.monitoring import CommandListener

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

KEYS = [f"key {number:04}" for number in range(300)]
VALUES = [{"n": number} for number in range(300)]


class Requests(CommandListener):
    def __init__(self) -> None:
        self.commands: Counter[str] = Counter()

    def started(self, event: Any) -> None:
        self.commands[event.command_name] += 1

    def succeeded(self, event: Any) -> None: ...

    def failed(self, event: Any) -> None: ...

    def taken(self) -> dict[str, int]:
        """Return the commands since the last call."""
        commands, self.commands = self.commands, Counter()
        return dict(commands)


@pytest.fixture
def requests() -> Requests:
    return Requests()


@pytest.fixture
async def store(url: str, raw: Any, requests: Requests) -> AsyncIterator[MongoDBStore]:
    async with AsyncMongoClient[Any](url, event_listeners=[requests]) as client:
        store = MongoDBStore(client=client, db_name=raw.name, timeout=60)
        await store.put("first", {"n": 1})
        await store.put("timed", {"n": 1}, ttl=1000)
        requests.taken()
        yield store


async def put_if_version(store: MongoDBStore) -> None:
    found = await store.get_versioned("first")
    assert await store.put_if_version("first", {"n": 2}, found.version)


async def delete_if_version(store: MongoDBStore) -> None:
    found = await store.get_versioned("first")
    assert await store.delete_if_version("first", found.version or "")


CALLS: dict[str, tuple[Callable[[MongoDBStore], Awaitable[object]], dict[str, int]]] = {
    "get": (lambda store: store.get("first"), {"find": 1}),
    "ttl": (lambda store: store.ttl("timed"), {"find": 1}),
    "put": (lambda store: store.put("first", {"n": 2}), {"update": 1}),
    "put of a new key": (lambda store: store.put("new", {"n": 2}, ttl=60), {"update": 1}),
    "delete": (lambda store: store.delete("first"), {"delete": 1}),
    "get_many of 300": (lambda store: store.get_many(KEYS), {"find": 1}),
    "put_many of 300": (lambda store: store.put_many(KEYS, VALUES), {"update": 1}),
    "delete_many of 300": (lambda store: store.delete_many(KEYS), {"delete": 1}),
    "put_if_absent of a new key": (lambda store: store.put_if_absent("new", {"n": 2}), {"update": 1}),
    "put_if_absent of an existing key": (
        lambda store: store.put_if_absent("first", {"n": 2}),
        {"update": 1, "find": 1},
    ),
    "get_versioned": (lambda store: store.get_versioned("first"), {"find": 1}),
    "get_versioned and put_if_version": (put_if_version, {"find": 2, "update": 1}),
    "get_versioned and delete_if_version": (delete_if_version, {"find": 2, "delete": 1}),
    "scan": (lambda store: store.scan(), {"find": 1}),
    "keys": (lambda store: store.keys(), {"find": 1}),
    "collections": (lambda store: store.collections(), {"listCollections": 1, "find": 1}),
    "destroy_collection": (lambda store: store.destroy_collection("default_collection"), {"find": 1, "delete": 1}),
    "setup": (lambda store: store.setup(), {"find": 1, "update": 1, "delete": 1}),
}


@pytest.mark.parametrize("name", CALLS)
async def test_a_call_takes_the_fewest_possible_requests(store: MongoDBStore, requests: Requests, name: str) -> None:
    call, expected = CALLS[name]
    await call(store)
    assert requests.taken() == expected


async def test_a_batch_of_any_size_is_read_in_one_request(store: MongoDBStore, requests: Requests) -> None:
    await store.put_many(KEYS, VALUES)
    requests.taken()
    assert await store.get_many(KEYS) == VALUES
    assert requests.taken() == {"find": 1}
    assert len((await store.scan(prefix="key", limit=300)).keys) == 300
    assert requests.taken() == {"find": 1}


async def test_keys_that_exceed_one_command_are_sent_in_several(store: MongoDBStore, requests: Requests) -> None:
    keys = [f"{number:03}" + "x" * 65_000 for number in range(200)]
    assert await store.get_many(keys) == [None] * 200
    assert await store.delete_many(keys) == 0
    assert requests.taken() == {"find": 4, "delete": 4}


async def test_the_first_write_to_a_collection_creates_its_indexes_once(
    store: MongoDBStore, requests: Requests
) -> None:
    for number in range(3):
        await store.put("a", {"n": number}, collection="new")
    assert requests.taken() == {"createIndexes": 2, "update": 3}


class Writer(CommandListener):
    """A concurrent writer that puts a new entry after each deletion, up to a hundred."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self.written = 0

    def started(self, event: Any) -> None: ...

    def succeeded(self, event: Any) -> None:
        if event.command_name == "delete" and self.written < 100:
            self.written += 1
            entry: dict[str, Any] = {
                "key": f"new {self.written}",
                "collection": "shelf",
                "version": 1,
                "value": {"object": {}},
            }
            self._raw["shelf"].insert_one(entry)

    def failed(self, event: Any) -> None: ...


@pytest.mark.parametrize("call", ["destroy", "destroy_collection"])
async def test_destroying_ends_while_others_keep_writing(url: str, raw: Any, call: str) -> None:
    writer = Writer(raw)
    async with AsyncMongoClient[Any](url, event_listeners=[writer]) as client:
        store = MongoDBStore(client=client, db_name=raw.name, timeout=60)
        await store.put_many(KEYS, VALUES, collection="shelf")
        await (store.destroy() if call == "destroy" else store.destroy_collection("shelf"))
        assert writer.written == 1
        assert await store.keys("shelf") == ["new 1"]


async def test_destroying_removes_several_pages(store: MongoDBStore, raw: Any) -> None:
    keys = [f"key {number}" for number in range(2 * 999)]
    await store.put_many(keys, [{"n": 1}] * len(keys), collection="shelf")
    assert await store.destroy_collection("shelf") is True
    assert raw["shelf"].count_documents({}) == 0
