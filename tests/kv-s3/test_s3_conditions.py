"""Conditional writes and deletions when answers are lost or another write comes between."""

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


async def test_a_conditional_write_whose_answer_is_lost_is_not_repeated(store: S3Store, service: Service) -> None:
    lost = iter([True])
    service.drops_replies = lambda _asked: next(lost, False)
    with pytest.raises(StoreConnectionError):
        await store.put_if_absent("key", {"n": 1})
    assert service.operations() == {"PutObject": 1}
    assert await store.get("key") == {"n": 1}


async def test_a_deletion_whose_answer_is_lost_is_not_repeated(store: S3Store, service: Service) -> None:
    await store.put("key", {"n": 1})
    service.requests.clear()
    _, _, version = await store.get_versioned("key")
    assert version is not None
    lost = iter([True])
    service.drops_replies = lambda asked: asked.operation != "GetObject" and next(lost, False)
    with pytest.raises(StoreConnectionError):
        await store.delete_if_version("key", version)


async def test_a_conditional_write_that_was_repeated_on_its_way_is_not_denied(
    store: S3Store, service: Service, raw: Any
) -> None:
    """A proxy, or a client that was passed in, repeats a request: the second time, the condition fails."""
    assert await store.put_if_absent("other", {})
    lost = iter([True])

    def repeat(asked: Any) -> Any:
        if asked.operation == "PutObject" and next(lost, False):
            # What the first of the two has written.
            revision = asked.headers["x-amz-meta-revision"]
            created_at = asked.headers["x-amz-meta-created-at"]
            raw.put("default_collection/key", b"", Metadata={"revision": revision, "created-at": created_at})

    service.rule = repeat
    assert await store.put_if_absent("key", {"n": 1})


# A look that another write comes into: the metadata of the old object, and the ETag of the new one.

NAME = "default_collection/key"
EXPIRED = {"created-at": "2026-01-01T00:00:00+00:00", "expires-at": "2026-01-02T00:00:00+00:00", "revision": "1"}


def between(service: Service, raw: Raw, write: Callable[[], None], *, look: int = 1) -> None:
    """Have the look of that number give what it found before the write, with the ETag of afterwards."""
    looks = iter([*[False] * (look - 1), True])

    def rule(asked: Any) -> Any:
        if asked.operation != "HeadObject" or not next(looks, False):
            return None
        from aiohttp import web

        marks = {f"x-amz-meta-{name}": text for name, text in raw.metadata(NAME).items()}
        write()
        etag = raw.client.head_object(Bucket=raw.bucket, Key=NAME)["ETag"]
        return web.Response(headers={**marks, "ETag": etag})

    service.rule = rule


async def test_a_deletion_that_was_another_s_is_not_taken_for_ours(store: S3Store, service: Service, raw: Raw) -> None:
    await store.put("key", {"n": 1})
    between(service, raw, lambda: raw.put(NAME, b"{}", Metadata=EXPIRED))
    assert await store.delete("key") is False


@pytest.mark.parametrize("call", ["put_if_absent", "cull"])
async def test_an_entry_that_takes_the_place_of_an_expired_one_stays(
    store: S3Store, service: Service, raw: Raw, call: str
) -> None:
    await store.put("key", {"n": 1})
    text, marks = raw.get(NAME) or b"", raw.metadata(NAME)
    raw.put(NAME, b"{}", Metadata=EXPIRED)
    # The first look of `put_if_absent` is for a request that was repeated on its way.
    look = 2 if call == "put_if_absent" else 1
    between(service, raw, lambda: raw.put(NAME, text, Metadata=marks), look=look)
    if call == "cull":
        await store.cull()
    else:
        assert await store.put_if_absent("key", {"n": 2}) is False
    assert await store.get("key") == {"n": 1}


@pytest.mark.parametrize("code", ["ConditionalRequestConflict", "ExistingObjectIsDirectory"])
async def test_a_conflict_with_another_write_is_tried_again(store: S3Store, service: Service, code: str) -> None:
    service.refuse(code, status=409, operation="PutObject", times=2)
    assert await store.put_if_absent("key", {"n": 1})
