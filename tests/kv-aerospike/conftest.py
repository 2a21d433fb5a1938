"""An empty set, on the fake or a server of the user's, and a raw client that inspects what it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aerospike
import pytest
from key_value.aio.stores.aerospike import AerospikeStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from servers.aerospike import AerospikeServer

SET = "kv-test"

# The client's default limits are one second each; a machine that stalls exceeds them.
CONNECTING: dict[str, Any] = {"connect_timeout": 60_000}
_LIMITS: dict[str, Any] = {"total_timeout": 60_000}

Driver: Any = aerospike  # annotated for an older version


class Raw:
    """An Aerospike client for one set of a namespace."""

    def __init__(self, url: str, set_name: str = SET) -> None:
        place = urlsplit(url)
        self.host, self.port = place.hostname or "", place.port or 3000
        self.namespace = place.path.removeprefix("/") or "test"
        self.set_name = set_name
        policies = dict.fromkeys(("read", "write", "remove", "query", "batch"), _LIMITS)
        self.config: dict[str, Any] = {"hosts": [(self.host, self.port)], "policies": policies, **CONNECTING}
        self.client = Driver.client(self.config)
        self.options: dict[str, Any] = {
            "hosts": [(self.host, self.port)],
            "namespace": self.namespace,
            "set_name": set_name,
            "timeout": 60.0,
            "client_config": CONNECTING,
        }

    def close(self) -> None:
        self.client.close()

    def options_with(self, **changes: Any) -> dict[str, Any]:
        """Return the options of a store on this set, with changes."""
        return {**self.options, **changes}

    def key(self, name: str, set_name: str = "") -> tuple[str, str, str]:
        return self.namespace, set_name or self.set_name, name

    def bins(self, name: str, set_name: str = "") -> dict[str, Any] | None:
        try:
            return self.client.get(self.key(name, set_name))[2]
        except Driver.exception.RecordNotFound:
            return None

    def meta(self, name: str) -> dict[str, int]:
        return self.client.get(self.key(name))[1]

    def put(self, name: str, bins: dict[str, Any], set_name: str = "") -> None:
        """Write a record as an application that does not store keys."""
        self.client.put(self.key(name, set_name), bins)

    def names(self) -> list[str | None]:
        """Return the keys stored with the records of the set, None for a record without a key."""
        return [key[2] for key, *_ in self.client.query(self.namespace, self.set_name).results({}, {"nobins": True})]

    def truncate(self, set_name: str = "") -> None:
        self.client.truncate(self.namespace, set_name or self.set_name, 0, {"timeout": 60_000})

    def statistics(self) -> dict[str, int]:
        """Return the server's counters by Aerospike's names."""
        (answer,) = (text for _, text in self.client.info_all("statistics", {"timeout": 60_000}).values())
        pairs = (pair.partition("=") for pair in answer.strip().rpartition("\t")[2].split(";"))
        return {name: int(count) for name, _, count in pairs if count.isdecimal()}


@pytest.fixture
def url(aerospike_server: AerospikeServer) -> str:
    return aerospike_server.url


@pytest.fixture
def raw(url: str) -> Iterator[Raw]:
    raw = Raw(url)
    raw.truncate()
    yield raw
    raw.close()


@pytest.fixture
async def store(raw: Raw) -> AsyncIterator[AerospikeStore]:
    async with AerospikeStore(**raw.options) as store:
        yield store


@pytest.fixture
def requests_made(raw: Raw) -> Callable[[], dict[str, int]]:
    """Count the server's requests by kind since the previous call."""
    seen = raw.statistics()

    def since_last() -> dict[str, int]:
        nonlocal seen
        before, seen = seen, raw.statistics()
        return {name: count - before.get(name, 0) for name, count in seen.items() if count != before.get(name, 0)}

    return since_last
