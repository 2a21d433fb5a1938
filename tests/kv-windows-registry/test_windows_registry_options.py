"""Options, names, the stored format and errors of WindowsRegistryStore, on a fake registry; on Windows, on the real."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime, timezone
from typing import Any

import pytest
from key_value.aio.core.sanitization import HybridSanitizationStrategy
from key_value.aio.core.type_checks import TypeViolationWarning
from key_value.aio.errors import DeserializationError, KeyValueStoreError, StoreSetupError
from key_value.aio.stores.windows_registry import WindowsRegistryStore
from key_value.aio.testing import AsyncTests, FakeClock


def envelope(collection: str, key: str, number: int, **fields: str) -> str:
    """Return an envelope as the predecessor writes it."""
    return json.dumps({"collection": collection, "key": key, "value": {"n": number}, "version": 1, **fields})


class TestOnAFakeRegistry(AsyncTests):
    @pytest.fixture
    def store(self, raw: Any, registry_path: str) -> WindowsRegistryStore:
        raw.remove()
        return WindowsRegistryStore(registry_path=registry_path)

    async def test_an_entry_is_a_text_value_of_the_key_of_its_collection(
        self, store: WindowsRegistryStore, raw: Any
    ) -> None:
        await store.put("alice", {"n": 1}, collection="users", ttl=60)
        assert raw.folders() == ["users"]
        stored = json.loads(raw.read("users", "alice"))
        assert set(stored) == {"collection", "created_at", "expires_at", "key", "value", "version"}
        assert (stored["collection"], stored["key"], stored["value"]) == ("users", "alice", {"n": 1})

    @pytest.mark.parametrize("name", ["session:7", "a\\b", "https://example.com/a?b=1#c", "..", " a ", "-", "x" * 255])
    async def test_the_name_of_a_value_is_the_key(self, store: WindowsRegistryStore, raw: Any, name: str) -> None:
        await store.put(name, {"n": 1}, collection="users")
        assert raw.names("users") == [name]

    async def test_names_that_the_registry_confuses_or_refuses_are_escaped(
        self, store: WindowsRegistryStore, raw: Any
    ) -> None:
        await store.put_many(["Alice", "é", "a\0", "%41"], [{"n": 1}] * 4, collection="a\\b")
        assert raw.folders() == ["a%5Cb"]
        assert raw.names("a%5Cb") == ["%2541", "%41lice", "%C3%A9", "a%00"]
        assert sorted(await store.keys("a\\b")) == ["%41", "Alice", "a\0", "é"]
        assert await store.collections() == ["a\\b"]

    async def test_a_name_that_is_too_long_ends_in_its_hash_and_is_listed_in_full(
        self, store: WindowsRegistryStore, raw: Any
    ) -> None:
        await store.put("k" * 16_384, {"n": 1}, collection="c" * 256)
        assert [len(folder) for folder in raw.folders()] == [255]
        assert [len(name) for name in raw.names(raw.folders()[0])] == [16_383]
        assert await store.collections() == ["c" * 256]
        assert await store.keys("c" * 256) == ["k" * 16_384]

    @pytest.mark.parametrize(
        ("collection", "key"),
        [("users", "Alice"), ("Users", "alice"), ("Üser", "é 🌍"), ("a\\b", "c"), ("users", "%41")],
    )
    async def test_an_entry_of_the_predecessor_is_found_listed_and_deleted(
        self, store: WindowsRegistryStore, raw: Any, collection: str, key: str
    ) -> None:
        raw.write(collection, key, envelope(collection, key, 1))
        assert await store.get_many([key, key.upper(), key.lower()], collection=collection) == [
            {"n": 1} if name == key else None for name in (key, key.upper(), key.lower())
        ]
        assert await store.keys(collection) == [key]
        assert await store.collections() == [collection]
        assert await store.delete(key, collection=collection.swapcase()) is False
        assert await store.delete(key, collection=collection) is True
        assert raw.read(collection, key) is None

    async def test_an_entry_of_the_predecessor_that_was_replaced_does_not_come_back(
        self, store: WindowsRegistryStore, raw: Any
    ) -> None:
        raw.write("users", "Alice", envelope("users", "Alice", 1))
        await store.put("Alice", {"n": 2}, collection="users", ttl=60)
        assert await store.get("Alice", collection="users") == {"n": 2}
        assert await store.keys("users") == ["Alice"]
        with FakeClock(datetime(2100, 1, 1, tzinfo=timezone.utc)):
            assert await store.get("Alice", collection="users") is None
            assert await store.keys("users") == []
        assert await store.delete("Alice", collection="users") is True
        assert raw.names("users") == []

    async def test_a_strategy_of_the_caller_names_the_values(self, raw: Any, registry_path: str) -> None:
        strategy = HybridSanitizationStrategy(20, "abcdefghijklmnopqrstuvwxyz")
        store = WindowsRegistryStore(registry_path=registry_path, key_sanitization_strategy=strategy)
        await store.put_many(["plain", "a/b"], [{"n": 1}, {"n": 2}], collection="users")
        assert raw.names("users") == ["%53_a_b-c14cddc0", "plain"]
        assert await store.get_many(["plain", "a/b"], collection="users") == [{"n": 1}, {"n": 2}]
        with pytest.raises(KeyValueStoreError, match="cannot restore the names"):
            await store.keys("users")
        assert await store.delete_many(["plain", "a/b"], collection="users") == 2

    async def test_a_corrupt_entry_is_named_and_listed_and_kept_by_destroy(
        self, store: WindowsRegistryStore, raw: Any
    ) -> None:
        await store.put("good", {"n": 1}, collection="users")
        raw.write("users", "bad", "hunter2")
        raw.write("users", "number", 7, 4)
        for key in ("bad", "number"):
            with pytest.raises(
                DeserializationError, match=rf"Software\\kv-tests\\users, value '{key}' is not"
            ) as error:
                await store.get(key, collection="users")
            assert "hunter2" not in str(error.value)
        assert await store.get("good", collection="users") == {"n": 1}
        assert sorted(await store.keys("users")) == ["bad", "good", "number"]
        await store.destroy()
        assert raw.names("users") == ["bad", "number"]

    async def test_a_value_that_states_other_names_is_not_an_entry(self, store: WindowsRegistryStore, raw: Any) -> None:
        raw.write("users", "copy", envelope("users", "alice", 1))
        raw.write("others", "alice", envelope("users", "alice", 1))
        assert await store.get("copy", collection="users") is None
        assert await store.keys("users") == []
        assert await store.collections() == []
        await store.destroy()
        assert raw.names("users") == ["copy"]

    async def test_a_large_entry_is_one_value(self, store: WindowsRegistryStore, raw: Any) -> None:
        await store.put("large", {"text": "é" * 1_000_000}, collection="users")
        assert await store.get("large", collection="users") == {"text": "é" * 1_000_000}
        assert raw.names("users") == ["large"]

    async def test_culling_keeps_an_entry_replaced_in_the_meantime(
        self, store: WindowsRegistryStore, raw: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        raw.write("users", "a", envelope("users", "a", 1, expires_at="2001-01-01T00:00:00+00:00"))
        enumerate_value = raw.winreg.EnumValue

        def replace_after(key: Any, index: int) -> Any:
            listed = enumerate_value(key, index)
            raw.write("users", "a", envelope("users", "a", 2))
            return listed

        monkeypatch.setattr(raw.winreg, "EnumValue", replace_after)
        await store.cull()
        assert await store.get("a", collection="users") == {"n": 2}

    async def test_a_store_keeps_working_when_its_registry_key_is_removed(
        self, store: WindowsRegistryStore, raw: Any
    ) -> None:
        await store.put("a", {"n": 1})
        raw.remove()
        assert await store.get("a") is None
        assert await store.delete("a") is False
        assert await store.keys() == []
        assert await store.collections() == []
        assert await store.destroy() is True
        await store.put("a", {"n": 2})
        assert await store.get("a") == {"n": 2}

    @pytest.mark.usefixtures("fake_only")
    async def test_a_read_only_key_is_a_setup_error(self) -> None:
        store = WindowsRegistryStore(hive="HKEY_LOCAL_MACHINE")
        with pytest.raises(
            StoreSetupError, match=r"HKEY_LOCAL_MACHINE\\Software\\py-key-value cannot be opened"
        ) as error:
            await store.put("a", {"n": 1})
        assert isinstance(error.value.__cause__, PermissionError)

    @pytest.mark.parametrize(
        ("raised", "expected"), [(PermissionError(13, "no"), StoreSetupError), (OSError(22, "no"), KeyValueStoreError)]
    )
    async def test_a_registry_error_is_raised_as_a_store_error(
        self,
        store: WindowsRegistryStore,
        raw: Any,
        monkeypatch: pytest.MonkeyPatch,
        raised: OSError,
        expected: type[KeyValueStoreError],
    ) -> None:
        def fail(*_: object) -> None:
            raise raised

        await store.setup()
        monkeypatch.setattr(raw.winreg, "SetValueEx", fail)
        with pytest.raises(expected) as failure:
            await store.put("a", {"n": 1})
        assert type(failure.value) is expected
        assert failure.value.__cause__ is raised


@pytest.mark.parametrize("path", ["", "\\", "Software\\", "\\Software", "a\\\\b", "a\0b", f"Software\\{'x' * 256}"])
def test_an_invalid_registry_path_is_a_value_error(path: str) -> None:
    with pytest.raises(ValueError, match="registry_path must be the names of keys"):
        WindowsRegistryStore(registry_path=path)


def test_an_unknown_hive_is_a_value_error() -> None:
    wrong: Any = "HKEY_USERS"
    with (
        pytest.warns(TypeViolationWarning, match="hive"),
        pytest.raises(ValueError, match="one of HKEY_CURRENT_USER, "),
    ):
        WindowsRegistryStore(hive=wrong)


def test_the_default_key_belongs_to_the_current_user() -> None:
    assert repr(WindowsRegistryStore()) == "WindowsRegistryStore(HKEY_CURRENT_USER\\Software\\py-key-value)"


@pytest.mark.skipif(sys.platform == "win32", reason="importing works on Windows")
@pytest.mark.parametrize("module", ["windows_registry", "windows_registry.store"])
def test_importing_on_other_systems_says_that_it_needs_windows(module: str) -> None:
    program = f"import key_value.aio.stores.{module}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)  # noqa: S603 — ours
    assert "ImportError: key_value.aio.stores.windows_registry needs Windows" in done.stderr


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("windows-registry://", "HKEY_CURRENT_USER\\Software\\py-key-value"),
        ("windows-registry://HKEY_LOCAL_MACHINE", "HKEY_LOCAL_MACHINE\\Software\\py-key-value"),
        ("windows-registry://HKEY_CURRENT_USER/Software/My%20App", "HKEY_CURRENT_USER\\Software\\My App"),
        ("windows-registry://?registry_path=Software%5Ca/b", "HKEY_CURRENT_USER\\Software\\a/b"),
        ("windows-registry://?hive=HKEY_LOCAL_MACHINE", "HKEY_LOCAL_MACHINE\\Software\\py-key-value"),
    ],
)
def test_a_url_names_the_hive_and_the_key(url: str, shown: str) -> None:
    assert repr(WindowsRegistryStore.from_url(url)) == f"WindowsRegistryStore({shown})"


@pytest.mark.filterwarnings("ignore::key_value.aio.core.type_checks.TypeViolationWarning")
@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("windows-registry://Software/app", "hive must be one of"),
        ("windows-registry:///Software/app", "hive must be one of"),
        ("windows-registry://HKEY_CURRENT_USER/Software//app", "registry_path must be"),
        ("windows-registry://me@HKEY_CURRENT_USER/Software", "must name a path"),
        ("windows-registry://HKEY_CURRENT_USER/Software?hive=HKEY_CURRENT_USER", "twice"),
        ("windows-registry://?timeout=1", "no options"),
    ],
)
def test_an_invalid_url_is_refused(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        WindowsRegistryStore.from_url(url)
