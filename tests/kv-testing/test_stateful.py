from datetime import timedelta

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from key_value.aio.protocols import KeyPage
from key_value.aio.stores.base import ManagedEntry
from key_value.aio.stores.simple import SimpleStore
from key_value.aio.testing.stateful import check_against_dict, fuzzed, store_machine


class ForgetsTheOldest(SimpleStore):
    def __init__(self) -> None:
        super().__init__(max_entries=2)


class FoldsCase(SimpleStore):
    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
        return await super()._get_managed_entry(collection=collection, key=key.lower())

    async def _put_managed_entry(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        await super()._put_managed_entry(collection=collection, key=key.lower(), managed_entry=managed_entry)


class ExpiresLate(SimpleStore):
    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
        entry = await super()._get_managed_entry(collection=collection, key=key)
        if entry is None or entry.expires_at is None:
            return entry
        return ManagedEntry(value=entry.value, expires_at=entry.expires_at + timedelta(milliseconds=500))


class MissesDestroyedKeys(SimpleStore):
    async def _delete_store(self) -> bool:
        self._entries.popitem()
        return True


class IgnoresVersions(SimpleStore):
    async def _put_managed_entry_if_version(
        self, *, collection: str, key: str, managed_entry: ManagedEntry, version: str | None
    ) -> bool:
        if version is not None:
            self._store(collection, key, managed_entry)
            return True
        return await super()._put_managed_entry_if_version(
            collection=collection, key=key, managed_entry=managed_entry, version=version
        )


class ForgetsAKeyOfAPage(SimpleStore):
    async def _get_key_page(self, *, collection: str, prefix: str, cursor: str | None, limit: int) -> KeyPage:
        page = await super()._get_key_page(collection=collection, prefix=prefix, cursor=cursor, limit=limit)
        return KeyPage(page.keys[:1], page.cursor)


BROKEN = [ForgetsTheOldest, FoldsCase, ExpiresLate, MissesDestroyedKeys, IgnoresVersions, ForgetsAKeyOfAPage]


def test_a_sound_store_behaves_like_a_dict() -> None:
    check_against_dict(SimpleStore)


@pytest.mark.parametrize(
    "broken", [ForgetsTheOldest, FoldsCase, ExpiresLate, MissesDestroyedKeys, IgnoresVersions, ForgetsAKeyOfAPage]
)
def test_a_broken_store_is_distinguished_from_a_dict(broken: type[SimpleStore]) -> None:
    machine = store_machine(broken)
    # Without shrinking, which takes longer than everything else.
    chosen = settings(max_examples=1000, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
    with pytest.raises((AssertionError, KeyError)):
        run_state_machine_as_test(machine, settings=chosen)


def test_a_fuzzed_test_runs_once_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("key_value.aio.testing.stateful.FUZZ_SECONDS", 0.0)
    runs: list[int] = []
    fuzzed(runs.append)(1)
    assert runs == [1]


def test_a_fuzzed_test_repeats_for_the_configured_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("key_value.aio.testing.stateful.FUZZ_SECONDS", 0.02)
    runs: list[int] = []
    fuzzed(runs.append)(1)
    assert len(runs) > 1
