"""Any store against a dict, in sequences of calls that hypothesis makes up. Needs the extra `stateful`."""

import asyncio
import functools
import os
import time
import unicodedata
from collections.abc import Callable, Coroutine, Iterable
from datetime import datetime, timedelta, timezone
from itertools import chain
from typing import Any, ParamSpec, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from key_value.aio.protocols import (
    AsyncCullProtocol,
    AsyncDestroyCollectionProtocol,
    AsyncDestroyStoreProtocol,
    AsyncEnumerateCollectionsProtocol,
    AsyncEnumerateKeysProtocol,
    AsyncKeyValue,
)
from key_value.aio.testing.clock import FakeClock
from key_value.aio.testing.contract import capabilities_of
from key_value.aio.testing.names import NASTY_NAMES
from key_value.aio.testing.running import closing
from key_value.aio.testing.values import exact

__all__ = ["check_against_dict", "fuzzed", "json_objects", "names", "store_machine"]

T = TypeVar("T")
P = ParamSpec("P")

_Names = tuple[str, str]

FUZZ_SECONDS = float(os.environ.get("KV_TEST_FUZZ_SECONDS", "0"))

_SETTINGS = settings(
    max_examples=30, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text
_parts = st.recursive(
    _leaves,
    lambda parts: st.lists(parts, max_size=4) | st.dictionaries(text, parts, max_size=4),
    max_leaves=10,
)

json_objects = st.dictionaries(text, _parts, max_size=4)
"""What a store takes as a value."""

names = st.one_of(st.sampled_from(NASTY_NAMES), st.sampled_from(NASTY_NAMES), text.filter(bool))
"""What a store takes as a key or a collection."""


def _look_alikes(name: str) -> list[str]:
    texts = (name, name.swapcase(), *(unicodedata.normalize(form, name) for form in ("NFC", "NFD")))
    longer = (f"{name}:", f":{name}", f"{name}::{name}", f"{name}__", f"{name}/", f"../{name}", f"{name}*", f"{name}\0")
    return list(dict.fromkeys((*texts, *longer)))


_families = st.lists(
    names.flatmap(lambda name: st.lists(st.sampled_from(_look_alikes(name)), min_size=1, max_size=4)),
    min_size=1,
    max_size=2,
).map(lambda families: list(dict.fromkeys(chain.from_iterable(families))))

# The rules choose among a few names by number, so that they meet.
_number = st.integers(0, 5)
_numbers = st.lists(_number, max_size=8)
# Seconds, and how often the smallest difference that the backend keeps is added to them. A backend that expires
# entries itself outlasts the run by its own clock.
_ttls = st.none() | st.tuples(st.sampled_from([1000, 2000, 1_000_000]), st.integers(0, 2))
_waits = st.tuples(st.sampled_from([0, 500, 1000, 1_000_000]), st.integers(0, 2))


def check_against_dict(make_store: Callable[[], AsyncKeyValue], *, ttl_granularity: float = 0.0) -> None:
    """Compare a store with a dict in many runs; with `KV_TEST_FUZZ_SECONDS` set, for as long.

    `make_store` returns a new store with nothing stored, once for each run. `ttl_granularity` as in StoreTests.
    """
    fuzzed(run_state_machine_as_test)(store_machine(make_store, ttl_granularity=ttl_granularity), settings=_SETTINGS)


def store_machine(
    make_store: Callable[[], AsyncKeyValue], *, ttl_granularity: float = 0.0
) -> type[RuleBasedStateMachine]:
    """What `check_against_dict` runs, for a test that gives settings of its own or adds rules."""

    class Machine(_StoreMachine):
        def __init__(self) -> None:
            super().__init__(make_store(), ttl_granularity)

    return Machine


def fuzzed(test: Callable[P, T]) -> Callable[P, T]:
    """Repeat a hypothesis test, which then makes up other examples, for `KV_TEST_FUZZ_SECONDS`; else run it once."""

    @functools.wraps(test)
    def repeat(*args: P.args, **kwargs: P.kwargs) -> T:
        end = time.monotonic() + FUZZ_SECONDS
        outcome = test(*args, **kwargs)
        while time.monotonic() < end:
            outcome = test(*args, **kwargs)
        return outcome

    return repeat


class _Model:
    """What a store holds, as a dict: (collection, key) → value and moment of expiry."""

    def __init__(self, clock: FakeClock, *, native_expiry: bool) -> None:
        self._clock = clock
        self._native_expiry = native_expiry
        self._entries: dict[_Names, tuple[dict[str, Any], datetime | None]] = {}

    def put(self, at: _Names, value: dict[str, Any], ttl: float | None) -> None:
        self._entries[at] = value, None if ttl is None else self._clock.now() + timedelta(seconds=ttl)

    def get(self, at: _Names) -> dict[str, Any] | None:
        return self.ttl(at)[0]

    def ttl(self, at: _Names) -> tuple[dict[str, Any] | None, float | None]:
        value, expires_at = self._entries.get(at, (None, None))
        if expires_at is None:
            return value, None
        remaining = (expires_at - self._clock.now()).total_seconds()
        return (value, remaining) if remaining > 0 else (None, None)

    def at_least(self) -> set[_Names]:
        return {at for at in self._entries if self.get(at) is not None}

    def at_most(self) -> set[_Names]:
        # A backend that expires entries by its own clock still has those that only the fake clock expired.
        return set(self._entries) if self._native_expiry else self.at_least()

    def forget(self, entries: Iterable[_Names]) -> range:
        """Remove the entries; the numbers of them that a store may have had."""
        removed = set(entries)
        numbers = range(len(removed & self.at_least()), len(removed & self.at_most()) + 1)
        self._entries = {at: entry for at, entry in self._entries.items() if at not in removed}
        return numbers


class _StoreMachine(RuleBasedStateMachine):
    def __init__(self, store: AsyncKeyValue, ttl_granularity: float) -> None:
        super().__init__()
        # No runs end between an expiry and what the backend rounds it up to.
        self.least_seconds = ttl_granularity or 1e-6
        self.clock = FakeClock(datetime.now(timezone.utc).replace(microsecond=0))
        self.clock.__enter__()
        self.store: Any = store
        self.model = _Model(self.clock, native_expiry=capabilities_of(store).native_expiry)
        self.loop = asyncio.new_event_loop()

    def teardown(self) -> None:
        try:
            self.run(_close(self.store))
            self.run(self.loop.shutdown_asyncgens())
        finally:
            self.clock.__exit__()
            self.loop.close()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(coroutine)

    @initialize(keys=_families, collections=_families)
    def choose_names(self, keys: list[str], collections: list[str]) -> None:
        self.keys = keys
        self.collections = collections

    def at(self, collection: int, key: int) -> _Names:
        return self.collections[collection % len(self.collections)], self.keys[key % len(self.keys)]

    def batch(self, collection: int, keys: Iterable[int]) -> tuple[str, list[_Names]]:
        return self.at(collection, 0)[0], [self.at(collection, key) for key in keys]

    def seconds(self, ttl: tuple[int, int] | None) -> float | None:
        return None if ttl is None else ttl[0] + ttl[1] * self.least_seconds

    @rule(wait=_waits)
    def let_time_pass(self, wait: tuple[int, int]) -> None:
        self.clock.advance(self.seconds(wait) or 0)

    @rule(collection=_number, key=_number, value=json_objects, ttl=_ttls)
    def put(self, collection: int, key: int, value: dict[str, Any], ttl: tuple[int, int] | None) -> None:
        at = self.at(collection, key)
        self.run(self.store.put(at[1], value, collection=at[0], ttl=self.seconds(ttl)))
        self.model.put(at, value, self.seconds(ttl))

    @rule(collection=_number, pairs=st.lists(st.tuples(_number, json_objects), max_size=6), ttl=_ttls)
    def put_many(self, collection: int, pairs: list[tuple[int, dict[str, Any]]], ttl: tuple[int, int] | None) -> None:
        owner, entries = self.batch(collection, (key for key, _ in pairs))
        values = [value for _, value in pairs]
        self.run(self.store.put_many([key for _, key in entries], values, collection=owner, ttl=self.seconds(ttl)))
        for at, value in zip(entries, values, strict=True):
            self.model.put(at, value, self.seconds(ttl))

    @rule(collection=_number, key=_number)
    def get(self, collection: int, key: int) -> None:
        at = self.at(collection, key)
        assert exact(self.run(self.store.get(at[1], collection=at[0]))) == exact(self.model.get(at))

    @rule(collection=_number, key=_number)
    def ttl(self, collection: int, key: int) -> None:
        at = self.at(collection, key)
        assert _rounded(self.run(self.store.ttl(at[1], collection=at[0]))) == _rounded(self.model.ttl(at))

    @rule(collection=_number, keys=_numbers)
    def get_many(self, collection: int, keys: list[int]) -> None:
        owner, entries = self.batch(collection, keys)
        found = self.run(self.store.get_many([key for _, key in entries], collection=owner))
        assert exact(found) == exact([self.model.get(at) for at in entries])

    @rule(collection=_number, keys=_numbers)
    def ttl_many(self, collection: int, keys: list[int]) -> None:
        owner, entries = self.batch(collection, keys)
        found = self.run(self.store.ttl_many([key for _, key in entries], collection=owner))
        assert [_rounded(each) for each in found] == [_rounded(self.model.ttl(at)) for at in entries]

    @rule(collection=_number, key=_number)
    def delete(self, collection: int, key: int) -> None:
        at = self.at(collection, key)
        assert int(self.run(self.store.delete(at[1], collection=at[0]))) in self.model.forget([at])

    @rule(collection=_number, keys=_numbers)
    def delete_many(self, collection: int, keys: list[int]) -> None:
        owner, entries = self.batch(collection, keys)
        deleted = self.run(self.store.delete_many([key for _, key in entries], collection=owner))
        assert deleted in self.model.forget(entries)

    @precondition(lambda self: isinstance(self.store, AsyncEnumerateKeysProtocol))
    @rule(collection=_number)
    def list_keys(self, collection: int) -> None:
        owner, _ = self.at(collection, 0)
        found = self.run(self.store.keys(owner))
        assert len(set(found)) == len(found)
        assert _keys(owner, self.model.at_least()) <= set(found) <= _keys(owner, self.model.at_most())

    @precondition(lambda self: isinstance(self.store, AsyncEnumerateCollectionsProtocol))
    @rule()
    def list_collections(self) -> None:
        found = self.run(self.store.collections())
        assert len(set(found)) == len(found)
        assert {owner for owner, _ in self.model.at_least()} <= set(found)
        assert set(found) <= {owner for owner, _ in self.model.at_most()}

    @precondition(lambda self: isinstance(self.store, AsyncDestroyCollectionProtocol))
    @rule(collection=_number)
    def destroy_collection(self, collection: int) -> None:
        owner, entries = self.batch(collection, range(len(self.keys)))
        held = self.model.forget(entries)
        assert self.run(self.store.destroy_collection(owner)) in {bool(number) for number in held}

    @precondition(lambda self: isinstance(self.store, AsyncDestroyStoreProtocol))
    @rule()
    def destroy(self) -> None:
        assert self.run(self.store.destroy()) is True
        self.model.forget(self.model.at_most())

    @precondition(lambda self: isinstance(self.store, AsyncCullProtocol))
    @rule()
    def cull(self) -> None:
        self.run(self.store.cull())


def _keys(collection: str, entries: set[_Names]) -> set[str]:
    return {key for owner, key in entries if owner == collection}


def _rounded(answer: tuple[dict[str, Any] | None, float | None]) -> tuple[str, float | None]:
    value, remaining = answer
    return exact(value), None if remaining is None else round(remaining, 6)


async def _close(store: object) -> None:
    async with closing(store):
        pass
