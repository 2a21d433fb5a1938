"""NullStore: accepts every entry and stores none."""

from key_value.aio.stores.base import BaseStore, ManagedEntry

__all__ = ["NullStore"]


class NullStore(BaseStore):
    """Checks its arguments like every store and stores nothing: disables storage without code changes."""

    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:  # noqa: ARG002
        return None

    async def _put_managed_entry(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        pass

    async def _delete_managed_entry(self, *, collection: str, key: str) -> bool:  # noqa: ARG002
        return False
