# ruff: noqa: INP001 — run by hatchling, never imported
"""The version for the build: the version of the interface, followed by our own as local version.

`KV_INTERFACE=0.4.6 uv build --package py-key-value-aio` builds the same package for applications that require a version
below 0.5.
"""

import os

version = "0.5.0+kv.1"
if interface := os.environ.get("KV_INTERFACE"):
    version = f"{interface}+{version.partition('+')[2]}"
