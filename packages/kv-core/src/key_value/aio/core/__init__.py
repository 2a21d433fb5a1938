"""The building blocks of every store, wrapper and adapter."""

import key_value.aio  # pyright: ignore[reportMissingTypeStubs] — a namespace has no type information

# The predecessor's wheel installs a regular package at the same paths. With both, Python would load a mixture.
if getattr(key_value.aio, "__file__", None) is not None:
    message = (
        "kv-core cannot share an environment with the wheel of py-key-value-aio 0.5 or older: both install "
        "key_value/aio. Run `pip uninstall py-key-value-aio py-key-value-shared`, which also removes files of kv-core, "
        "then `pip install --force-reinstall --no-deps kv-core` with the other kv-* packages you use added."
    )
    raise ImportError(message)
