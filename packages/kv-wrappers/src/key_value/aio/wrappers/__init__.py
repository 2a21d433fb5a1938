"""Wrappers, each in its own module, such as `key_value.aio.wrappers.compression`."""
