"""Versions of entries as text: `digest` of the stored string, or `digest@expiry` for an entry that expires."""

from hashlib import sha1

from key_value.aio.core.clock import microseconds_now, to_microseconds
from key_value.aio.core.entry import ManagedEntry

__all__ = ["digest_of", "live_digest", "version_of"]


def digest_of(stored: bytes) -> str:
    """Return the digest as `redis.sha1hex` computes it on the server."""
    return sha1(stored).hexdigest()  # noqa: S324 — detects concurrent writes, not forgery


def version_of(entry: ManagedEntry, stored: bytes) -> str:
    expiry = to_microseconds(entry.expires_at)
    return digest_of(stored) if expiry is None else f"{digest_of(stored)}@{expiry}"


def live_digest(version: str) -> str | None:
    """Return the digest in a version; None if the entry has expired.

    The server keeps the entry up to a millisecond longer, or longer still if its clock is behind. Raises ValueError for
    an invalid expiry.
    """
    digest, _, expiry = version.partition("@")
    return None if expiry and int(expiry) <= microseconds_now() else digest
