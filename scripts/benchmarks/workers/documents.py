"""The stored values: typical documents of applications, small and of about 50 KB of JSON."""

from __future__ import annotations

from typing import Any

__all__ = ["LARGE", "SMALL"]

Value = dict[str, Any]

_NAMES = ("Ada Lovelace", "Grace Hopper", "Zoë Müller", "Alan Turing", "李小龍", "Edsger Dijkstra")
_SENTENCES = (
    "The library opens at nine and closes when the last reader has gone home.",
    "Two of the three reviewers asked for the measurements to be repeated.",
    "Nobody could say who had moved the ladder, or why it leaned on the café wall.",
    "A parcel that arrives after noon is carried over to the next working day.",
    '"It depends", she said, and turned the page.',
)

SMALL: Value = {"name": "Ada Lovelace", "n": 42, "ok": True, "none": None, "roles": ["admin", "editor"]}


def _text(length: int, start: int = 0) -> str:
    text = " ".join(_SENTENCES[(start + each) % len(_SENTENCES)] for each in range(2 + length // 60))
    return text[:length]


def _rows() -> Value:
    items = [
        {
            "id": number,
            "name": _NAMES[number % len(_NAMES)],
            "email": f"user{number}@example.com",
            "score": (number * 37 % 1000) / 10,
        }
        for number in range(620)
    ]
    return {"items": items}


def _nested() -> Value:
    rows = [
        {"id": number, "parent": number // 3 or None, "tags": [f"tag{number % 7}", f"area{number % 11}"], "open": True}
        for number in range(700)
    ]
    groups = [{"group": start, "page": {"rows": rows[start : start + 10]}} for start in range(0, len(rows), 10)]
    return {"report": {"year": 2024, "groups": groups}}


def _documents() -> Value:
    return {"items": [{"id": number, "text": _text(200, number)} for number in range(220)]}


LARGE: dict[str, Value] = {
    "rows of four fields": _rows(),
    "nested rows with tags": _nested(),
    "texts of 200 characters": _documents(),
    "one long text": {"title": "Minutes", "text": _text(50_000)},
    "500 fields of text": {f"field_{number}": _text(84, number) for number in range(500)},
}
