"""Validation of the constructor options of the stores on AWS services."""

import re
from collections.abc import Mapping
from typing import Any

from key_value.aio.core.urls import http_parts

__all__ = ["check_options"]

_REGION = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def check_options(client: Any, service: str, connection: Mapping[str, str | None]) -> None:
    """Raise ValueError for invalid or conflicting options, and TypeError for a client of another library or service.

    `connection` has the options that locate the service and give its credentials. Messages show no credentials.
    """
    if client is not None:
        if any(option is not None for option in connection.values()):
            message = f"pass either a client or options to create one, not both: {', '.join(connection)}"
            raise ValueError(message)
        _check_client(client, service)
    region_name, endpoint_url = connection["region_name"], connection["endpoint_url"]
    if region_name is not None and not _REGION.fullmatch(region_name):
        message = f"region_name must be a region such as eu-central-1, not {region_name!r:.100}"
        raise ValueError(message)
    endpoint = None if endpoint_url is None else http_parts(endpoint_url)
    if endpoint_url is not None and (endpoint is None or "@" in endpoint.netloc):
        message = "endpoint_url must be http://host[:port] or https://host[:port]"
        raise ValueError(message)
    key, secret, token = (connection[f"aws_{name}"] for name in ("access_key_id", "secret_access_key", "session_token"))
    if (key is None) is not (secret is None) or (token is not None and key is None):
        message = "pass aws_access_key_id and aws_secret_access_key together; aws_session_token requires both"
        raise ValueError(message)


def _check_client(client: Any, service: str) -> None:
    model = getattr(getattr(client, "meta", None), "service_model", None)
    if model is None:
        kind = f"{type(client).__module__}.{type(client).__qualname__}"
        message = f"client must be a client of aiobotocore or aioboto3, as returned by `async with`, not {kind}"
        raise TypeError(message)
    actual = model.service_name
    if actual != service:
        message = f"client must be a client of the service {service!r}, not {actual!r}"
        raise TypeError(message)
