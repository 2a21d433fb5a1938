"""WindowsRegistryStore: one registry value per entry, one registry key per collection."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from key_value.aio.core.sanitization import PassthroughStrategy, SanitizationStrategy
from key_value.aio.core.type_checks import warn_types
from key_value.aio.core.worker import Worker
from key_value.aio.stores.base import (
    BaseCullStore,
    BaseDestroyCollectionStore,
    BaseDestroyStore,
    BaseEnumerateCollectionsStore,
    BaseEnumerateKeysStore,
    Capabilities,
    ManagedEntry,
)
from key_value.aio.stores.windows_registry.client import (
    DRIVER_ERRORS,
    MAX_FOLDER_LENGTH,
    MAX_VALUE_NAME_LENGTH,
    Registry,
    length_of,
)
from key_value.aio.stores.windows_registry.entries import Entries, NameMapping

if TYPE_CHECKING:
    from key_value.aio.core.urls import StoreURL

__all__ = ["WindowsRegistryStore"]

_HIVES = ("HKEY_CURRENT_USER", "HKEY_LOCAL_MACHINE")
_DEFAULT_PATH = "Software\\py-key-value"


class WindowsRegistryStore(
    BaseEnumerateKeysStore,
    BaseEnumerateCollectionsStore,
    BaseDestroyStore,
    BaseDestroyCollectionStore,
    BaseCullStore,
):
    """Entries in the Windows registry, each as one REG_SZ value. One thread makes all calls."""

    capabilities: Capabilities = Capabilities(durable=True, max_key_bytes=MAX_VALUE_NAME_LENGTH)
    driver_errors = DRIVER_ERRORS

    @warn_types
    def __init__(
        self,
        *,
        hive: Literal["HKEY_CURRENT_USER", "HKEY_LOCAL_MACHINE"] | None = None,
        registry_path: str | None = None,
        default_collection: str | None = None,
        key_sanitization_strategy: SanitizationStrategy | None = None,
        collection_sanitization_strategy: SanitizationStrategy | None = None,
    ) -> None:
        r"""Store the entries below the key `registry_path` of `hive`.

        By default these are `Software\py-key-value` and `HKEY_CURRENT_USER`. Without strategies, names are escaped
        where the registry would confuse or reject them.

        Raises ValueError for an unknown hive and for a malformed `registry_path`.
        """
        hive = "HKEY_CURRENT_USER" if hive is None else hive
        if hive not in _HIVES:
            message = f"hive must be one of {', '.join(_HIVES)}"
            raise ValueError(message)
        path = _DEFAULT_PATH if registry_path is None else registry_path
        if "\0" in path or not all(0 < length_of(part) <= MAX_FOLDER_LENGTH for part in path.split("\\")):
            message = (
                "registry_path must be the names of keys, separated by single backslashes, each of 1 to "
                f"{MAX_FOLDER_LENGTH} characters without NUL"
            )
            raise ValueError(message)
        self._where = f"{hive}\\{path}"
        stored_names = (_stored_name(collection_sanitization_strategy), _stored_name(key_sanitization_strategy))
        self._worker = Worker(partial(_open, hive, path, *stored_names), _leave_open)
        super().__init__(
            default_collection=default_collection,
            key_sanitization_strategy=key_sanitization_strategy,
            collection_sanitization_strategy=collection_sanitization_strategy,
        )

    @classmethod
    def _url_options(cls, url: "StoreURL") -> dict[str, Any]:
        """Accept `windows-registry://HKEY_CURRENT_USER/Software/my-app`; a missing hive or path means the default."""
        if url.url.partition("?")[0] in (f"{url.scheme}:", f"{url.scheme}://", f"{url.scheme}:///"):
            return {}
        hive, _, path = url.local_path.partition("/")
        return {"hive": hive, "registry_path": path.replace("/", "\\")} if path else {"hive": hive}

    def __repr__(self) -> str:
        return f"WindowsRegistryStore({self._where})"

    async def _setup(self) -> None:
        await self._worker.run(_leave_open)

    async def _probe(self) -> None:
        await self._worker.run(Entries.get, self.default_collection, "probe")

    async def _close(self) -> None:
        await self._worker.close()

    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
        return await self._worker.run(Entries.get, collection, key)

    async def _get_managed_entries(self, *, collection: str, keys: Sequence[str]) -> list[ManagedEntry | None]:
        return await self._worker.run(Entries.get_each, collection, keys)

    async def _put_managed_entry(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        await self._worker.run(Entries.put_each, collection, [key], [managed_entry])

    async def _put_managed_entries(
        self, *, collection: str, keys: Sequence[str], managed_entries: Sequence[ManagedEntry]
    ) -> None:
        await self._worker.run(Entries.put_each, collection, keys, managed_entries)

    async def _delete_managed_entry(self, *, collection: str, key: str) -> bool:
        return bool(await self._worker.run(Entries.delete_each, collection, [key]))

    async def _delete_managed_entries(self, *, collection: str, keys: Sequence[str]) -> int:
        return await self._worker.run(Entries.delete_each, collection, keys)

    async def _get_collection_keys(self, *, collection: str, limit: int | None = None) -> list[str]:
        return await self._worker.run(Entries.keys, collection, limit)

    async def _get_collection_names(self, *, limit: int | None = None) -> list[str]:
        return await self._worker.run(Entries.collections, limit)

    async def _delete_store(self) -> bool:
        await self._worker.run(Entries.destroy)
        return True

    async def _delete_collection(self, *, collection: str) -> bool:
        return await self._worker.run(Entries.destroy_collection, collection)

    async def _cull(self) -> None:
        await self._worker.run(Entries.cull)


def _open(hive: str, path: str, stored_collection: NameMapping, stored_key: NameMapping) -> Entries:
    return Entries(Registry(hive, path), stored_collection, stored_key)


def _stored_name(strategy: SanitizationStrategy | None) -> NameMapping:
    return (strategy or PassthroughStrategy()).sanitize


def _leave_open(_: Entries) -> None:
    """Do nothing: registry keys are closed after each call."""
