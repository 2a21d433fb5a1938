"""A keyring that is locked, absent, killed or silent is an error that says so, never an absent entry."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import keyring.core
import pytest
from key_value.aio.errors import BaseKeyValueError, StoreConnectionError, StoreSetupError, StoreTimeoutError
from key_value.aio.stores.keyring import KeyringStore
from key_value.aio.testing import AsyncTests
from key_value.aio.testing.contract import eventually
from key_value.aio.testing.fault_tests import CALLS, VALUE
from keyring.backends import fail, null
from keyring.backends.chainer import ChainerBackend
from keyring.backends.SecretService import Keyring

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from keyring.backend import KeyringBackend
    from servers.keyring import KeyringServer

# keyring leaves connections open when it raises. Collect them here, so that no test of another file fails by them.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def collect_connections() -> Iterator[None]:
    yield
    gc.collect()


async def check_each_call(
    make_store: Callable[[], KeyringStore], expected: type[BaseKeyValueError], match: str
) -> None:
    for call in CALLS.values():
        with pytest.raises(expected, match=match) as failure:
            await call(make_store())
        check(failure.value)


def check(error: BaseKeyValueError) -> None:
    assert error.__cause__ is not None
    assert not isinstance(error.__cause__, BaseKeyValueError)
    assert "hunter2" not in f"{error!r} {error}"


class TestALockedKeyring(AsyncTests):
    @pytest.fixture
    def store(self, raw_private: Any) -> KeyringStore:
        return KeyringStore(service_name=raw_private.service, keyring=Keyring())

    async def test_a_first_use_reports_a_locked_keyring(self, raw_private: Any) -> None:
        raw_private.lock()
        await check_each_call(lambda: KeyringStore(keyring=Keyring()), StoreSetupError, r"is locked.*unlock it")

    async def test_setup_reports_a_locked_keyring(self, store: KeyringStore, raw_private: Any) -> None:
        raw_private.lock()
        with pytest.raises(StoreSetupError, match="is locked"):
            await store.setup()

    async def test_a_keyring_locked_later_is_a_connection_error(self, store: KeyringStore, raw_private: Any) -> None:
        await store.put("key", VALUE)
        raw_private.lock()
        # In one of many runs keyring raised InitError instead: it did not get the default collection of the daemon.
        await check_each_call(lambda: store, StoreConnectionError, "KeyringLocked|InitError")

    async def test_the_store_recovers_when_the_keyring_is_unlocked(
        self, store: KeyringStore, private_keyring: KeyringServer, raw_private: Any
    ) -> None:
        await store.put("key", VALUE)
        raw_private.lock()
        with pytest.raises(StoreConnectionError):
            await store.get("key")
        await asyncio.to_thread(private_keyring.daemon.restart)
        assert await store.get("key") == VALUE


@pytest.mark.usefixtures("private_keyring")
class TestAKeyringThatIsGone(AsyncTests):
    @pytest.fixture
    def store(self) -> KeyringStore:
        return KeyringStore(keyring=Keyring(), timeout=5)

    async def test_a_killed_daemon_is_a_connection_error(
        self, store: KeyringStore, private_keyring: KeyringServer
    ) -> None:
        await store.put("key", VALUE)
        private_keyring.daemon.kill()
        await check_each_call(lambda: store, StoreConnectionError, "cannot be reached")

    async def test_a_killed_bus_is_a_connection_error(
        self, store: KeyringStore, private_keyring: KeyringServer
    ) -> None:
        await store.put("key", VALUE)
        private_keyring.bus.kill()
        await check_each_call(lambda: store, StoreConnectionError, "cannot be reached")

    @pytest.mark.parametrize("part", ["daemon", "bus"])
    async def test_a_first_use_without_it_says_what_to_do(
        self, store: KeyringStore, private_keyring: KeyringServer, part: str
    ) -> None:
        getattr(private_keyring, part).kill()
        with pytest.raises(StoreSetupError, match=r"gnome-keyring or KWallet.*PYTHON_KEYRING_BACKEND") as failure:
            await store.put("key", VALUE)
        check(failure.value)

    async def test_a_first_use_without_an_address_of_the_bus_says_what_to_do(
        self, store: KeyringStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS")
        with pytest.raises(StoreSetupError, match="DBUS_SESSION_BUS_ADDRESS"):
            await store.setup()

    async def test_entries_survive_a_killed_daemon_and_the_store_recovers(
        self, store: KeyringStore, private_keyring: KeyringServer
    ) -> None:
        await store.put_many(["a", "b"], [{"n": 1}, {"n": 2}])
        private_keyring.daemon.kill()
        with pytest.raises(StoreConnectionError):
            await store.get("a")
        await asyncio.to_thread(private_keyring.daemon.restart)
        assert await store.get_many(["a", "b"]) == [{"n": 1}, {"n": 2}]

    async def test_a_failed_open_is_tried_again(self, store: KeyringStore, private_keyring: KeyringServer) -> None:
        private_keyring.kill()
        with pytest.raises(StoreSetupError):
            await store.setup()
        await asyncio.to_thread(private_keyring.restart)
        await store.put("key", VALUE)
        assert await store.get("key") == VALUE

    async def test_a_keyring_that_does_not_answer_is_a_timeout(self, private_keyring: KeyringServer) -> None:
        await KeyringStore(keyring=Keyring()).put("key", VALUE)
        # Well below the second after which the driver abandons a silent bus with a different error.
        store = KeyringStore(keyring=Keyring(), timeout=0.2)

        async def works_again() -> bool:
            # An abandoned call runs first.
            with suppress(StoreTimeoutError):
                return await store.get("key") == VALUE
            return False

        assert await eventually(works_again, within=60)
        private_keyring.pause()
        await check_each_call(lambda: store, StoreTimeoutError, "in time")
        private_keyring.resume()
        assert await eventually(works_again, within=60)

    async def test_a_first_use_and_a_close_end_when_nothing_answers(self, private_keyring: KeyringServer) -> None:
        store = KeyringStore(keyring=Keyring(), timeout=5)
        await store.put("key", VALUE)
        private_keyring.pause()
        with pytest.raises(StoreTimeoutError):
            await store.get("key")
        await store.close()
        # After a second the driver abandons a silent bus with a different error.
        with pytest.raises(StoreTimeoutError):
            await KeyringStore(keyring=Keyring(), timeout=0.2).get("key")
        private_keyring.resume()


class TestBackendsThatStoreNothing(AsyncTests):
    @pytest.mark.parametrize("backend", [fail.Keyring, null.Keyring])
    async def test_a_first_use_says_what_to_do(self, backend: type[KeyringBackend]) -> None:
        with pytest.raises(StoreSetupError, match=r"absent or disabled.*gnome-keyring") as failure:
            await KeyringStore(keyring=backend()).get("key")
        check(failure.value)

    async def test_an_empty_chain_is_a_setup_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        nobody: list[KeyringBackend] = []
        monkeypatch.setattr(ChainerBackend, "backends", nobody)
        with pytest.raises(StoreSetupError, match="absent or disabled"):
            await KeyringStore(keyring=ChainerBackend()).put("key", VALUE)

    async def test_the_backend_selected_by_keyring_is_the_default(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(keyring.core, "_keyring_backend", fail.Keyring())
        with pytest.raises(StoreSetupError, match="NoKeyringError"):
            await KeyringStore().setup()

    @pytest.mark.parametrize("name", ["no.such.Keyring", "keyring.backends.SecretService.Absent", ""])
    async def test_a_backend_that_cannot_be_loaded_is_a_setup_error(
        self, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        monkeypatch.setattr(keyring.core, "_keyring_backend", None)
        monkeypatch.setenv("PYTHON_KEYRING_BACKEND", name)
        with pytest.raises(StoreSetupError, match=r"cannot be opened.*PYTHON_KEYRING_BACKEND"):
            await KeyringStore().setup()


HEADLESS = """
import asyncio
from key_value.aio.errors import StoreSetupError
from key_value.aio.stores.keyring import KeyringStore
try:
    print(asyncio.run(KeyringStore().get("key")))
except StoreSetupError as error:
    print("StoreSetupError", error)
"""


def test_on_a_machine_without_a_keyring_a_first_use_says_what_to_do(tmp_path: Path) -> None:
    unset = ("DBUS_SESSION_BUS_ADDRESS", "PYTHON_KEYRING_BACKEND", "XDG_CONFIG_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    environment["HOME"] = str(tmp_path)
    done = subprocess.run(  # noqa: S603 — ours
        [sys.executable, "-c", HEADLESS], env=environment, capture_output=True, text=True, timeout=250, check=True
    )
    assert done.stdout.startswith("StoreSetupError the keyring is absent or disabled")
