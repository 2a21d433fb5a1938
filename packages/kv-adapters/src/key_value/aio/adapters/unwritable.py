"""Search for the part of a value that pydantic cannot serialize."""

from collections.abc import Callable, Sequence
from typing import Any

from key_value.aio.adapters.parts import Place, Step, parts_of

__all__ = ["path_to_unwritable"]


def path_to_unwritable(write: Callable[..., Any], value: object) -> tuple[Step, ...]:
    """Return the path to the innermost part for which `write(value, include=…)` fails, with pydantic's `include`."""

    def fails(names: set[Any]) -> bool:
        include: Any = names
        for step in reversed(steps):
            include = include if step.place is Place.ROOT else {step.name: include}
        try:
            write(value, include=include)
        except Exception:  # noqa: BLE001 — serializers are the user's
            return True
        return False

    steps: list[Step] = []
    part: Any = value
    # As long as the part can be written without its contents, the fault is inside.
    while not fails(set()):
        inner = [(step, each) for step, each in parts_of(part) if step.place is not Place.PRIVATE]
        while len(inner) > 1:
            half = inner[: len(inner) // 2]
            inner = half if fails(_step_names(half)) else inner[len(half) :]
        if not inner or not (inner[0][0].place is Place.ROOT or fails(_step_names(inner))):
            break
        step, part = inner[0]
        steps.append(step)
    return tuple(steps)


def _step_names(inner: Sequence[tuple[Step, Any]]) -> set[Any]:
    return {step.name for step, _ in inner}
