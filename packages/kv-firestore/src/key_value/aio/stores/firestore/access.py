"""Connection options of a database. The driver is imported when the first store is constructed."""

import os
import re
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

from key_value.aio.core.urls import StoreURL, redacted

if TYPE_CHECKING:
    from key_value.aio.stores.firestore.database import FirestoreDatabase

__all__ = ["Access", "GivenClient", "check_access", "database_in_url", "emulator_host_of", "import_driver"]

# https://cloud.google.com/firestore/docs/manage-databases; a project may have a domain prefix.
_PROJECT = re.compile(r"[A-Za-z0-9.-]{1,100}(:[A-Za-z0-9-]{1,100})?")
_DATABASE = re.compile(r"\(default\)|[A-Za-z][A-Za-z0-9-]{0,62}")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}")

_EMULATOR = "FIRESTORE_EMULATOR_HOST"


class Access(NamedTuple):
    """The connection options of a database. `timeout` is in seconds."""

    project: str | None
    database: str | None
    credentials: Any
    emulator_host: str | None
    timeout: float | None

    def make(self) -> "FirestoreDatabase":
        """Create a database for use in any one event loop. Looking up credentials may block for seconds."""
        from key_value.aio.stores.firestore.channel import OwnChannel
        from key_value.aio.stores.firestore.database import FirestoreDatabase

        return FirestoreDatabase(OwnChannel(self), self.timeout)

    @property
    def place(self) -> str:
        return f"{self.project or 'default project'}/{self.database or '(default)'}" + (
            f" at {self.emulator_host}" if self.emulator_host else ""
        )


class GivenClient:
    """The database of a client that the caller passed and closes."""

    def __init__(self, client: Any, timeout: float | None) -> None:
        from key_value.aio.stores.firestore.channel import GivenChannel
        from key_value.aio.stores.firestore.database import FirestoreDatabase

        self._database = FirestoreDatabase(GivenChannel(client), timeout)

    async def get(self) -> "FirestoreDatabase":
        self._database.open()
        return self._database

    async def close(self) -> None:
        pass


def import_driver() -> None:
    """Import Google's client, which takes a second. Forked children inherit the import."""
    import_module("key_value.aio.stores.firestore.database")


def emulator_host_of(option: str | None) -> str | None:
    """Return the host of the emulator from the option, or else from the environment; None if there is none."""
    return option or os.environ.get(_EMULATOR) or None


def check_access(client: Any, access: Access) -> None:
    """Raise ValueError for malformed or conflicting options, without showing credentials."""
    if client is not None and any(option is not None for option in access[:-1]):
        message = "pass a client or connection options, not both"
        raise ValueError(message)
    for name, value, pattern, example in (
        ("project", access.project, _PROJECT, "my-project"),
        ("database", access.database, _DATABASE, "my-database or (default)"),
        ("emulator_host", access.emulator_host, _HOST, "127.0.0.1:8080"),
    ):
        if value is not None and not pattern.fullmatch(value):
            message = f"{name} must be like {example}, not {value!r:.100}"
            raise ValueError(message)


def database_in_url(url: StoreURL) -> dict[str, Any]:
    """Return project and database of `firestore://project/database`. Raises ValueError for a URL with more parts."""
    # Not url.host, which is in lower case.
    project = unquote(urlsplit(url.url).netloc)
    database = url.path.strip("/")
    if url.username is not None or url.port is not None or "/" in database:
        message = (
            f"{redacted(url.url)} must be firestore://project or firestore://project/database, with further options "
            "after a question mark"
        )
        raise ValueError(message)
    return {name: value for name, value in (("project", project), ("database", database)) if value}
