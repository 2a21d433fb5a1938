"""KeyringStore: one password per entry, under the user name `collection::key` of one service."""

import string
from asyncio import TimeoutError as AsyncioTimeoutError
from asyncio import wait_for
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from key_value.aio.core.envelope import dump_entry, load_entry
from key_value.aio.core.forks import new_lock
from key_value.aio.core.names import join_names
from key_value.aio.core.numbers import checked_timeout, require_number, scaled_timeout
from key_value.aio.core.sanitization import HybridSanitizationStrategy, SanitizationStrategy
from key_value.aio.core.type_checks import checked_text, warn_types
from key_value.aio.core.worker import Worker
from key_value.aio.errors import DeserializationError, ValueTooLargeError
from key_value.aio.stores.base import BaseStore, Capabilities, ManagedEntry
from key_value.aio.stores.keyring.client import (
    DRIVER_ERRORS,
    KeyringBackend,
    Limits,
    Passwords,
    open_passwords,
)

if TYPE_CHECKING:
    from key_value.aio.core.urls import StoreURL

__all__ = ["KeyringStore", "KeyringV1CollectionSanitizationStrategy", "KeyringV1KeySanitizationStrategy"]

T = TypeVar("T")

_V1_CHARACTERS = string.ascii_letters + string.digits + "_"
_V1_MAX_CHARACTERS = 256
_ENTRIES_PER_TIMEOUT = 100


class KeyringV1KeySanitizationStrategy(HybridSanitizationStrategy):
    """Keys of stored format v1: up to 256 ASCII letters, digits and `_`."""

    def __init__(self) -> None:
        super().__init__(_V1_MAX_CHARACTERS, _V1_CHARACTERS)


class KeyringV1CollectionSanitizationStrategy(KeyringV1KeySanitizationStrategy):
    """Collections of stored format v1."""


