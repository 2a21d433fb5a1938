"""StatisticsWrapper: hits, misses, puts and deletes of each collection."""

from key_value.aio.wrappers.statistics.wrapper import (
    KVStoreCollectionStatistics,
    KVStoreStatistics,
    StatisticsWrapper,
)

__all__ = ["KVStoreCollectionStatistics", "KVStoreStatistics", "StatisticsWrapper"]
