"""Wrappers: each in its module, such as `key_value.aio.wrappers.compression`."""
