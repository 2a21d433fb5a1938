"""Selection of the tests that apply to a store, at class creation: pytest does not collect the others."""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar, get_args, get_origin

import pytest
from key_value.aio.core.capabilities import Capabilities
from key_value.aio.stores.base import BaseStore

__all__ = [
    "Need",
    "NotSelected",
    "check_selection",
    "declares",
    "declares_no",
    "expecting",
    "helper",
    "implements",
    "needs",
    "no_setting",
    "select_tests",
    "setting",
    "store_class_of",
]

F = TypeVar("F", bound=Callable[..., Any])


class Need(NamedTuple):
    """A requirement of a test: a description, and a check of the test class and the store."""

    sentence: str
    is_met: Callable[[type[Any], Any], bool]
    """Takes the test class, and the store object, the store class or None (unknown)."""


class NotSelected(NamedTuple):
    """Replaces a test that does not apply. It is not callable, so pytest does not collect it."""

    needed: tuple[Need, ...]


def implements(*protocols: type[Any]) -> Need:
    """Return the need for a store that implements one of the protocols."""

    def is_met(_: type[Any], store: Any) -> bool:
        if isinstance(store, type):
            return issubclass(store, protocols)
        return store is None or isinstance(store, protocols)

    return Need(f"a store that implements {' or '.join(each.__name__ for each in protocols)}", is_met)


def declares(capability: str) -> Need:
    def is_met(_: type[Any], store: Any) -> bool:
        return _is_declared(store, capability, unknown=True)

    return Need(f"a store that declares {capability}", is_met)


def declares_no(capability: str) -> Need:
    def is_met(_: type[Any], store: Any) -> bool:
        return not _is_declared(store, capability, unknown=False)

    return Need(f"a store that does not declare {capability}", is_met)


def helper(name: str) -> Need:
    """Return the need for a helper method that the store's author overrides."""

    def is_met(tests: type[Any], _: Any) -> bool:
        return not hasattr(getattr(tests, name), "__kit_default__")

    return Need(f"{name}() to be overridden", is_met)


def setting(name: str) -> Need:
    """Return the need for a class attribute that is true."""

    def is_met(tests: type[Any], _: Any) -> bool:
        return bool(getattr(tests, name))

    return Need(f"{name} to be set in the test class", is_met)


def no_setting(name: str) -> Need:
    """Return the need for a class attribute that is false."""

    def is_met(tests: type[Any], _: Any) -> bool:
        return not getattr(tests, name)

    return Need(f"{name} to be unset in the test class", is_met)


def needs(*needed: Need | type[Any]) -> Callable[[F], F]:
    """Mark a test with its needs; a protocol means a store that implements it."""
    converted = tuple(each if isinstance(each, Need) else implements(each) for each in needed)

    def mark(test: F) -> F:
        vars(test)["__needs__"] = (*_needs_of(test), *converted)
        return test

    return mark


def select_tests(tests: type[Any]) -> None:
    """Remove the tests that do not apply to the store, and restore those that apply but that a base class removed."""
    store = getattr(tests, "example", None)
    if store is None:
        store = store_class_of(tests)
    for name in [name for name in dir(tests) if name.startswith("test")]:
        test = _original_test(tests, name)
        needed = _needs_of(test)
        if not all(need.is_met(tests, store) for need in needed):
            setattr(tests, name, NotSelected(needed))
        elif isinstance(getattr(tests, name), NotSelected):
            setattr(tests, name, test)


def check_selection(tests: type[Any], test: object, store: object) -> None:
    """Skip the test if the store object does not meet its needs; fail if an applicable test was not selected."""
    for need in _needs_of(test):
        if not need.is_met(tests, store):
            pytest.skip(f"needs {need.sentence}")
    missed = _missed(tests, type(store), getattr(store, "capabilities", None), store)
    if missed:
        pytest.fail(
            f"{tests.__name__} was selected for another store than {type(store).__name__}, without {missed[0]} "
            f"and {len(missed) - 1} more tests that apply: set `example` to a store object like those of the fixture"
        )


def store_class_of(tests: type[Any]) -> type[Any] | None:
    """Return the class in `StoreTests[MyStore]`, unless its protocols depend on the object, as with a wrapper."""
    for argument in _arguments(tests):
        if isinstance(argument, type) and issubclass(argument, BaseStore):
            return argument
    return None


def expecting(test: F, contract: str) -> F:
    """Wrap the test so that failures state the contract and the expectation."""
    expected = f"{contract} Expected: {test.__name__.removeprefix('test_').replace('_', ' ')}."

    @functools.wraps(test)
    def run(*args: Any, **fixtures: Any) -> None:
        __tracebackhide__ = True
        try:
            test(*args, **fixtures)
        except AssertionError as failure:
            failure.args = (f"{expected}\n{failure}",)
            raise
        except pytest.fail.Exception as failure:
            failure.msg = f"{expected}\n{failure.msg}"
            raise

    return run  # pyright: ignore[reportReturnType] — has the same signature


_checked: dict[tuple[type[Any], type[Any], Capabilities | None], list[str]] = {}


def _missed(tests: type[Any], kind: type[Any], capabilities: Capabilities | None, store: object) -> list[str]:
    cache_key = (tests, kind, capabilities)
    if cache_key not in _checked:
        _checked[cache_key] = [
            name
            for name in dir(tests)
            if isinstance(unselected := getattr(tests, name), NotSelected)
            and all(need.is_met(tests, store) for need in unselected.needed)
        ]
    return _checked[cache_key]


def _needs_of(test: object) -> tuple[Need, ...]:
    return getattr(test, "__needs__", ())


def _is_declared(store: Any, capability: str, *, unknown: bool) -> bool:
    # Unknown for a class: many stores set limits in their constructor.
    if store is None or isinstance(store, type):
        return unknown
    return bool(getattr(getattr(store, "capabilities", Capabilities()), capability))


def _original_test(tests: type[Any], name: str) -> object:
    """Return the original test, from the first class in the MRO that has it."""
    found = (vars(base)[name] for base in tests.__mro__ if name in vars(base))
    return next(test for test in found if not isinstance(test, NotSelected))


def _arguments(tests: type[Any]) -> Iterator[object]:
    """Yield the type arguments of a test class's bases, in MRO order."""
    for base in tests.__mro__:
        for generic in vars(base).get("__orig_bases__", ()):
            origin = get_origin(generic)
            if isinstance(origin, type) and hasattr(origin, "example"):
                yield from get_args(generic)
