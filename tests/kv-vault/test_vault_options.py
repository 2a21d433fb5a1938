"""Options and URLs of a VaultStore, and the reasons reported when it cannot be used."""

from __future__ import annotations

import logging
import pickle
import subprocess
import sys
import traceback
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.errors import BaseKeyValueError, StoreConnectionError, StoreSetupError, StoreTimeoutError
from key_value.aio.stores.vault import VaultStore
from key_value.aio.testing.faults import FaultProxy
from key_value.aio.urls import open_store

from .conftest import Hvac, changed

if TYPE_CHECKING:
    from pathlib import Path

    from servers.vault import VaultServer

    from .conftest import Raw

SECRET = "hunter2"  # noqa: S105 — test data


class SecretStr:
    """Like pydantic's class."""

    def __init__(self, text: str) -> None:
        self._text = text

    def get_secret_value(self) -> str:
        return self._text


# Options


@pytest.mark.parametrize(
    "options",
    [
        {"mount_point": ""},
        {"mount_point": "/"},
        {"mount_point": "a//b"},
        {"mount_point": "a/../b"},
        {"mount_point": "a b"},
        {"url": "localhost:8200"},
        {"url": "ftp://localhost"},
        {"url": "http://:hunter2@localhost"},
        {"url": "http://localhost?token=hunter2"},
        {"url": "http://localhost:hunter2"},
        {"token": ""},
        {"token": "hunter2\n"},
        {"namespace": "a b"},
        {"timeout": 0},
        {"max_connections": 0},
        {"max_value_bytes": 0},
        {"client": object(), "token": SECRET},
        {"client": object(), "url": "http://localhost:8201"},
        {"client": object(), "namespace": "team"},
        {"default_collection": ""},
    ],
    ids=repr,
)
def test_invalid_options_are_refused_before_anything_is_contacted(options: dict[str, Any]) -> None:
    with pytest.raises((ValueError, BaseKeyValueError)) as caught:
        VaultStore(**options)
    assert SECRET not in str(caught.value)


def test_a_client_of_a_wrong_type_is_refused() -> None:
    with pytest.raises(TypeError, match=r"client must be hvac\..*Client, not builtins\.object"):
        VaultStore(client=object())


