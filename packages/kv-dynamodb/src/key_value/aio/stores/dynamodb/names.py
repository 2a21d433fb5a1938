"""Shortening of names that exceed DynamoDB's limits."""

from key_value.aio.core.shortening import is_shortened, shorten, shorten_prefix

__all__ = ["MAX_COLLECTION_BYTES", "MAX_KEY_BYTES", "is_shortened", "shorten", "shorten_prefix"]

# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
MAX_COLLECTION_BYTES = 2048
MAX_KEY_BYTES = 1024
