# ruff: noqa: INP001 — hatchling runs it, nothing imports it
"""The version, for the build: that of the interface, and ours behind it.

`KV_INTERFACE=0.4.6 uv build --package py-key-value-aio` builds the same package for what requires less than 0.5.
"""

import os

version = "0.5.0+kv.1"
if interface := os.environ.get("KV_INTERFACE"):
    version = f"{interface}+{version.partition('+')[2]}"
