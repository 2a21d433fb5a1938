"""The building blocks of every store, wrapper and adapter."""

import key_value.aio  # pyright: ignore[reportMissingTypeStubs] — a namespace has no type information

# The predecessor's wheel is a regular package and owns the same paths; beside it Python loads a mixture of both.
if getattr(key_value.aio, "__file__", None) is not None:
    message = (
        "kv-core cannot share an environment with the wheel of py-key-value-aio 0.5 or older: both own "
        "key_value/aio. Run `pip uninstall py-key-value-aio py-key-value-shared`, then install kv-core and the "
        "kv-* packages you use again."
    )
    raise ImportError(message)
