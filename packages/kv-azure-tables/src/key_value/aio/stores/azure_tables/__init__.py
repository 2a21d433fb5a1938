"""A store in a table of Azure Table Storage."""

from key_value.aio.stores.azure_tables.names import AzureTablesSanitizationStrategy
from key_value.aio.stores.azure_tables.store import AzureTablesStore

__all__ = ["AzureTablesSanitizationStrategy", "AzureTablesStore"]
