"""The only module that uses the keyring library: selects a backend, and knows its limits and errors."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast

from key_value.aio.core.driver_errors import DriverErrors
from key_value.aio.core.sanitization import EscapingStrategy, SanitizationStrategy
from key_value.aio.errors import KeyValueStoreError, StoreConnectionError, StoreSetupError

import keyring
from keyring.backend import KeyringBackend
from keyring.backends import chainer, fail, null
from keyring.errors import InitError, KeyringLocked, NoKeyringError, PasswordDeleteError

__all__ = ["DRIVER_ERRORS", "KeyringBackend", "Limits", "Passwords", "open_passwords"]

try:
    from jeepney import DBusErrorResponse  # pyright: ignore[reportMissingTypeStubs] — it has none
    from secretstorage.exceptions import ItemNotFoundException, SecretStorageException
except ImportError:  # only Linux has them
    _secret_service_errors: DriverErrors = {}
    _not_found_errors: tuple[type[Exception], ...] = (PasswordDeleteError,)
else:
    _secret_service_errors = {SecretStorageException: StoreConnectionError, DBusErrorResponse: StoreConnectionError}
    _not_found_errors = (PasswordDeleteError, ItemNotFoundException)

DRIVER_ERRORS: DriverErrors = {
    # Backends also raise errors of their platforms.
    Exception: KeyValueStoreError,
    KeyringLocked: StoreConnectionError,
    InitError: StoreConnectionError,
    NoKeyringError: StoreSetupError,
    **_secret_service_errors,
}

_ADVICE = (
    "unlock it, or start one: on Linux gnome-keyring or KWallet on the D-Bus session bus that DBUS_SESSION_BUS_ADDRESS "
    "names. PYTHON_KEYRING_BACKEND, or the parameter keyring, selects a backend"
)

# Cannot be the name of an entry, which contains "::".
_PROBE = "py-key-value"


@dataclass(frozen=True)
class Limits:
    """The limits of a backend."""

    names: SanitizationStrategy
    """Returns names that the backend keeps distinct."""

    max_name_bytes: int | None
    max_password_bytes: int
    encoding: str
    """The encoding that the byte limit of a password refers to."""

    @property
    def max_value_bytes(self) -> int:
        """The number of bytes in UTF-8 that always fit."""
        return self.max_password_bytes // len("a".encode(self.encoding))


class NulEscapingStrategy(SanitizationStrategy):
    """Stores NUL as `%00`, and escapes text that looks like that with an additional `%25`."""

    def sanitize(self, value: str) -> str:
        return _LOOKS_LIKE_NUL.sub("%25", value).replace("\0", "%00")

    def try_unsanitize(self, value: str) -> str | None:
        return _ESCAPED_PERCENT.sub("%", value.replace("%00", "\0"))


_LOOKS_LIKE_NUL = re.compile("%(?=(?:25)*00)")
_ESCAPED_PERCENT = re.compile("%25(?=(?:25)*00)")

# D-Bus disconnects a client that sends NUL in a string. By default the D-Bus daemon accepts messages of 32 MiB, which
# include the name and the label that keyring derives from it.
_CASE_SENSITIVE = Limits(NulEscapingStrategy(), None, 32_000_000, "utf-8")

# Which letters a case-insensitive backend treats as equal is certain only for ASCII. Every % is escaped, because %C3
# and %c3 are equal as well. Windows accepts user names of 513 characters, CRED_MAX_USERNAME_LENGTH.
_CASE_INSENSITIVE_NAMES = EscapingStrategy(r"%|[^ -@\[-~]", 512)
_CASE_INSENSITIVE = Limits(_CASE_INSENSITIVE_NAMES, 512, 32_000_000, "utf-8")

# CRED_MAX_CREDENTIAL_BLOB_SIZE. https://learn.microsoft.com/windows/win32/api/wincred/ns-wincred-credentiala
_WINDOWS = Limits(_CASE_INSENSITIVE_NAMES, 512, 2560, "utf-16-le")

_CASE_SENSITIVE_BACKENDS = {f"keyring.backends.{name}" for name in ("SecretService", "libsecret", "kwallet", "macOS")}
_WINDOWS_BACKEND = "keyring.backends.Windows"


def _limits_of(backend: KeyringBackend) -> Limits:
    """Return the limits of the most limited backend in use. Backends not from keyring are assumed to ignore case."""
    parts = [{base.__module__ for base in type(part).__mro__} for part in _parts(backend)]
    if any(_WINDOWS_BACKEND in modules for modules in parts):
        return _WINDOWS
    return _CASE_SENSITIVE if all(modules & _CASE_SENSITIVE_BACKENDS for modules in parts) else _CASE_INSENSITIVE


class _Backend(Protocol):
    """The methods of KeyringBackend, whose own annotations are incomplete."""

    def get_password(self, service: str, username: str) -> str | None: ...
    def set_password(self, service: str, username: str, password: str) -> object: ...
    def delete_password(self, service: str, username: str) -> object: ...


class Passwords:
    """The passwords of one service in a keyring. All calls block."""

    def __init__(self, backend: KeyringBackend, service: str) -> None:
        self.limits: Limits = _limits_of(backend)
        self._backend = cast("_Backend", backend)
        self._service = service

    def get(self, name: str) -> str | None:
        try:
            return self._backend.get_password(self._service, name)
        except _not_found_errors:
            # Another process changed it during the read: try once more.
            return self._backend.get_password(self._service, name)

    def put(self, name: str, password: str) -> None:
        self._backend.set_password(self._service, name, password)

    def delete(self, name: str) -> bool:
        """Remove the password; return whether this call removed it."""
        try:
            self._backend.delete_password(self._service, name)
        except _not_found_errors:
            if self.get(name) is None:
                return False
            raise
        return True


def open_passwords(backend: KeyringBackend | None, service: str) -> Passwords:
    """Open the backend, by default the one that keyring selects. Raises StoreSetupError unless it responds."""
    try:
        backend = keyring.get_keyring() if backend is None else backend
        passwords = Passwords(fail.Keyring() if _discards_passwords(backend) else backend, service)
        passwords.get(_PROBE)
    except Exception as exc:
        message = f"the keyring {_state(exc)} ({type(exc).__qualname__}): {_ADVICE}"
        raise StoreSetupError(message) from exc
    return passwords


def _state(error: Exception) -> str:
    if isinstance(error, KeyringLocked):
        return "is locked"
    return "is absent or disabled" if isinstance(error, NoKeyringError) else "cannot be opened"


def _discards_passwords(backend: KeyringBackend) -> bool:
    """Whether the backend silently discards passwords."""
    return isinstance(backend, null.Keyring) or not _parts(backend)


def _parts(backend: KeyringBackend) -> Sequence[KeyringBackend]:
    return backend.backends if isinstance(backend, chainer.ChainerBackend) else [backend]
