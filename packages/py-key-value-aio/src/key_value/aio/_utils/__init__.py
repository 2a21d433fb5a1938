"""Formerly private names that applications import from here. Import them from `key_value.aio.core` instead."""
