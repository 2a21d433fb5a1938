"""Validation of connection options."""

import re
from base64 import b64decode
from typing import Any

from key_value.aio.core.urls import http_parts

__all__ = ["checked_endpoint", "checked_table_name"]

_TABLE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{2,62}")
# https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model
_RESERVED = "tables"
_ACCOUNT_NAME = re.compile(r"[a-z0-9]{3,24}")
# Attributes of named keys, signatures and token credentials.
_CREDENTIAL_ATTRIBUTES = ("named_key", "signature", "get_token", "get_token_info")

_EMULATOR = "UseDevelopmentStorage=true"
_EMULATOR_ENDPOINT = "http://127.0.0.1:10002/devstoreaccount1"


def checked_table_name(name: str | None) -> str:
    if not isinstance(name, str) or not _TABLE_NAME.fullmatch(name) or name.lower() == _RESERVED:
        message = (
            f"table_name must be a letter and 2 to 62 more letters and digits, other than Tables, not {name!r:.100}"
        )
        raise ValueError(message)
    return name


def checked_endpoint(
    connection_string: str | None, account_name: str | None, endpoint: str | None, credential: Any
) -> str:
    """Return the endpoint of the account. Raises ValueError for invalid options, without showing credentials."""
    if (connection_string is None) is (account_name is None and endpoint is None):
        message = "pass a connection_string, or an account_name or endpoint with a credential"
        raise ValueError(message)
    if connection_string is not None:
        if credential is not None:
            message = "pass a credential in the connection_string or with an endpoint, not both"
            raise ValueError(message)
        return _endpoint_in(connection_string)
    if account_name is not None and not _ACCOUNT_NAME.fullmatch(account_name):
        message = f"account_name must be 3 to 24 lower-case letters and digits, not {account_name!r:.100}"
        raise ValueError(message)
    if endpoint is None:
        endpoint = f"https://{account_name}.table.core.windows.net"
    if not _is_endpoint(endpoint):
        message = "endpoint must be http://host[:port][/path] or https://host[:port][/path]"
        raise ValueError(message)
    _check_credential(credential, endpoint)
    return endpoint


def _check_credential(credential: Any, endpoint: str) -> None:
    if credential is None:
        message = "pass a credential: name:key, a shared access signature, or an object of azure-core"
        raise ValueError(message)
    if isinstance(credential, str):
        if not (_is_signature(credential) or _is_named_key(*credential.split(":", 1))):
            message = "the credential must be name:key or a shared access signature, or an object of azure-core"
            raise ValueError(message)
        return
    if not any(hasattr(credential, name) for name in _CREDENTIAL_ATTRIBUTES):
        message = f"credential must be text, or an object of azure-core, not {type(credential).__qualname__}"
        raise TypeError(message)
    if hasattr(credential, "get_token") and not endpoint.lower().startswith("https:"):
        message = "a token credential needs an https endpoint"
        raise ValueError(message)


def _endpoint_in(connection_string: str) -> str:
    if connection_string.lower() == _EMULATOR.lower():
        return _EMULATOR_ENDPOINT
    pairs = [part.partition("=") for part in connection_string.strip().rstrip(";").split(";")]
    settings = {name.lower(): value for name, _, value in pairs}
    name, key = settings.get("accountname", ""), settings.get("accountkey")
    endpoint = settings.get("tableendpoint")
    by_key = key is not None and _is_named_key(name, key)
    by_signature = (name or endpoint) and key is None and _is_signature(settings.get("sharedaccesssignature", ""))
    if not all(settings.values()) or len(settings) < len(pairs) or not (by_key or by_signature):
        message = "the connection_string must contain AccountName and AccountKey, or SharedAccessSignature, each once"
        raise ValueError(message)
    if endpoint is None:
        suffix = settings.get("endpointsuffix")
        # Here and below, same rules as in the driver.
        protocol = settings.get("defaultendpointsprotocol", "https") if suffix else "https"
        endpoint = f"{protocol}://{name}.table.{suffix or 'core.windows.net'}"
    elif "://" not in endpoint:
        endpoint = f"https://{endpoint}"
    if not _is_endpoint(endpoint):
        message = "the endpoint in connection_string must be http://host[:port][/path] or https://host[:port][/path]"
        raise ValueError(message)
    return endpoint


def _is_named_key(name: str, key: str = "") -> bool:
    try:
        return bool(_is_word(name) and b64decode(key, validate=True))
    except ValueError:
        return False


def _is_signature(text: str) -> bool:
    """Whether the text is a signed URL query, with or without the question mark."""
    names = [part.partition("=")[0] for part in text.removeprefix("?").split("&")]
    return "sig" in names and all(map(str.isalpha, names)) and _is_word(text)


def _is_word(text: str) -> bool:
    """Whether the text can be part of a header or URL."""
    return bool(text) and text.isascii() and text.isprintable() and " " not in text


def _is_endpoint(url: str) -> bool:
    parts = http_parts(url)
    return parts is not None and "@" not in parts.netloc and not re.search(r"[?#]", url)
