"""URLs of stores: parsing, constructor options in the query, and redaction."""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

__all__ = ["StoreURL", "host_and_port", "http_parts", "parse_url", "redacted", "store_options"]

_HIDDEN = "***"

# urllib silently drops line ends and tabs, and drivers differ in whether a backslash is a slash.
_AMBIGUOUS = re.compile(r"[\s\\\x00-\x1f\x7f]")

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")

_BOOLEANS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


def host_and_port(host: str, port: int | str) -> str:
    """Return `host:port`, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class StoreURL(NamedTuple):
    """The unescaped parts of a URL, and the URL itself, which may contain a password.

    With several hosts, as in `mongodb://a:1,b:2`, `host` contains all hosts with their ports, and `port` is None.
    """

    url: str
    scheme: str
    username: str | None
    password: str | None
    host: str | None
    port: int | None
    path: str
    query: dict[str, str]

    def with_query(self, query: dict[str, str]) -> "StoreURL":
        """Return the URL with another query."""
        location = self.url.partition("?")[0]
        return self._replace(url=f"{location}?{urlencode(query)}" if query else location, query=query)

    @property
    def has_several_hosts(self) -> bool:
        return self.host is not None and "," in self.host

    @property
    def local_path(self) -> str:
        """The path of a file or directory: relative in `disk://path`, absolute in `disk:///path`.

        Raises ValueError if there is no path, or if there is a user or port.
        """
        parts = urlsplit(self.url)
        path = unquote(parts.netloc + parts.path)
        if not path or "@" in parts.netloc or ":" in parts.netloc:
            message = f"{redacted(self.url)} must name a path: {self.scheme}://relative/path or {self.scheme}:///path"
            raise ValueError(message)
        return path

    def name_of(self, what: str, example: str) -> str:
        """Return the only part of a URL such as `dynamodb://table`; `what` describes it, here "table".

        Raises ValueError for a URL with other parts; its message shows `example`, a query with an option.
        """
        # Not `host`, which is converted to lower case.
        name = unquote(urlsplit(self.url).netloc.rpartition("@")[2])
        if self.port is not None or self.path not in ("", "/") or not name or self.username is not None:
            message = (
                f"{redacted(self.url)} must be {self.scheme}://{what}, with further options after a question mark, "
                f"such as ?{example}"
            )
            raise ValueError(message)
        return name

    def refuse_location(self) -> None:
        """Raise ValueError if the URL has a user, host, port or path, for stores that use none of them."""
        if urlsplit(self.url).netloc or self.path not in ("", "/"):
            message = f"{redacted(self.url)}: {self.scheme}:// takes only options, after a question mark"
            raise ValueError(message)


def parse_url(url: object) -> StoreURL:
    """Parse a URL: a str, or an object that represents one, such as pydantic's URLs and SecretStr.

    Raises TypeError for an object that does not represent a URL, and ValueError for a malformed URL, a fragment, or an
    option given twice. Messages show no secrets.
    """
    text = _text(url)
    try:
        parts = urlsplit(text)
        hosts = parts.netloc.rpartition("@")[2]
        several = "," in hosts
        port = None if several else parts.port
        options = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        # The original message may show the password.
        message = f"{redacted(text)} is not a URL such as redis://host:port?option=value"
        raise ValueError(message) from None
    if "#" in text:
        message = f"{redacted(text)} has a fragment; escape # in a name or password as %23"
        raise ValueError(message)
    query = dict(options)
    if len(query) != len(options):
        message = f"{redacted(text)} gives an option twice"
        raise ValueError(message)
    return StoreURL(
        text,
        parts.scheme,
        None if parts.username is None else unquote(parts.username),
        None if parts.password is None else unquote(parts.password),
        hosts if several else parts.hostname,
        port,
        unquote(parts.path),
        query,
    )


def _text(url: object) -> str:
    """Return the URL as a str. Raises TypeError or ValueError unless it begins with a scheme and `://`."""
    get_secret_value = getattr(url, "get_secret_value", None)
    shown = url if get_secret_value is None else get_secret_value()
    text = str(shown)
    if _SCHEME.match(text):
        return text
    if not isinstance(shown, str):
        message = f"a URL must be a str or an object that represents a URL, not {type(url).__qualname__}"
        raise TypeError(message)
    # The text may be a password.
    message = "a URL must look like scheme://…, for example redis://localhost:6379"
    raise ValueError(message)


def http_parts(url: str) -> SplitResult | None:
    """Return the parts of a valid http or https URL; None for any other text."""
    if _AMBIGUOUS.search(url):
        return None
    with suppress(ValueError):
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return parts
    return None


def redacted(url: str) -> str:
    """Return the URL without possible secrets: user, password, and the values of options.

    Everything before the last @ is hidden, in case special characters in the password are not escaped.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return _HIDDEN
    _, at, location = rest.rpartition("@")
    location, _, query = location.partition("?")
    location = location.partition("#")[0]
    host, slash, path = location.partition("/")
    port = host.rpartition(":")[2]
    if not at and ":" in host and not port.isdigit() and not host.endswith("]"):
        host = _HIDDEN  # a user and a password without a host
    names = [option.partition("=")[0] for option in query.partition("#")[0].split("&") if "=" in option]
    shown = "&".join(f"{name}={_HIDDEN}" for name in names)
    return f"{scheme}://{_HIDDEN * bool(at)}{at}{host}{slash}{path}{'?' if shown else ''}{shown}"


