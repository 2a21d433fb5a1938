"""User names, passwords and user permissions."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
import redis
from key_value.aio.errors import StoreSetupError
from key_value.aio.stores.redis import RedisStore
from probes import serves, text_of
from pydantic import SecretStr
from redis_cases import documented_rights, use_everything
from servers.redis import RedisServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers.redis_cluster import RedisCluster

    from tests.conftest import RunServer

USERNAME = "app:user"
WRONG = "hunter2"
PASSWORD = f"{WRONG}@:/#%?&é"

RawRedis: Any = redis.Redis  # annotated to return either plain values or awaitables


@pytest.fixture(scope="module")
def guarded_redis(run_server: RunServer) -> Iterator[RedisServer]:
    with run_server(RedisServer(username=USERNAME, password=PASSWORD)) as server:
        yield server


def credentials(username: str = USERNAME, password: str = PASSWORD) -> str:
    return f"{quote(username, safe='')}:{quote(password, safe='')}"


async def test_a_url_accepts_percent_encoded_credentials(guarded_redis: RedisServer) -> None:
    assert "hunter2@" not in guarded_redis.url
    assert await serves(RedisStore(url=guarded_redis.url))


async def test_options_accept_credentials(guarded_redis: RedisServer) -> None:
    host, port = guarded_redis.host, guarded_redis.port
    assert await serves(RedisStore(host=host, port=port, db=3, username=USERNAME, password=PASSWORD))
    with RawRedis(host=host, port=port, db=3, username=USERNAME, password=PASSWORD) as raw:
        assert raw.exists("default_collection::key") == 1


async def test_options_supply_credentials_missing_from_the_url(guarded_redis: RedisServer) -> None:
    url = f"redis://{guarded_redis.address}"
    assert await serves(RedisStore(url=url, username=USERNAME, password=PASSWORD))


async def test_credentials_may_be_pydantic_secrets(guarded_redis: RedisServer) -> None:
    url = SecretStr(guarded_redis.url)
    assert await serves(RedisStore(url=url))
    host, port = guarded_redis.host, guarded_redis.port
    assert await serves(RedisStore(host=host, port=port, username=USERNAME, password=SecretStr(PASSWORD)))


async def test_a_password_alone_authenticates_the_default_user(run_server: RunServer) -> None:
    with run_server(RedisServer(password=PASSWORD)) as server:
        assert await serves(RedisStore(url=server.url))
        assert await serves(RedisStore(host=server.host, port=server.port, password=PASSWORD))


@pytest.mark.parametrize(
    "user", [credentials(password=WRONG), credentials(username="nobody", password=WRONG), ""], ids=repr
)
async def test_credentials_refused_by_redis_are_a_setup_error_without_retries(
    guarded_redis: RedisServer, user: str
) -> None:
    start = time.monotonic()
    store = RedisStore(url=f"redis://{user}@{guarded_redis.address}")
    with pytest.raises(StoreSetupError, match="wrong user name or password") as refusal:
        await store.get("key")
    with pytest.raises(StoreSetupError, match="wrong user name or password"):
        await store.setup()
    await store.close()
    # By default redis-py tries eleven times, which takes more than four seconds.
    assert time.monotonic() - start < 4
    assert "hunter2" not in text_of(refusal.value)


async def test_a_command_denied_to_the_user_is_a_setup_error(guarded_redis: RedisServer) -> None:
    with RawRedis(host=guarded_redis.host, port=guarded_redis.port, username=USERNAME, password=PASSWORD) as raw:
        raw.execute_command("ACL", "SETUSER", "reader", "on", ">hunter2", "~*", "+get")
    store = RedisStore(url=f"redis://reader:hunter2@{guarded_redis.address}")
    assert await store.get("absent") is None
    for call in (store.put("key", {"n": 1}), store.setup()):
        with pytest.raises(StoreSetupError, match="lacks the right"):
            await call
    await store.close()


async def test_the_documented_permissions_suffice(guarded_redis: RedisServer) -> None:
    with RawRedis(host=guarded_redis.host, port=guarded_redis.port, username=USERNAME, password=PASSWORD) as raw:
        raw.execute_command("ACL", "SETUSER", "app", "on", ">hunter2", "~*", *documented_rights("redis"))
        raw.flushdb()
    async with RedisStore(url=f"redis://app:hunter2@{guarded_redis.address}") as store:
        await use_everything(store)


async def test_the_documented_permissions_suffice_on_a_cluster(redis_cluster: RedisCluster, raw_cluster: Any) -> None:
    rights = [*documented_rights("redis"), "+cluster|slots", "+asking"]
    everywhere = {"target_nodes": raw_cluster.PRIMARIES}
    raw_cluster.execute_command("ACL", "SETUSER", "app", "on", ">hunter2", "~*", *rights, **everywhere)
    urls = [url.replace("redis://", "redis://app:hunter2@") for url in redis_cluster.urls]
    async with RedisStore(url=urls) as store:
        await use_everything(store)
    raw_cluster.execute_command("ACL", "DELUSER", "app", **everywhere)


async def test_a_unix_socket_url_accepts_credentials(guarded_redis: RedisServer) -> None:
    assert await serves(RedisStore(url=f"unix://{credentials()}@{guarded_redis.socket_path}"))
