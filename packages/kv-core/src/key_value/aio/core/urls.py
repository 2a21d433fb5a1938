"""URLs of stores: their parts, the options in their query, and their redacted form."""

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

__all__ = ["StoreURL", "http_parts", "parse_url", "redacted", "store_options"]

_HIDDEN = "***"

# urllib leaves line ends and tabs out without a word, and drivers take a backslash for a slash or for a character.
_MISREAD = re.compile(r"[\s\\\x00-\x1f\x7f]")

_TRUTHS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


class StoreURL(NamedTuple):
    """The parts of a URL with their escapes undone, and the URL itself, which may hold a password.

    Of several hosts, as in `mongodb://a:1,b:2`, `host` has all with their ports, and `port` is None.
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
        """The same URL with other options."""
        place = self.url.partition("?")[0]
        return self._replace(url=f"{place}?{urlencode(query)}" if query else place, query=query)

    @property
    def has_several_hosts(self) -> bool:
        return self.host is not None and "," in self.host

    @property
    def local_path(self) -> str:
        """The path of a file or directory: relative in `disk://path`, absolute in `disk:///path`.

        Raises ValueError if there is no path, or a user or port beside it.
        """
        parts = urlsplit(self.url)
        path = unquote(parts.netloc + parts.path)
        if not path or "@" in parts.netloc or ":" in parts.netloc:
            message = f"{redacted(self.url)} must name a path: {self.scheme}://relative/path or {self.scheme}:///path"
            raise ValueError(message)
        return path

    def name_of(self, what: str, example: str) -> str:
        """The name of `what`, such as the table, in `dynamodb://table`.

        Raises ValueError, which shows the example of an option, for a URL that has more.
        """
        # Not the host, which is in lower case.
        name = unquote(urlsplit(self.url).netloc.rpartition("@")[2])
        if self.port is not None or self.path not in ("", "/") or not name or self.username is not None:
            message = (
                f"{redacted(self.url)} must be {self.scheme}://{what}, with further options behind a question mark, "
                f"such as ?{example}"
            )
            raise ValueError(message)
        return name

    def refuse_location(self) -> None:
        """Raise ValueError for a URL with a user, host, port or path, for stores that use none of them."""
        if self.url.partition("?")[0] not in (f"{self.scheme}:", f"{self.scheme}://", f"{self.scheme}:///"):
            message = f"{redacted(self.url)}: {self.scheme}:// takes only options, after a question mark"
            raise ValueError(message)


def parse_url(url: object) -> StoreURL:
    """The parts of a URL: a str, or an object that represents one, such as pydantic's URLs and SecretStr.

    Raises ValueError, without showing secrets, for a malformed URL, a fragment, or an option given twice.
    """
    reveal = getattr(url, "get_secret_value", None)
    text = str(url if reveal is None else reveal())
    try:
        parts = urlsplit(text)
        hosts = parts.netloc.rpartition("@")[2]
        several = "," in hosts
        port = None if several else parts.port
        options = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        # Its message can show the password.
        message = f"{redacted(text)} is not a URL such as redis://host:port?option=value"
        raise ValueError(message) from None
    if not parts.scheme:
        message = f"{redacted(text)} has no scheme, as in redis://host:port"
        raise ValueError(message)
    if "#" in text:
        message = f"{redacted(text)} has a fragment; write # in a name or password as %23"
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


def http_parts(url: str) -> SplitResult | None:
    """The parts of a URL to which HTTP requests can go; None for any other text."""
    if _MISREAD.search(url):
        return None
    with suppress(ValueError):
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return parts
    return None


def redacted(url: str) -> str:
    """The URL without its possible secrets: user, password, and the values of options.

    Everything before the last @ is hidden, to cover a password whose special characters are not escaped.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return _HIDDEN
    _, at, place = rest.rpartition("@")
    place, _, query = place.partition("?")
    place = place.partition("#")[0]
    host, slash, path = place.partition("/")
    port = host.rpartition(":")[2]
    if not at and ":" in host and not port.isdigit() and not host.endswith("]"):
        host = _HIDDEN  # a user and a password without a host
    names = [option.partition("=")[0] for option in query.partition("#")[0].split("&") if "=" in option]
    shown = "&".join(f"{name}={_HIDDEN}" for name in names)
    return f"{scheme}://{_HIDDEN * bool(at)}{at}{host}{slash}{path}{'?' if shown else ''}{shown}"


def store_options(store: type[Any], url: StoreURL, options: Mapping[str, Any]) -> dict[str, Any]:
    """The constructor arguments of a store: the options of the URL's location, those of its query, and the others.

    Text in the query is converted to the parameter's type: text, number, boolean or path. Raises ValueError for an
    option that the constructor lacks or a URL cannot hold, listing the known ones; for text of the wrong type; and for
    an option given twice. No message shows the text.
    """
    constructor = store.__init__
    kinds = _kinds_of_options(constructor)
    _refuse_unknown(options, inspect.signature(constructor).parameters.keys() - {"self"}, store.__name__)
    own = {name: text for name, text in url.query.items() if name in kinds}
    others = {name: text for name, text in url.query.items() if name not in kinds}
    if not store.driver_reads_query:
        _refuse_unknown(others, kinds, "the URL")
    located: dict[str, Any] = store._url_options(url.with_query(others))  # noqa: SLF001 — BaseStore's hook for this
    queried = {name: _converted(name, text, kinds[name]) for name, text in own.items()}
    given = [*located, *queried, *options]
    twice = sorted({name for name in given if given.count(name) > 1})
    if twice:
        message = f"{redacted(url.url)} and the options give {twice} twice"
        raise ValueError(message)
    return {**located, **queried, **options}


def _refuse_unknown(options: Iterable[str], known: Iterable[str], what: str) -> None:
    unknown = sorted(set(options).difference(known))
    if unknown:
        message = f"{what} has no options {unknown}; its options are {sorted(known)}"
        raise ValueError(message)


def _kinds_of_options(constructor: Callable[..., Any]) -> dict[str, tuple[Any, ...]]:
    """Parameter → the types a text can be turned into."""
    hints = get_type_hints(constructor)
    kinds = {name: _kinds(hints.get(name)) for name in inspect.signature(constructor).parameters if name != "self"}
    return {name: kind for name, kind in kinds.items() if kind}


def _kinds(hint: Any) -> tuple[Any, ...]:
    alternatives = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    return tuple(each for each in alternatives if each in (str, int, float, bool, Path) or get_origin(each) is Literal)


def _converted(name: str, text: str, kinds: tuple[Any, ...]) -> Any:
    choices = [choice for kind in kinds if get_origin(kind) is Literal for choice in get_args(kind)]
    if text in map(str, choices):
        return next(choice for choice in choices if str(choice) == text)
    if bool in kinds and text.lower() in _TRUTHS:
        return _TRUTHS[text.lower()]
    for number in (int, float):
        if number in kinds:
            with suppress(ValueError):
                return number(text)
    if str in kinds or Path in kinds:
        return text if str in kinds else Path(text)
    expected = " or ".join(_described(kind) for kind in kinds)
    message = f"the option {name} of the URL must be {expected}"
    raise ValueError(message)


def _described(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return " or ".join(map(repr, get_args(kind)))
    return {int: "a whole number", float: "a number", bool: "true or false"}[kind]
