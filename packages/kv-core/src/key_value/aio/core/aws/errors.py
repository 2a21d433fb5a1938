"""Translation of botocore's exceptions."""

import re
from collections.abc import Mapping
from typing import Any

from key_value.aio.core.driver_errors import DriverErrors, Meaning
from key_value.aio.errors import (
    BaseKeyValueError,
    KeyValueStoreError,
    StoreConnectionError,
    StoreSetupError,
    StoreTimeoutError,
)

__all__ = ["answer_of", "aws_errors", "code_of", "is_throttled", "is_unavailable", "lost_connection", "service_error"]

_THROTTLED = frozenset(
    {
        "BandwidthLimitExceeded",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)

_WRONG_REGION = "the request was signed for another region than the endpoint's"
_UNKNOWN_KEY = "the access key is not known, or the session token does not belong to it"
_WRONG_SECRET = "wrong secret access key"  # noqa: S105 — a reason
_CLOCK_SKEW = "the clock of this machine is wrong, which makes its signatures invalid"
_EXPIRED = "the session token has expired"
_UNSIGNED = "no credentials were sent, but the service requires them"

_CREDENTIAL_ERRORS: Mapping[str, str] = {
    "AuthorizationHeaderMalformed": _WRONG_REGION,
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "IncompleteSignature": _UNSIGNED,
    "IncompleteSignatureException": _UNSIGNED,
    "InvalidAccessKeyId": _UNKNOWN_KEY,
    "InvalidClientTokenId": _UNKNOWN_KEY,
    "InvalidSignatureException": _WRONG_SECRET,
    "InvalidToken": _UNKNOWN_KEY,
    "MissingAuthenticationToken": _UNSIGNED,
    "MissingAuthenticationTokenException": _UNSIGNED,
    "OptInRequired": "the account has not subscribed to the service or enabled the region",
    "PermanentRedirect": _WRONG_REGION,
    "RequestExpired": _CLOCK_SKEW,
    "RequestTimeTooSkewed": _CLOCK_SKEW,
    "SignatureDoesNotMatch": _WRONG_SECRET,
    "SubscriptionRequiredException": "the account has not subscribed to the service",
    "TokenRefreshRequired": _EXPIRED,
    "UnrecognizedClientException": _UNKNOWN_KEY,
}

_ACCESS_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "NotAuthorized", "UnauthorizedOperation"})

_ERROR_CODE = re.compile(r"[A-Za-z.]{1,80}")
_MIN_SERVER_ERROR_STATUS = 500


def service_error() -> type[Exception]:
    """Return the class of error responses of a service."""
    from botocore.exceptions import ClientError  # pyright: ignore[reportMissingTypeStubs] — untyped

    return ClientError


def lost_connection() -> tuple[type[Exception], ...]:
    """Return the classes for failed and lost connections, after which the outcome of the request is unknown."""
    from botocore import exceptions  # pyright: ignore[reportMissingTypeStubs] — untyped

    return exceptions.ConnectionClosedError, exceptions.EndpointConnectionError


def answer_of(error: Any) -> Mapping[str, Any]:
    """Return the response in a `service_error`."""
    return error.response


def code_of(error: Any) -> str:
    """Return the error code in a `service_error`."""
    return str(answer_of(error).get("Error", {}).get("Code", ""))


def is_throttled(error: Any) -> bool:
    """Return whether the service throttled the request, and so has not executed it."""
    return code_of(error) in _THROTTLED


def is_unavailable(error: Any) -> bool:
    """Return whether the service failed, possibly after executing the request."""
    return _status(error) >= _MIN_SERVER_ERROR_STATUS


def aws_errors(codes: Mapping[str, Meaning]) -> DriverErrors:
    """Return the table of botocore's exceptions; `codes` adds the error codes specific to a service."""
    from botocore import exceptions  # pyright: ignore[reportMissingTypeStubs] — untyped

    single_sign_on = (StoreSetupError, "the single sign-on session is missing or has expired")
    not_retrieved = (StoreSetupError, "the credentials could not be retrieved")
    return {
        exceptions.BotoCoreError: KeyValueStoreError,
        exceptions.ConnectionError: StoreConnectionError,
        exceptions.HTTPClientError: StoreConnectionError,
        exceptions.ChecksumError: StoreConnectionError,
        exceptions.IncompleteReadError: StoreConnectionError,
        exceptions.ConnectTimeoutError: (StoreTimeoutError, "no connection within the limit `timeout`"),
        exceptions.ReadTimeoutError: (StoreTimeoutError, "no answer within the limit `timeout`"),
        exceptions.NoCredentialsError: (
            StoreSetupError,
            "no credentials were given, and none were found on this machine",
        ),
        exceptions.PartialCredentialsError: (StoreSetupError, "the credentials found on this machine are incomplete"),
        exceptions.CredentialRetrievalError: not_retrieved,
        exceptions.MetadataRetrievalError: not_retrieved,
        exceptions.RefreshWithMFAUnsupportedError: (StoreSetupError, "the credentials could not be refreshed"),
        exceptions.SSOError: single_sign_on,
        exceptions.TokenRetrievalError: single_sign_on,
        exceptions.ProfileNotFound: (StoreSetupError, "the profile of AWS_PROFILE is not in the configuration"),
        exceptions.ConfigParseError: (StoreSetupError, "the AWS configuration of this machine cannot be read"),
        exceptions.NoRegionError: (StoreSetupError, "no region was given, and none is configured on this machine"),
        exceptions.InvalidRegionError: (StoreSetupError, "the region name is invalid"),
        exceptions.ClientError: lambda error: codes.get(code_of(error)) or _meaning(error),
    }


def _status(error: Any) -> int:
    status: Any = answer_of(error).get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status if isinstance(status, int) else 0


def _meaning(error: Any) -> tuple[type[BaseKeyValueError], str]:
    """Translate an error response. Its text is not shown, because it may contain names of the caller's account."""
    code = code_of(error)
    text = str(answer_of(error).get("Error", {}).get("Message", "")).lower()
    if is_throttled(error):
        return StoreConnectionError, f"the service limits the rate of requests ({code})"
    if code in _ACCESS_DENIED:
        return StoreSetupError, f"these credentials lack the right to {error.operation_name}"
    if code in _CREDENTIAL_ERRORS:
        reason = _CREDENTIAL_ERRORS[code]
        # One code stands for three mistakes, which only the text distinguishes.
        if reason is _WRONG_SECRET and "scope" in text and "region" in text:
            reason = _WRONG_REGION
        elif reason is _WRONG_SECRET and ("expired" in text or "not yet current" in text):
            reason = _CLOCK_SKEW
        return StoreSetupError, reason
    if is_unavailable(error):
        return StoreConnectionError, f"the service responded with status {_status(error)}"
    shown = code if _ERROR_CODE.fullmatch(code) else f"status {_status(error)}"
    return KeyValueStoreError, f"the service refuses {error.operation_name} ({shown})"
