"""Names that applications import from here, though they were private. Import them from `key_value.aio.core`."""