def store_options(store: type[Any], url: StoreURL, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the constructor arguments of a store: from the URL's location, from its query, and `options`.

    Text in the query is converted to the parameter's type: text, number, boolean or path. Raises ValueError for an
    option that the constructor does not have or a URL cannot represent, listing the valid ones; for text of the wrong
    type; and for an option given twice. Messages do not show the text.
    """
    constructor = store.__init__
    types = _types_of_options(constructor)
    _refuse_unknown(options, inspect.signature(constructor).parameters.keys() - {"self"}, store.__name__)
    own_query = {name: text for name, text in url.query.items() if name in types}
    driver_query = {name: text for name, text in url.query.items() if name not in types}
    if not store.driver_reads_query:
        _refuse_unknown(driver_query, types, "the URL")
    from_location: dict[str, Any] = store._url_options(url.with_query(driver_query))  # noqa: SLF001 — BaseStore's hook
    from_query = {name: _converted(name, text, types[name]) for name, text in own_query.items()}
    given = [*from_location, *from_query, *options]
    twice = sorted({name for name in given if given.count(name) > 1})
    if twice:
        message = f"{redacted(url.url)} and the options give {twice} twice"
        raise ValueError(message)
    return {**from_location, **from_query, **options}


def _refuse_unknown(options: Iterable[str], known: Iterable[str], what: str) -> None:
    unknown = sorted(set(options).difference(known))
    if unknown:
        message = f"{what} has no options {unknown}; its options are {sorted(known)}"
        raise ValueError(message)


def _types_of_options(constructor: Callable[..., Any]) -> dict[str, tuple[Any, ...]]:
    """Return the types to which text can be converted, for each parameter that has any."""
    hints = get_type_hints(constructor)
    names = [name for name in inspect.signature(constructor).parameters if name != "self"]
    return {name: types for name in names if (types := _text_types(hints.get(name)))}


def _text_types(hint: Any) -> tuple[Any, ...]:
    alternatives = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    return tuple(each for each in alternatives if each in (str, int, float, bool, Path) or get_origin(each) is Literal)


def _converted(name: str, text: str, types: tuple[Any, ...]) -> Any:
    choices = [choice for each in types if get_origin(each) is Literal for choice in get_args(each)]
    if text in map(str, choices):
        return next(choice for choice in choices if str(choice) == text)
    if bool in types and text.lower() in _BOOLEANS:
        return _BOOLEANS[text.lower()]
    for number in (int, float):
        if number in types:
            with suppress(ValueError):
                return number(text)
    if str in types or Path in types:
        return text if str in types else Path(text)
    expected = " or ".join(_described(each) for each in types)
    message = f"the option {name} of the URL must be {expected}"
    raise ValueError(message)


def _described(type_: Any) -> str:
    if get_origin(type_) is Literal:
        return " or ".join(map(repr, get_args(type_)))
    return {int: "a whole number", float: "a number", bool: "true or false"}[type_]