def test_a_constructor_needs_no_event_loop_and_loads_no_driver() -> None:
    program = (
        "import sys; from key_value.aio.stores.vault import VaultStore; VaultStore(token='t'); "
        "print('hvac' in sys.modules, 'aiohttp' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603 — trusted program
    assert done.stdout == "False False\n"


def test_a_repr_names_the_mount_point_and_the_server() -> None:
    assert repr(VaultStore(token=SECRET)) == "VaultStore(secret at http://localhost:8200)"
    assert repr(VaultStore(client=Hvac(), mount_point="/team/kv/")) == "VaultStore(team/kv)"


def test_a_pickled_store_keeps_its_options() -> None:
    store = VaultStore(url="https://vault.example.com", token=SECRET, mount_point="kv")
    assert repr(pickle.loads(pickle.dumps(store))) == repr(store)  # noqa: S301 — trusted data


async def test_a_token_may_be_a_secret_object(place: dict[str, Any]) -> None:
    async with VaultStore(**changed(place, token=SecretStr(place["token"]))) as store:
        await store.put("key", {"n": 1})
        assert await store.get("key") == {"n": 1}


async def test_a_token_is_read_from_the_environment(place: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_TOKEN", place.pop("token"))
    async with VaultStore(**place) as store:
        await store.put("key", {"n": 1})


async def test_a_token_is_read_from_the_home_directory(
    place: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("VAULT_TOKEN", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".vault-token").write_text(f"{place.pop('token')}\n")
    async with VaultStore(**place) as store:
        await store.put("key", {"n": 1})


async def test_namespaces_separate_entries(vault_server: VaultServer) -> None:
    for namespace in ("one", "two"):
        vault_server.ask("POST", f"sys/namespaces/{namespace}")
        vault_server.ask("POST", f"{namespace}/sys/mounts/secret", {"type": "kv", "options": {"version": "2"}})
    place: dict[str, Any] = {"url": vault_server.endpoint, "token": vault_server.token}
    one, two = VaultStore(**place, namespace="one"), VaultStore(**place, namespace="two")
    async with one, two:
        await one.put("key", {"n": 1})
        assert await two.get("key") is None
        await one.destroy()


# URLs


async def test_a_url_gives_the_server_token_mount_point_and_options(vault_server: VaultServer, raw: Raw) -> None:
    store: Any = open_store(f"{vault_server.url}/{raw.mount_point}?timeout=20")
    async with store:
        await store.put("key", {"n": 1})
    assert raw.paths() == ["default_collection::key"]
    assert vault_server.token not in repr(store)


def test_a_url_uses_tls_unless_its_scheme_is_plain_http() -> None:
    assert repr(open_store("vault://vault.example.com/kv")) == "VaultStore(kv at https://vault.example.com)"
    assert repr(open_store("vault+http://[::1]:8200")) == "VaultStore(secret at http://[::1]:8200)"


@pytest.mark.parametrize(
    "url",
    [
        "vault://",
        "vault://user:hunter2@localhost",
        "vault://:hunter2@",
        "vault://localhost?colour=red",
        "vault://localhost?max_connections=hunter2",
        "vault://localhost#hunter2",
        "vault://:hunter2@localhost?token=hunter2",
    ],
)
def test_a_url_with_an_unsupported_part_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        open_store(url)
    assert SECRET not in str(caught.value)


# Reported reasons


async def refusal(**options: Any) -> tuple[BaseKeyValueError, str]:
    """Return the error of `setup`, and its printed text."""
    store = VaultStore(**options)
    with pytest.raises(BaseKeyValueError) as caught:
        await store.setup()
    await store.close()
    return caught.value, "".join(traceback.format_exception_only(caught.value))


async def test_an_unknown_host_is_reported(place: dict[str, Any]) -> None:
    error, shown = await refusal(**changed(place, url="http://no-such-host.invalid:8200"))
    assert isinstance(error, StoreConnectionError)
    assert "unknown host" in shown


@pytest.mark.parametrize("passed_in", [False, True])
async def test_a_refused_connection_is_reported(place: dict[str, Any], unused_port: int, *, passed_in: bool) -> None:
    url = f"http://127.0.0.1:{unused_port}"
    options: dict[str, Any] = {"client": Hvac(url=url, token=SECRET)} if passed_in else changed(place, url=url)
    error, shown = await refusal(**options)
    assert isinstance(error, StoreConnectionError)
    assert "refused" in shown
    assert SECRET not in shown


@pytest.mark.parametrize("passed_in", [False, True])
async def test_a_server_that_does_not_answer_is_a_timeout(vault_server: VaultServer, *, passed_in: bool) -> None:
    async with FaultProxy(*vault_server.address) as proxy:
        proxy.black_hole()
        url = f"http://{proxy.host}:{proxy.port}"
        place: dict[str, Any] = {"client": Hvac(url=url, token=SECRET)} if passed_in else {"url": url, "token": SECRET}
        error, shown = await refusal(**place, timeout=0.5)
    assert isinstance(error, StoreTimeoutError)
    assert "timeout" in shown
    assert SECRET not in shown


async def test_a_server_without_tls_is_a_connection_error(vault_server: VaultServer) -> None:
    error, _ = await refusal(url=vault_server.endpoint.replace("http:", "https:"), token=SECRET)
    assert isinstance(error, StoreConnectionError)


@pytest.mark.parametrize("passed_in", [False, True])
async def test_a_wrong_token_is_reported(vault_server: VaultServer, *, passed_in: bool) -> None:
    url = vault_server.endpoint
    options: dict[str, Any] = {"client": Hvac(url=url, token=SECRET)} if passed_in else {"url": url, "token": SECRET}
    error, shown = await refusal(**options)
    assert isinstance(error, StoreSetupError)
    assert "the token is missing, invalid or has expired" in shown
    assert SECRET not in shown


async def test_a_revoked_token_is_reported(vault_server: VaultServer, place: dict[str, Any]) -> None:
    token = token_with(
        vault_server, f'path "{place["mount_point"]}/*" {{ capabilities = ["create", "read", "update"] }}'
    )
    async with VaultStore(**changed(place, token=token)) as store:
        await store.put("key", {"n": 1})
        vault_server.ask("POST", "auth/token/revoke", {"token": token})
        with pytest.raises(StoreSetupError, match="has expired") as caught:
            await store.get("key")
    assert token not in str(caught.value)


@pytest.mark.parametrize(
    ("rights", "missing"),
    [
        ('path "MOUNT/data/*" { capabilities = ["read"] }', "create and update MOUNT/data"),
        ('path "MOUNT/data/*" { capabilities = ["create", "read", "update"] }', "update MOUNT/destroy"),
        ('path "other/*" { capabilities = ["read"] }', "read MOUNT/data"),
    ],
)
async def test_a_missing_permission_is_reported(
    vault_server: VaultServer, place: dict[str, Any], rights: str, missing: str
) -> None:
    mount_point = place["mount_point"]
    token = token_with(vault_server, rights.replace("MOUNT", mount_point))
    error, shown = await refusal(**changed(place, token=token))
    assert isinstance(error, StoreSetupError)
    assert missing.replace("MOUNT", mount_point) in shown


async def test_a_user_with_only_read_permission_can_read(vault_server: VaultServer, place: dict[str, Any]) -> None:
    async with VaultStore(**place) as store:
        await store.put("key", {"n": 1})
    rights = f'path "{place["mount_point"]}/data/*" {{ capabilities = ["read"] }}'
    reader = VaultStore(**changed(place, token=token_with(vault_server, rights)))
    assert await reader.get_many(["key", "absent"]) == [{"n": 1}, None]
    with pytest.raises(StoreSetupError, match="lacks the right to list"):
        await reader.keys()
    with pytest.raises(StoreSetupError, match="lacks the right to update"):
        await reader.put("key", {"n": 2})
    await reader.close()


async def test_a_missing_mount_point_is_reported(place: dict[str, Any]) -> None:
    error, shown = await refusal(**changed(place, mount_point="absent"))
    assert isinstance(error, StoreSetupError)
    assert "no secrets engine is mounted" in shown


@pytest.fixture
def version_1(vault_server: VaultServer, place: dict[str, Any]) -> dict[str, Any]:
    """Store options that lead to a secrets engine of version 1."""
    mount_point = f"kv-of-version-1-{uuid.uuid4().hex}"
    vault_server.ask("POST", f"sys/mounts/{mount_point}", {"type": "kv", "options": {"version": "1"}})
    return changed(place, mount_point=mount_point)


async def test_a_secrets_engine_of_version_1_is_reported(version_1: dict[str, Any]) -> None:
    error, shown = await refusal(**version_1)
    assert isinstance(error, StoreSetupError)
    assert "not KV version 2" in shown


@pytest.mark.parametrize("passed_in", [False, True])
async def test_a_store_without_setup_reports_version_1_on_each_operation(
    version_1: dict[str, Any], *, passed_in: bool
) -> None:
    mount_point = version_1["mount_point"]
    client = Hvac(url=version_1["url"], token=version_1["token"])
    store = VaultStore(client=client, mount_point=mount_point) if passed_in else VaultStore(**version_1)
    for write in (store.put("key", {"n": 1}), store.put_if_absent("key", {"n": 1}), store.put_many(["key"], [{}])):
        with pytest.raises(StoreSetupError, match="not KV version 2"):
            await write
    # The first write has already stored a secret.
    for use in (store.get("key"), store.delete("key"), store.get_versioned("key")):
        with pytest.raises(StoreSetupError, match="not KV version 2"):
            await use
    await store.close()


async def test_a_new_token_of_the_client_is_used(vault_server: VaultServer, raw: Raw) -> None:
    client = Hvac(url=vault_server.endpoint, token=SECRET)
    store = VaultStore(client=client, mount_point=raw.mount_point)
    with pytest.raises(StoreSetupError):
        await store.get("key")
    client.token = vault_server.token
    assert await store.get("key") is None


async def test_a_client_logged_in_with_app_role_serves(vault_server: VaultServer, raw: Raw) -> None:
    vault_server.ask("POST", "sys/auth/approle", {"type": "approle"})
    token_with(vault_server, f'path "{raw.mount_point}/*" {{ capabilities = ["create", "read", "update", "list"] }}')
    vault_server.ask("POST", "auth/approle/role/app", {"token_policies": ["kv-test"]})
    client = Hvac(url=vault_server.endpoint)
    _, role = vault_server.ask("GET", "auth/approle/role/app/role-id")
    _, secret = vault_server.ask("POST", "auth/approle/role/app/secret-id")
    client.auth.approle.login(role_id=role["data"]["role_id"], secret_id=secret["data"]["secret_id"])
    async with VaultStore(client=client, mount_point=raw.mount_point) as store:
        await store.put("key", {"n": 1})
        assert await store.keys() == ["key"]


def token_with(server: VaultServer, rights: str) -> str:
    """Return a token with only these permissions."""
    server.ask("POST", "sys/policies/acl/kv-test", {"policy": rights})
    _, answer = server.ask("POST", "auth/token/create", {"policies": ["kv-test"]})
    return answer["auth"]["client_token"]


@pytest.mark.parametrize("passed_in", [False, True])
async def test_no_log_shows_a_secret(
    place: dict[str, Any], caplog: pytest.LogCaptureFixture, *, passed_in: bool
) -> None:
    caplog.set_level(logging.DEBUG)
    options: dict[str, Any] = place
    if passed_in:
        options = {"client": Hvac(url=place["url"], token=place["token"]), "mount_point": place["mount_point"]}
    async with VaultStore(**options) as store:
        await store.put("key", {"password": SECRET})
        await store.get("key")
    assert place["token"] not in caplog.text
    assert SECRET not in caplog.text
