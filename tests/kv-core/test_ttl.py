"""Conversion of a ttl in seconds to a time of expiry."""

import math
import pickle
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from key_value.aio.core.numbers import checked_seconds
from key_value.aio.core.ttl import expiry
from key_value.aio.errors import InvalidTTLError

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=timezone.utc)


class Seconds:
    def __float__(self) -> float:
        return 1.5


@pytest.mark.parametrize("ttl", [1.5, Decimal("1.5"), Fraction(3, 2), Seconds()], ids=repr)
def test_any_number_convertible_to_float_is_a_number_of_seconds(ttl: float) -> None:
    assert expiry(NOW, ttl) == NOW + timedelta(seconds=1.5)


def test_fractions_of_a_second_are_kept() -> None:
    assert expiry(NOW, 1.9) == NOW + timedelta(seconds=1, milliseconds=900)


@pytest.mark.parametrize(
    "ttl", [0, -1, -0.0, True, False, math.nan, math.inf, -math.inf, 1e300, 10**400, 253_402_300_800, Decimal("NaN")]
)
def test_other_numbers_are_invalid(ttl: float) -> None:
    with pytest.raises(InvalidTTLError, match="finite number of seconds above zero"):
        expiry(NOW, ttl)


def test_a_bool_is_named_as_not_accepted() -> None:
    with pytest.raises(InvalidTTLError, match=r"; a bool is not accepted \(ttl=True\)$"):
        expiry(NOW, True)  # noqa: FBT003 — the point
    with pytest.raises(ValueError, match=r"^maximum_ttl must be .*; a bool is not accepted$"):
        checked_seconds(True, "maximum_ttl")  # noqa: FBT003


def test_messages_name_the_parameter() -> None:
    with pytest.raises(InvalidTTLError, match=r"^A lease must be .* \(lease=-1\)$") as caught:
        expiry(NOW, -1, name="lease")
    assert caught.value.extra_info == {"lease": -1}
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # noqa: S301 — our own
    text: Any = "5"
    with pytest.raises(TypeError, match=r"^maximum_ttl must be a number of seconds, not str$"):
        checked_seconds(text, "maximum_ttl")


@pytest.mark.parametrize("ttl", ["5", b"5", 1j, [1], object()], ids=repr)
def test_a_ttl_that_is_not_a_number_raises_a_type_error(ttl: float) -> None:
    with pytest.raises(TypeError, match="ttl must be a number of seconds or None"):
        expiry(NOW, ttl)
