"""A store in the Windows registry. Importing it on another platform raises ImportError."""

from key_value.aio.stores.windows_registry.store import WindowsRegistryStore

__all__ = ["WindowsRegistryStore"]
