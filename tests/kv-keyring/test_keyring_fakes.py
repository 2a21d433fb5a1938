"""KeyringStore on fakes of backends that this machine does not have.

Two fakes: Windows Credential Manager, under keyring's own backend for it, and a backend that ignores case.
"""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import pytest
from key_value.aio.errors import KeyValueStoreError, ValueTooLargeError
from key_value.aio.stores.keyring import KeyringStore
from key_value.aio.testing import AsyncTests, FakeClock, StoreTests
from key_value.aio.testing.batches import BatchTests
from key_value.aio.testing.expiry import ExpiryTests
from key_value.aio.testing.names import NameTests
from keyring.backend import KeyringBackend
from keyring.backends import Windows
from keyring.backends.chainer import ChainerBackend
from keyring.errors import PasswordDeleteError
from typing_extensions import override

SERVICE = "py-key-value"

NOT_FOUND = 1168
MAX_BLOB_BYTES = 2560
MAX_USER_NAME = 513
MAX_TARGET_NAME = 32_767


class FakeWindowsError(Exception):
    """pywintypes.error."""

    def __init__(self, number: int, function: str) -> None:
        super().__init__(number, function)
        self.winerror, self.funcname = number, function


class FakeCredentialManager:
    """win32cred, as far as keyring calls it, with the limits that Microsoft documents.

    https://learn.microsoft.com/windows/win32/api/wincred/ns-wincred-credentiala: at most 2560 bytes, user names of 513
    characters and target names of 32767, the latter without regard to case.
    """

    CRED_TYPE_GENERIC = 1
    CRED_PERSIST_ENTERPRISE = 3

    def __init__(self) -> None:
        self.credentials: dict[str, dict[str, Any]] = {}

    def backend(self) -> KeyringBackend:
        """Return keyring's own backend, which the fixture makes call this fake."""
        return Windows.WinVaultKeyring()

    def CredRead(self, *, Type: int, TargetName: str) -> dict[str, Any]:  # noqa: N802, N803 — as Windows names them
        assert Type == self.CRED_TYPE_GENERIC
        return self.credentials[self._existing(TargetName, "CredRead")]

    def CredWrite(self, credential: dict[str, Any], flags: int) -> None:  # noqa: N802
        assert flags == 0
        blob = credential["CredentialBlob"].encode("utf-16-le")
        names = credential["TargetName"], credential["UserName"]
        if len(blob) > MAX_BLOB_BYTES or any("\0" in name for name in names):
            raise FakeWindowsError(1783, "CredWrite")
        if _length(names[0]) > MAX_TARGET_NAME or _length(names[1]) > MAX_USER_NAME:
            raise FakeWindowsError(87, "CredWrite")
        self.credentials[names[0].upper()] = {**credential, "CredentialBlob": blob}

    def CredDelete(self, *, Type: int, TargetName: str) -> None:  # noqa: N802, N803
        assert Type == self.CRED_TYPE_GENERIC
        del self.credentials[self._existing(TargetName, "CredDelete")]

    def _existing(self, target: str, function: str) -> str:
        if target.upper() not in self.credentials:
            raise FakeWindowsError(NOT_FOUND, function)
        return target.upper()


def _length(name: str) -> int:
    return len(name.encode("utf-16-le")) // 2


class FakeFoldingKeyring(KeyringBackend):
    """A backend that ignores case in names, as the file backends of keyrings.alt do."""

    priority = 0  # pyright: ignore[reportAssignmentType] — as keyring documents it

    def __init__(self) -> None:
        super().__init__()
        self.passwords: dict[tuple[str, str], str] = {}

    def hold(self, name: str, text: str) -> None:
        self.passwords[SERVICE, name.upper()] = text

    def get_password(self, service: str, username: str) -> str | None:
        return self.passwords.get((service, username.upper()))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.passwords[service, username.upper()] = password

    def delete_password(self, service: str, username: str) -> None:
        if self.passwords.pop((service, username.upper()), None) is None:
            message = "absent"
            raise PasswordDeleteError(message)


def envelope(collection: str, key: str, **fields: Any) -> str:
    """Return an envelope as the predecessor writes it."""
    return json.dumps({"collection": collection, "key": key, "value": {"n": 1}, "version": 1, **fields})


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> FakeCredentialManager:
    """Return a fake that keyring's own WinVaultKeyring calls from now on."""
    fake = FakeCredentialManager()
    monkeypatch.setattr(Windows, "win32cred", fake, raising=False)
    monkeypatch.setattr(Windows, "pywintypes", type("pywintypes", (), {"error": FakeWindowsError}), raising=False)
    return fake


@pytest.fixture
def windows_store(credentials: FakeCredentialManager) -> KeyringStore:
    return KeyringStore(keyring=credentials.backend())


class TestKeyringStoreOnAFakeCredentialManager(
    NameTests[KeyringStore], BatchTests[KeyringStore], ExpiryTests[KeyringStore]
):
    # The password, limited to 1280 characters, also contains the names.
    max_name_bytes = 400

    @pytest.fixture
    def store(self, windows_store: KeyringStore) -> KeyringStore:
        return windows_store


