"""A store in the registry of Windows. Importing it elsewhere is an ImportError."""

from key_value.aio.stores.windows_registry.store import WindowsRegistryStore

__all__ = ["WindowsRegistryStore"]
