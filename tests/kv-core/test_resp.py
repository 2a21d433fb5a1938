"""Functions shared by the stores on servers of the Redis family."""

from __future__ import annotations

import fnmatch

import pytest
from key_value.aio.core.resp.commands import cursor_of, glob_of_prefix, names_of_entries
from key_value.aio.core.resp.positions import ClusterPosition, UnservedSlotError

OWNERS = {0: "a:1", 1: "b:1", 2: "a:1", 3: "c:1"}


def test_names_of_other_applications_are_left_out() -> None:
    names = [b"users::ada", b"foreign", b"\xff::binary", b"users::", b"::a%3A%3Ab::c", b"a::b::c"]
    assert names_of_entries(names) == {
        "users::ada": ("users", "ada"),
        "::a%3A%3Ab::c": ("a::b", "c"),
        "a::b::c": ("a", "b::c"),
    }


@pytest.mark.parametrize("prefix", ["users::", "a*", "[a]", "a?", "\\", "^-"])
def test_special_characters_of_a_prefix_are_escaped_in_its_glob(prefix: str) -> None:
    glob = glob_of_prefix(prefix)
    assert glob.endswith("*")
    assert glob[:-1].replace("\\\\", "\0").replace("\\", "").replace("\0", "\\") == prefix
    assert not fnmatch.fnmatchcase("something else", glob)


@pytest.mark.parametrize("text", ["", "-1", "1.0", "a", "٣"])
def test_a_cursor_that_no_scan_returned_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="does not come from a scan"):
        cursor_of(text)


def test_a_cluster_scan_visits_one_primary_after_another() -> None:
    seen: list[tuple[str, int]] = []
    text: str | None = None
    for cursor in (7, 0, 0, 0):
        position = ClusterPosition(OWNERS, text)
        seen.append((position.name, position.cursor))
        text = position.following(cursor)
    assert seen == [("a:1", 0), ("a:1", 7), ("b:1", 0), ("c:1", 0)]
    assert text is None


def test_a_node_that_took_over_is_scanned_from_the_start() -> None:
    text = ClusterPosition(OWNERS, "1@@0").following(7)
    assert ClusterPosition(OWNERS, text).cursor == 7
    assert ClusterPosition({**OWNERS, 1: "d:1"}, text).cursor == 0


@pytest.mark.parametrize("text", ["", "0", "0@a:1", "x@a:1@0", "16384@a:1@0", "1@a:1@x"])
def test_an_impossible_position_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="does not come from a scan"):
        ClusterPosition(OWNERS, text)


@pytest.mark.parametrize("owners", [{}, {1: "b:1"}], ids=["none", "others"])
def test_an_unserved_slot_is_reported(owners: dict[int, str]) -> None:
    with pytest.raises(UnservedSlotError):
        ClusterPosition(owners, "0@a:1@0")