class TestKeyringStoreOnAFakeThatIgnoresCase(StoreTests[KeyringStore]):
    @pytest.fixture
    def store(self) -> KeyringStore:
        self.keyring = FakeFoldingKeyring()
        return KeyringStore(keyring=self.keyring)

    @override
    def reopen(self, store: KeyringStore) -> KeyringStore:
        return KeyringStore(keyring=self.keyring)

    @override
    async def read_stored(self, store: KeyringStore, collection: str, key: str) -> str | None:
        return self.keyring.get_password(SERVICE, f"{collection}::{key}")

    @override
    async def corrupt_stored(self, store: KeyringStore, collection: str, key: str, data: bytes) -> None:
        try:
            text = data.decode()
        except UnicodeDecodeError:
            pytest.skip("a password is text")
        self.keyring.hold(f"{collection}::{key}", text)


class TestNamesOfTheFakeThatIgnoresCase(AsyncTests):
    @pytest.fixture
    def keyring(self) -> FakeFoldingKeyring:
        return FakeFoldingKeyring()

    @pytest.fixture
    def store(self, keyring: FakeFoldingKeyring) -> KeyringStore:
        return KeyringStore(keyring=keyring)

    async def test_an_ordinary_name_is_stored_unchanged(self, store: KeyringStore, keyring: FakeFoldingKeyring) -> None:
        await store.put("session:7", {"n": 1}, collection="users-of/app.1")
        assert list(keyring.passwords) == [(SERVICE, "USERS-OF/APP.1::SESSION:7")]

    async def test_an_entry_that_the_predecessor_wrote_is_found(
        self, store: KeyringStore, keyring: FakeFoldingKeyring
    ) -> None:
        keyring.hold("users::Alice", envelope("users", "Alice"))
        assert await store.get("Alice", collection="users") == {"n": 1}
        assert await store.get("alice", collection="users") is None
        assert await store.get("ALICE", collection="users") is None

    async def test_an_entry_is_deleted_only_by_its_exact_name(
        self, store: KeyringStore, keyring: FakeFoldingKeyring
    ) -> None:
        keyring.hold("users::Alice", envelope("users", "Alice"))
        assert await store.delete_many(["alice", "ALICE"], collection="users") == 0
        assert await store.delete("Alice", collection="users") is True
        assert keyring.passwords == {}

    async def test_an_entry_of_the_predecessor_that_was_replaced_does_not_come_back(
        self, store: KeyringStore, keyring: FakeFoldingKeyring
    ) -> None:
        keyring.hold("users::Alice", envelope("users", "Alice"))
        await store.put("Alice", {"n": 2}, collection="users")
        assert await store.get("Alice", collection="users") == {"n": 2}
        assert await store.delete("Alice", collection="users") is True
        assert await store.get("Alice", collection="users") is None
        assert keyring.passwords == {}

    async def test_corrupt_text_under_another_spelling_is_not_deleted(
        self, store: KeyringStore, keyring: FakeFoldingKeyring
    ) -> None:
        keyring.hold("users::alice", "not JSON")
        assert await store.delete("Alice", collection="users") is False
        assert len(keyring.passwords) == 1


class TestLimitsOfTheFakeCredentialManager(AsyncTests):
    @pytest.fixture
    def store(self, windows_store: KeyringStore) -> KeyringStore:
        return windows_store

    async def test_the_capabilities_of_an_open_store_include_the_limits(self, store: KeyringStore) -> None:
        await store.setup()
        assert (store.capabilities.max_key_bytes, store.capabilities.max_value_bytes) == (512, 1280)

    @pytest.mark.parametrize("letter", ["x", "é", "🌍"])
    async def test_an_entry_may_be_as_large_as_a_credential(
        self, store: KeyringStore, credentials: FakeCredentialManager, letter: str
    ) -> None:
        with FakeClock(datetime(2026, 11, 23, tzinfo=timezone.utc)):
            await store.put("key", {"text": ""})
            used = len(credentials.credentials[SERVICE.upper()]["CredentialBlob"])
            fits = letter * ((2560 - used) // len(letter.encode("utf-16-le")))
            await store.put("key", {"text": fits})
            with pytest.raises(ValueTooLargeError, match="max_size=2560"):
                await store.put("key", {"text": fits + letter})
        assert await store.get("key") == {"text": fits}

    async def test_a_batch_with_an_entry_that_is_too_large_stores_none(
        self, store: KeyringStore, credentials: FakeCredentialManager
    ) -> None:
        with pytest.raises(ValueTooLargeError):
            await store.put_many(["small", "large"], [{"n": 1}, {"text": "x" * 2000}])
        assert credentials.credentials == {}

    async def test_a_refusal_of_the_credential_manager_is_a_store_error(
        self, store: KeyringStore, credentials: FakeCredentialManager, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> None:
            raise FakeWindowsError(5, "CredWrite")

        await store.setup()
        monkeypatch.setattr(credentials, "CredWrite", refuse)
        with pytest.raises(KeyValueStoreError) as failure:
            await store.put("key", {"n": 1})
        assert isinstance(failure.value.__cause__, FakeWindowsError)

    async def test_a_chain_has_the_limits_of_its_most_limited_backend(
        self, store: KeyringStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        parts: list[KeyringBackend] = [FakeFoldingKeyring(), Windows.WinVaultKeyring()]
        monkeypatch.setattr(ChainerBackend, "backends", parts)
        chained = KeyringStore(keyring=ChainerBackend())
        await chained.put("Key", {"n": 1})
        assert chained.capabilities.max_value_bytes == 1280
        assert await store.get("Key") is None
        monkeypatch.setattr(ChainerBackend, "backends", parts[:1])
        assert await chained.get("Key") == {"n": 1}
