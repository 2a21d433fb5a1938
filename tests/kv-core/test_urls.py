"""Opening a store by its URL, and redacted URLs."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from key_value.aio.core.urls import http_parts, parse_url, redacted
from key_value.aio.protocols import AsyncScanProtocol
from key_value.aio.stores.memory import MemoryStore
from key_value.aio.stores.null import NullStore
from key_value.aio.urls import open as open_module
from key_value.aio.urls import open_store

if TYPE_CHECKING:
    from collections.abc import Iterable

    from key_value.aio.core.urls import StoreURL

SECRET = "hunter2"  # noqa: S105 — looked for in messages


class SampleStore(MemoryStore):
    """A store with an option of each type that a URL can hold."""

    def __init__(
        self,
        *,
        directory: Path | str | None = None,
        timeout: float | None = 5.0,
        connections: int = 1,
        ssl: bool = False,
        durability: Literal["normal", "full"] = "normal",
        password: str | None = None,
        path: Path | None = None,
        client: object | None = None,
        default_collection: str | None = None,
    ) -> None:
        super().__init__(default_collection=default_collection)
        self.options = (directory, timeout, connections, ssl, durability, password, path, client)

    @classmethod
    def _url_options(cls, url: StoreURL) -> dict[str, Any]:
        return {"directory": url.local_path}


class DriverStore(MemoryStore):
    """A store whose driver reads URLs itself."""

    driver_reads_query = True

    def __init__(self, *, url: str, timeout: float | None = None) -> None:
        super().__init__()
        self.url = url
        self.timeout = timeout

    @classmethod
    def _url_options(cls, url: StoreURL) -> dict[str, Any]:
        return {"url": url.url}


class HostsStore(DriverStore):
    driver_reads_hosts = True


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the installed packages with those of these tests."""
    stores: dict[str, type[Any]] = {
        "sample": SampleStore,
        "driver": DriverStore,
        "null": NullStore,
        "memory": MemoryStore,
    }

    def load(self: EntryPoint) -> type[Any]:
        return stores[self.name]

    install(monkeypatch, {name: f"a:{store.__name__}" for name, store in stores.items()}.items())
    monkeypatch.setattr(EntryPoint, "load", load)


def install(monkeypatch: pytest.MonkeyPatch, stores: Iterable[tuple[str, str]]) -> None:
    found = EntryPoints(EntryPoint(name, value, "key_value.stores") for name, value in stores)

    def entry_points(*, group: str) -> EntryPoints:
        return found.select(group=group)

    monkeypatch.setattr(open_module, "entry_points", entry_points)


def options_of(url: str, **options: Any) -> tuple[Any, ...]:
    store: Any = open_store(url, **options)
    return store.options


def test_the_scheme_selects_the_store() -> None:
    assert [type(open_store(url)) for url in ("memory://", "null://")] == [MemoryStore, NullStore]


def test_options_are_converted_to_the_types_of_the_constructor() -> None:
    url = "sample:///tmp/kv?timeout=1.5&connections=7&ssl=yes&durability=full&password=p%26w&path=/x"
    assert options_of(url) == ("/tmp/kv", 1.5, 7, True, "full", "p&w", Path("/x"), None)  # noqa: S108 — not used


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sample://kv", "kv"),
        ("sample://kv/of/mine", "kv/of/mine"),
        ("sample:///kv", "/kv"),
        ("sample://~/kv", "~/kv"),
        ("sample:///with%20space/%C3%A9", "/with space/é"),
        ("sample:///a:b", "/a:b"),
    ],
)
def test_a_path_is_relative_or_absolute(url: str, path: str) -> None:
    assert options_of(url)[0] == path


def test_further_options_may_be_of_any_type() -> None:
    client = object()
    assert options_of("sample://kv", client=client)[-1] is client


def test_options_of_the_driver_stay_in_the_url() -> None:
    store: Any = open_store("driver://host:1/0?timeout=2&socket_keepalive=1")
    assert (store.url, store.timeout) == ("driver://host:1/0?socket_keepalive=1", 2)


