"""The one module that talks to keyring: selects a backend, knows its limits and its errors."""

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
    _vanished: tuple[type[Exception], ...] = (PasswordDeleteError,)
else:
    _secret_service_errors = {SecretStorageException: StoreConnectionError, DBusErrorResponse: StoreConnectionError}
    _vanished = (PasswordDeleteError, ItemNotFoundException)

DRIVER_ERRORS: DriverErrors = {
    # A backend raises whatever its platform does.
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

# Is not, and cannot be, the name of an entry.
_PROBE = "py-key-value"


@dataclass(frozen=True)
class Limits:
    """The limits of a backend."""

    names: SanitizationStrategy
    """Makes names that the backend keeps distinct."""

    max_name_bytes: int | None
    max_password_bytes: int
    encoding: str
    """The encoding in which the backend counts the bytes of a password."""

    @property
    def max_value_bytes(self) -> int:
        """The number of bytes in UTF-8 that certainly fit."""
        return self.max_password_bytes // len("a".encode(self.encoding))


class NulEscapingStrategy(SanitizationStrategy):
    """Stores NUL as `%00`, and escapes text that looks like this with one more `%25`."""

    def sanitize(self, value: str) -> str:
        return _TAKEN_FOR_NUL.sub("%25", value).replace("\0", "%00")

    def try_unsanitize(self, value: str) -> str | None:
        return _STANDS_FOR_PERCENT.sub("%", value.replace("%00", "\0"))


_TAKEN_FOR_NUL = re.compile("%(?=(?:25)*00)")
_STANDS_FOR_PERCENT = re.compile("%25(?=(?:25)*00)")

# D-Bus ends the connection of a client that sends NUL in a string. The D-Bus daemon takes messages of 32 MiB, where it
# is not told otherwise; the name and the label that keyring makes from it are in the same message.
_EXACT = Limits(NulEscapingStrategy(), None, 32_000_000, "utf-8")

# Which letters are one to a backend that ignores case is only certain within ASCII. Every % is escaped, because %C3 and
# %c3 are one as well. Windows takes user names of 513 characters, CRED_MAX_USERNAME_LENGTH.
_FOLDED_NAMES = EscapingStrategy(r"%|[^ -@\[-~]", 512)
_FOLDING = Limits(_FOLDED_NAMES, 512, 32_000_000, "utf-8")

# CRED_MAX_CREDENTIAL_BLOB_SIZE. https://learn.microsoft.com/windows/win32/api/wincred/ns-wincred-credentiala
_WINDOWS = Limits(_FOLDED_NAMES, 512, 2560, "utf-16-le")

_EXACT_BACKENDS = {f"keyring.backends.{name}" for name in ("SecretService", "libsecret", "kwallet", "macOS")}
_WINDOWS_BACKEND = "keyring.backends.Windows"


def _limits_of(backend: KeyringBackend) -> Limits:
    """The limits of the most limited backend in use. A backend from outside keyring is assumed to ignore case."""
    parts = [{base.__module__ for base in type(part).__mro__} for part in _parts(backend)]
    if any(_WINDOWS_BACKEND in modules for modules in parts):
        return _WINDOWS
    return _EXACT if all(modules & _EXACT_BACKENDS for modules in parts) else _FOLDING


class _Calls(Protocol):
    """The methods of a KeyringBackend, whose own annotations are incomplete."""

    def get_password(self, service: str, username: str) -> str | None: ...
    def set_password(self, service: str, username: str, password: str) -> object: ...
    def delete_password(self, service: str, username: str) -> object: ...


class Passwords:
    """The passwords of one service in a keyring. Every call blocks."""

    def __init__(self, backend: KeyringBackend, service: str) -> None:
        self.limits: Limits = _limits_of(backend)
        self._backend = cast("_Calls", backend)
        self._service = service

    def get(self, name: str) -> str | None:
        try:
            return self._backend.get_password(self._service, name)
        except _vanished:
            # Another process removed it while it was read.
            return self._backend.get_password(self._service, name)

    def put(self, name: str, password: str) -> None:
        self._backend.set_password(self._service, name, password)

    def delete(self, name: str) -> bool:
        """Remove the password; return whether this call did."""
        try:
            self._backend.delete_password(self._service, name)
        except _vanished:
            if self.get(name) is None:
                return False
            raise
        return True


def open_passwords(backend: KeyringBackend | None, service: str) -> Passwords:
    """Open the backend, or the one that keyring selects. Raises StoreSetupError unless it responds."""
    try:
        backend = keyring.get_keyring() if backend is None else backend
        passwords = Passwords(fail.Keyring() if _keeps_nothing(backend) else backend, service)
        passwords.get(_PROBE)
    except Exception as exc:
        message = f"the keyring {_state(exc)} ({type(exc).__qualname__}): {_ADVICE}"
        raise StoreSetupError(message) from exc
    return passwords


def _state(error: Exception) -> str:
    if isinstance(error, KeyringLocked):
        return "is locked"
    return "is absent or disabled" if isinstance(error, NoKeyringError) else "cannot be opened"


def _keeps_nothing(backend: KeyringBackend) -> bool:
    """Whether the backend silently drops passwords."""
    return isinstance(backend, null.Keyring) or not _parts(backend)


def _parts(backend: KeyringBackend) -> Sequence[KeyringBackend]:
    return backend.backends if isinstance(backend, chainer.ChainerBackend) else [backend]