class KeyringStore(BaseStore):
    """Entries in the user's keyring, each as one password. One thread makes all calls sequentially."""

    # The limits of most backends, until the actual one is known.
    capabilities = Capabilities(durable=True, max_value_bytes=32_000_000)
    driver_errors = DRIVER_ERRORS

    @warn_types
    def __init__(
        self,
        *,
        service_name: str = "py-key-value",
        default_collection: str | None = None,
        key_sanitization_strategy: SanitizationStrategy | None = None,
        collection_sanitization_strategy: SanitizationStrategy | None = None,
        keyring: KeyringBackend | None = None,
        timeout: float | None = 60.0,
    ) -> None:
        """Store the entries under `service_name` in `keyring`, by default the backend that the keyring library selects.

        `timeout` is the time limit of an operation in seconds, None for no limit. It includes the time in which the
        keyring asks the user to unlock it. The limit grows by `timeout` for every hundred waiting entries.

        Without strategies, names are escaped where the backend would confuse or reject them.

        Raises ValueError for a `service_name` that is empty, contains NUL or cannot be encoded as UTF-8, and for a
        limit that is not positive; TypeError for a name or limit of another type.
        """
        service_name = checked_text(service_name, "service_name")
        require_number(timeout, "timeout", optional=True)
        if not service_name or "\0" in service_name or any("\ud800" <= letter <= "\udfff" for letter in service_name):
            message = "service_name must be a non-empty string without NUL and lone surrogates"
            raise ValueError(message)
        self._service_name = service_name
        self._timeout = checked_timeout(timeout)
        self._lock = new_lock()
        self._waiting_entries = 0
        self._worker = Worker(partial(open_passwords, keyring, service_name), _leave_open)
        super().__init__(
            default_collection=default_collection,
            key_sanitization_strategy=key_sanitization_strategy,
            collection_sanitization_strategy=collection_sanitization_strategy,
        )

    @classmethod
    def _url_options(cls, url: "StoreURL") -> dict[str, Any]:
        """Accept `keyring://service-name`, or `keyring://` for the default service."""
        in_default_service = url.url.partition("?")[0] == f"{url.scheme}://"
        return {} if in_default_service else {"service_name": url.local_path}

    def __repr__(self) -> str:
        return f"KeyringStore(service_name={self._service_name!r})"

    async def _setup(self) -> None:
        limits = await self._with_timeout(1, self._worker.run(_limits))
        self.capabilities: Capabilities = replace(
            self.capabilities, max_key_bytes=limits.max_name_bytes, max_value_bytes=limits.max_value_bytes
        )

    async def _probe(self) -> None:
        # A locked keyring asks the user now; a keyring that denies access raises its error.
        await self._get_managed_entry(collection=self.default_collection, key="probe")

    async def _close(self) -> None:
        # The thread ends when the pending keyring call returns, which may be later.
        with suppress(AsyncioTimeoutError):
            await wait_for(self._worker.close(), self._timeout)

    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
        return await self._with_timeout(1, self._worker.run(self._get, collection, key))

    async def _get_managed_entries(self, *, collection: str, keys: Sequence[str]) -> list[ManagedEntry | None]:
        return await self._with_timeout(len(keys), self._worker.run(self._get_each, collection, keys))

    async def _put_managed_entry(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        await self._with_timeout(1, self._worker.run(self._put_each, collection, [key], [managed_entry]))

    async def _put_managed_entries(
        self, *, collection: str, keys: Sequence[str], managed_entries: Sequence[ManagedEntry]
    ) -> None:
        await self._with_timeout(len(keys), self._worker.run(self._put_each, collection, keys, managed_entries))

    async def _delete_managed_entry(self, *, collection: str, key: str) -> bool:
        return await self._with_timeout(1, self._worker.run(self._delete, collection, key))

    async def _delete_managed_entries(self, *, collection: str, keys: Sequence[str]) -> int:
        return await self._with_timeout(len(keys), self._worker.run(self._delete_each, collection, keys))

    async def _with_timeout(self, entries: int, call: Coroutine[Any, Any, T]) -> T:
        with self._lock:
            self._waiting_entries += entries
        try:
            seconds = scaled_timeout(self._timeout, self._waiting_entries, per=_ENTRIES_PER_TIMEOUT)
            return await wait_for(call, seconds)
        finally:
            call.close()  # never awaited if there is no event loop
            with self._lock:
                self._waiting_entries -= entries

    # Called in the worker thread

    def _get(self, passwords: Passwords, collection: str, key: str) -> ManagedEntry | None:
        entries = (self._entry(passwords, name) for name in _names(passwords, collection, key))
        return next((entry for entry in entries if entry is not None), None)

    def _entry(self, passwords: Passwords, name: str) -> ManagedEntry | None:
        try:
            text = passwords.get(name)
            return None if text is None else load_entry(text)
        except (DeserializationError, UnicodeDecodeError) as exc:
            message = f"the password of {name!r:.200} in {self!r} is not an entry"
            raise DeserializationError(message) from exc

    def _get_each(self, passwords: Passwords, collection: str, keys: Sequence[str]) -> list[ManagedEntry | None]:
        return [self._get(passwords, collection, key) for key in keys]

    def _put_each(
        self, passwords: Passwords, collection: str, keys: Sequence[str], entries: Sequence[ManagedEntry]
    ) -> None:
        limits = passwords.limits
        texts = [dump_entry(entry).decode() for entry in entries]
        for key, text in zip(keys, texts, strict=True):
            size = len(text.encode(limits.encoding))
            if size > limits.max_password_bytes:
                raise ValueTooLargeError(size, limits.max_password_bytes, collection, key)
        for key, text in zip(keys, texts, strict=True):
            passwords.put(next(_names(passwords, collection, key)), text)

    def _delete(self, passwords: Passwords, collection: str, key: str) -> bool:
        current, *legacy = _names(passwords, collection, key)
        existed = False
        # The name that is read first is deleted last, so that an interruption leaves the entry unchanged.
        for name in (*legacy, current):
            expired = self._expired(passwords, name, collection, key, is_current=name == current)
            if expired is not None:
                existed |= passwords.delete(name) and not expired
        return existed

    def _delete_each(self, passwords: Passwords, collection: str, keys: Sequence[str]) -> int:
        return sum(self._delete(passwords, collection, key) for key in keys)

    def _expired(self, passwords: Passwords, name: str, collection: str, key: str, *, is_current: bool) -> bool | None:
        """Whether the entry under the name has expired. None if there is none, or if it belongs to another key."""
        try:
            text = passwords.get(name)
            if text is None:
                return None
            entry = load_entry(text)
        except (DeserializationError, UnicodeDecodeError):
            return False if is_current else None
        if entry.key is None or entry.collection is None:
            return entry.is_expired if is_current else None
        names = self._stored_collection(entry.collection), self._stored_key(entry.key)
        return entry.is_expired if names == (collection, key) else None


def _limits(passwords: Passwords) -> Limits:
    return passwords.limits


def _names(passwords: Passwords, collection: str, key: str) -> Iterator[str]:
    """Yield the name of the entry in the keyring, then its name in stored format v1 if that differs and is valid."""
    limits = passwords.limits
    name = limits.names.sanitize(join_names(collection, key))
    yield name
    legacy = f"{collection}::{key}"
    fits = limits.max_name_bytes is None or len(legacy.encode()) <= limits.max_name_bytes
    if legacy != name and fits and "\0" not in legacy:
        yield legacy


def _leave_open(_: Passwords) -> None:
    """Do nothing: backends keep nothing open between calls."""