def test_several_hosts_are_accepted_only_if_the_driver_accepts_them() -> None:
    url = f"driver://user:{SECRET}@a:1,b:2/path?timeout=2"
    store = HostsStore.from_url(url)
    assert (store.url, store.timeout) == (f"driver://user:{SECRET}@a:1,b:2/path", 2)
    assert parse_url(url).host == "a:1,b:2"
    with pytest.raises(ValueError, match="takes one host") as refusal:
        open_store(url)
    assert SECRET not in str(refusal.value)


def test_url_and_secret_objects_may_be_passed() -> None:
    class Secret:
        def get_secret_value(self) -> str:
            return "driver://:pw@host"

    class Url:
        def __str__(self) -> str:
            return "driver://host"

    urls: list[Any] = [Secret(), Url()]
    stores: list[Any] = [open_store(url) for url in urls]
    assert [store.url for store in stores] == ["driver://:pw@host", "driver://host"]


NO_SCHEME = "^a URL must look like scheme://…, for example redis://localhost:6379$"

WRONG = {
    "no scheme": (SECRET, NO_SCHEME),
    "nothing": ("", NO_SCHEME),
    "a host and a port": ("localhost:6379", NO_SCHEME),
    "a scheme without slashes": (f"driver:{SECRET}", NO_SCHEME),
    "a scheme with one slash": (f"driver:/{SECRET}", NO_SCHEME),
    "a scheme without a colon": (f"rediss//{SECRET}", NO_SCHEME),
    "credentials without a scheme": (f"user:{SECRET}@host/?x=://", NO_SCHEME),
    "a space before the scheme": (f" driver://:{SECRET}@host", NO_SCHEME),
    "an unknown scheme": (
        "nope://",
        r"no package for nope:// is installed\. Installed packages provide .*; other kv-\* packages .*'redis'",
    ),
    "a package that is missing": ("dynamodb://table", "pip install kv-dynamodb"),
    "an unknown option": ("sample://kv?colour=red", r"no options \['colour'\]; its options are .*'durability'"),
    "an option that no URL can hold": ("sample://kv?client=x", r"no options \['client'\]"),
    "a text for a number": (
        f"sample://kv?connections={SECRET}",
        "option connections of the URL must be a whole number",
    ),
    "a text for a truth": (f"sample://kv?ssl={SECRET}", "option ssl of the URL must be true or false"),
    "another choice": (f"sample://kv?durability={SECRET}", "option durability of the URL must be 'normal' or 'full'"),
    "an option that is given twice": (f"sample://kv?password={SECRET}&password=x", "gives an option twice"),
    "a fragment": (f"sample://kv#{SECRET}", "has a fragment"),
    "a port out of range": (f"driver://u:{SECRET}@host:99999/0", r"driver://\*\*\*@host:99999/0 is not a URL"),
    "a port that is no number": (f"driver://u:{SECRET}", r"driver://\*\*\* is not a URL"),
    "a path for a store without one": ("memory:///tmp/x", "takes only options, after a question mark"),
    "a host for a store without one": (f"memory://u:{SECRET}@host", "takes only options, after a question mark"),
    "no path": ("sample://", "must name a path"),
    "a user beside a path": (f"sample://u:{SECRET}@host/kv", "must name a path"),
}


@pytest.mark.parametrize("name", WRONG)
def test_the_error_for_an_invalid_url_says_what_is_allowed_and_shows_no_secret(name: str) -> None:
    url, message = WRONG[name]
    with pytest.raises(ValueError, match=message) as caught:
        open_store(url)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize(
    "url", [None, 6379, b"driver://host", Path("driver://host"), ["driver://host"]], ids=lambda url: type(url).__name__
)
def test_an_object_that_represents_no_url_is_a_type_error(url: Any) -> None:
    with pytest.raises(TypeError, match=f"^a URL must be a str or .*, not {type(url).__name__}$"):
        open_store(url)


