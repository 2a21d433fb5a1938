"""Conditional writes and deletions with lost answers and interleaved writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.errors import StoreConnectionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from key_value.aio.stores.s3 import S3Store

    from .conftest import Raw
    from .service import Service


@pytest.fixture
def store(store_at_service: S3Store) -> S3Store:
    return store_at_service


async def test_a_conditional_write_with_a_lost_answer_is_not_retried(store: S3Store, service: Service) -> None:
    lost = iter([True])
    service.drops_replies = lambda _asked: next(lost, False)
    with pytest.raises(StoreConnectionError):
        await store.put_if_absent("key", {"n": 1})
    assert service.operations() == {"PutObject": 1}
    assert await store.get("key") == {"n": 1}


async def test_a_deletion_with_a_lost_answer_is_not_retried(store: S3Store, service: Service) -> None:
    await store.put("key", {"n": 1})
    service.requests.clear()
    _, _, version = await store.get_versioned("key")
    assert version is not None
    lost = iter([True])
    service.drops_replies = lambda asked: asked.operation != "GetObject" and next(lost, False)
    with pytest.raises(StoreConnectionError):
        await store.delete_if_version("key", version)


async def test_a_conditional_write_retried_in_transit_is_reported_as_successful(
    store: S3Store, service: Service, raw: Any
) -> None:
    """A proxy, or a client that was passed in, retries a request: the condition fails the second time."""
    assert await store.put_if_absent("other", {})
    lost = iter([True])

    def repeat(asked: Any) -> Any:
        if asked.operation == "PutObject" and next(lost, False):
            # The object written by the first of the two requests.
            revision = asked.headers["x-amz-meta-revision"]
            created_at = asked.headers["x-amz-meta-created-at"]
            raw.put("default_collection/key", b"", Metadata={"revision": revision, "created-at": created_at})

    service.rule = repeat
    assert await store.put_if_absent("key", {"n": 1})


# A HEAD request interleaved with another write: metadata of the old object, ETag of the new one.

NAME = "default_collection/key"
EXPIRED = {"created-at": "2026-01-01T00:00:00+00:00", "expires-at": "2026-01-02T00:00:00+00:00", "revision": "1"}


def interleave(service: Service, raw: Raw, write: Callable[[], None], *, head: int = 1) -> None:
    """Make HEAD request number `head` return the metadata from before the write and the ETag from after it."""
    turns = iter([*[False] * (head - 1), True])

    def rule(asked: Any) -> Any:
        if asked.operation != "HeadObject" or not next(turns, False):
            return None
        from aiohttp import web

        metadata = {f"x-amz-meta-{name}": text for name, text in raw.metadata(NAME).items()}
        write()
        etag = raw.client.head_object(Bucket=raw.bucket, Key=NAME)["ETag"]
        return web.Response(headers={**metadata, "ETag": etag})

    service.rule = rule


async def test_a_deletion_by_another_client_is_not_reported_as_our_own(
    store: S3Store, service: Service, raw: Raw
) -> None:
    await store.put("key", {"n": 1})
    interleave(service, raw, lambda: raw.put(NAME, b"{}", Metadata=EXPIRED))
    assert await store.delete("key") is False


@pytest.mark.parametrize("call", ["put_if_absent", "cull"])
async def test_an_entry_that_replaces_an_expired_entry_is_kept(
    store: S3Store, service: Service, raw: Raw, call: str
) -> None:
    await store.put("key", {"n": 1})
    text, metadata = raw.get(NAME) or b"", raw.metadata(NAME)
    raw.put(NAME, b"{}", Metadata=EXPIRED)
    # The first HEAD request of `put_if_absent` checks for a request retried in transit.
    head = 2 if call == "put_if_absent" else 1
    interleave(service, raw, lambda: raw.put(NAME, text, Metadata=metadata), head=head)
    if call == "cull":
        await store.cull()
    else:
        assert await store.put_if_absent("key", {"n": 2}) is False
    assert await store.get("key") == {"n": 1}


@pytest.mark.parametrize("code", ["ConditionalRequestConflict", "ExistingObjectIsDirectory"])
async def test_a_conflict_with_another_write_is_retried(store: S3Store, service: Service, code: str) -> None:
    service.refuse(code, status=409, operation="PutObject", times=2)
    assert await store.put_if_absent("key", {"n": 1})
