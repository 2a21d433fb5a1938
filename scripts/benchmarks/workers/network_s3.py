"""Time S3Store and aioboto3.

Argument: http://access-key:secret@host:port of a server that nothing else uses.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import aioboto3  # pyright: ignore[reportMissingTypeStubs] — it has none
from aiobotocore.config import AioConfig  # pyright: ignore[reportMissingTypeStubs] — it has none
from key_value.aio.stores.s3 import S3Store
from network import compare

if TYPE_CHECKING:
    from collections.abc import Sequence

    Value = dict[str, Any]

Session: Any = aioboto3.Session  # its methods are untyped
Config: Any = AioConfig

_BUCKET = "by-hand"


class ByHand:
    def __init__(self, client: Any) -> None:
        self._client = client

    async def get(self, key: str) -> Value | None:
        try:
            answer = await self._client.get_object(Bucket=_BUCKET, Key=f"c/{key}")
        except self._client.exceptions.NoSuchKey:
            return None
        async with answer["Body"] as body:
            return json.loads(await body.read())

    async def put(self, key: str, value: Value) -> None:
        await self._client.put_object(
            Bucket=_BUCKET, Key=f"c/{key}", Body=json.dumps(value).encode(), ContentType="application/json"
        )

    def ways_to_get_many(self) -> Any:
        return [self._get_many]

    def ways_to_put_many(self) -> Any:
        return [self._put_many]

    async def _get_many(self, keys: Sequence[str]) -> list[Value | None]:
        return await asyncio.gather(*map(self.get, keys))

    async def _put_many(self, keys: Sequence[str], values: Sequence[Value]) -> None:
        await asyncio.gather(*map(self.put, keys, values))


async def main() -> None:
    parts = urlsplit(sys.argv[1])
    place: dict[str, Any] = {
        "region_name": "us-east-1",
        "endpoint_url": f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}",
        "aws_access_key_id": unquote(parts.username or ""),
        "aws_secret_access_key": unquote(parts.password or ""),
    }
    config = Config(max_pool_connections=50, s3={"addressing_style": "path"})
    async with Session().client("s3", config=config, **place) as client, S3Store(bucket_name="store", **place) as store:
        with suppress(client.exceptions.BucketAlreadyOwnedByYou):
            await client.create_bucket(Bucket=_BUCKET)
        await compare(store, ByHand(client))


if __name__ == "__main__":
    asyncio.run(main())