def test_a_secret_that_is_no_url_is_not_shown() -> None:
    class Secret:
        def get_secret_value(self) -> str:
            return SECRET

    url: Any = Secret()
    with pytest.raises(ValueError, match=NO_SCHEME):
        open_store(url)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("redis://", r"no package for redis:// is installed; pip install kv-redis\. No store package is installed"),
        ("nope://", r"No store package is installed; install one, for example with pip install kv-redis; other kv-"),
    ],
)
def test_without_any_store_package_it_says_so(monkeypatch: pytest.MonkeyPatch, url: str, message: str) -> None:
    install(monkeypatch, [])
    with pytest.raises(ValueError, match=message):
        open_store(url)


def test_an_option_passed_both_in_the_url_and_as_an_argument_is_refused() -> None:
    with pytest.raises(ValueError, match=r"the options give \['timeout'\] twice"):
        open_store("sample://kv?timeout=1", timeout=2)
    with pytest.raises(ValueError, match=r"\['directory'\] twice"):
        open_store("sample://kv", directory="other")


def test_an_option_that_the_constructor_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match=r"SampleStore has no options \['color'\]; its options are .*'client'"):
        open_store("sample://kv", color=1)


def test_a_store_without_a_required_capability_is_refused() -> None:
    store = open_store("memory://", require={"native_expiry", "scan", "put_if_version", "get"})
    assert isinstance(store, AsyncScanProtocol)
    with pytest.raises(ValueError, match=r"NullStore\(\) does not promise \['scan'\]"):
        open_store("null://", require=["get", "scan"])
    with pytest.raises(ValueError, match=r"MemoryStore\(\) does not promise \['durable'\]"):
        open_store("memory://", require={"durable"})


def test_an_unknown_requirement_is_refused_before_anything_else() -> None:
    with pytest.raises(ValueError, match=r"require has unknown names \['durabel'\]; known names are .*'durable'"):
        open_store("sample://", require={"durabel"})
    with pytest.raises(TypeError, match="not a str"):
        open_store("memory://", require="durable")


def test_two_packages_for_a_scheme_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, [("memory", "a:MemoryStore"), ("memory", "b:MemoryStore")])
    with pytest.raises(ValueError, match="several packages provide memory://"):
        open_store("memory://")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://[::1]:6379/0", "redis://[::1]:6379/0"),
        ("redis://[::1]/0", "redis://[::1]/0"),
        (f"redis://ada:{SECRET}@host/0", "redis://***@host/0"),
        (f"redis://:{SECRET}/with@slash@host/0", "redis://***@host/0"),
        (f"redis://ada:{SECRET}?x@host/0", "redis://***@host/0"),
        (f"redis://ada:{SECRET}#x@host/0", "redis://***@host/0"),
        (f"redis://ada:{SECRET}", "redis://***"),
        (f"s3://bucket?aws_secret_access_key={SECRET}&region=x", "s3://bucket?aws_secret_access_key=***&region=***"),
        (f"s3://bucket?{SECRET}", "s3://bucket"),
        (f"redis://host#{SECRET}", "redis://host"),
        (SECRET, "***"),
    ],
)
def test_a_url_is_shown_without_secrets(url: str, shown: str) -> None:
    assert redacted(url) == shown


@pytest.mark.parametrize(
    "url", ["ftp://host", "host:1", "http://", "http://host:0", "http://host:99999", "http://[::1", "https://host:port"]
)
def test_a_url_without_a_valid_http_host_is_refused(url: str) -> None:
    assert http_parts(url) is None


@pytest.mark.parametrize(
    "url", ["http://ho st", "http://host\n", "\thttp://host", "http://host/a\rb", "http://host\\path"]
)
def test_a_url_that_parsers_read_differently_is_refused(url: str) -> None:
    assert http_parts(url) is None


def test_the_parts_of_a_url_are_unescaped() -> None:
    url = parse_url("redis://a%40b:p%2Fw@host:6/x%20y?a=b%20c")
    assert url[1:] == ("redis", "a@b", "p/w", "host", 6, "/x y", {"a": "b c"})
