"""A store in an Azure Table Storage table."""

from key_value.aio.stores.azure_tables.names import AzureTablesSanitizationStrategy
from key_value.aio.stores.azure_tables.store import AzureTablesStore

__all__ = ["AzureTablesSanitizationStrategy", "AzureTablesStore"]
