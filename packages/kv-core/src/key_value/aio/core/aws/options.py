"""What a store on a service of AWS is constructed with."""

import re
from collections.abc import Mapping
from typing import Any

from key_value.aio.core.urls import http_parts

__all__ = ["check_options"]

_REGION = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def check_options(client: Any, service: str, place: Mapping[str, str | None]) -> None:
    """Raise ValueError, which shows no credential, for what cannot be or not together.

    Raises TypeError for a client that is not one of aiobotocore's or aioboto3's for the service. `place` has the
    parameters that lead to the service.
    """
    if client is not None:
        if any(option is not None for option in place.values()):
            message = f"pass a client or what leads to the service, not both: {', '.join(place)}"
            raise ValueError(message)
        _check_client(client, service)
    region_name, endpoint_url = place["region_name"], place["endpoint_url"]
    if region_name is not None and not _REGION.fullmatch(region_name):
        message = f"region_name must be one such as eu-central-1, not {region_name!r:.100}"
        raise ValueError(message)
    endpoint = None if endpoint_url is None else http_parts(endpoint_url)
    if endpoint_url is not None and (endpoint is None or "@" in endpoint.netloc):
        message = "endpoint_url must be http://host[:port] or https://host[:port]"
        raise ValueError(message)
    key, secret, token = (place[f"aws_{name}"] for name in ("access_key_id", "secret_access_key", "session_token"))
    if (key is None) is not (secret is None) or (token is not None and key is None):
        message = "aws_access_key_id and aws_secret_access_key go together, and aws_session_token with both"
        raise ValueError(message)


def _check_client(client: Any, service: str) -> None:
    model = getattr(getattr(client, "meta", None), "service_model", None)
    if model is None:
        kind = f"{type(client).__module__}.{type(client).__qualname__}"
        message = f"client must be one of aiobotocore or aioboto3, as `async with` gives it, not {kind}"
        raise TypeError(message)
    served = model.service_name
    if served != service:
        message = f"client must be one for the service {service!r}, not {served!r}"
        raise TypeError(message)
