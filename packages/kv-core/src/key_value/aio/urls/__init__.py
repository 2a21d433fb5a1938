"""Opening a store of any package by URL."""

from key_value.aio.core.urls import redacted
from key_value.aio.urls.open import OpenedStore, open_store

__all__ = ["OpenedStore", "open_store", "redacted"]
