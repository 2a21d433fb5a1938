"""Paths in their order, and what is under them."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from key_value.aio.stores.vault.engine import Engine, Requests
from key_value.aio.stores.vault.entries import Found, found_at

__all__ = ["all_found", "find", "paths_after"]

_PAGE = 1000


async def paths_after(engine: Engine, prefix: str, position: str = "") -> AsyncGenerator[str, None]:
    """The paths that begin with the prefix and come after the position, in the order of their characters."""
    directory = prefix[: prefix.rfind("/") + 1]
    async with aclosing(_paths_in(engine, directory, prefix, position)) as paths:
        async for path in paths:
            yield path


async def _paths_in(engine: Engine, directory: str, prefix: str, position: str) -> AsyncGenerator[str, None]:
    async with engine.limit() as requests:
        names = await requests.list(directory)
    for path in sorted(directory + name for name in names):
        is_directory = path.endswith("/")
        is_behind = path > position or (is_directory and position.startswith(path))
        if not (path.startswith(prefix) and is_behind):
            continue
        if not is_directory:
            yield path
            continue
        async with aclosing(_paths_in(engine, path, prefix, position)) as paths:
            async for each in paths:
                yield each


async def find(requests: Requests, paths: list[str]) -> list[Found]:
    """The entries under these paths, expired ones included."""

    async def look(path: str) -> Found | None:
        return found_at(path, await requests.read(path))

    return [each for each in await requests.each(look, paths) if each is not None]


async def all_found(engine: Engine, prefix: str, *, size: int = _PAGE) -> AsyncGenerator[list[Found], None]:
    """The entries whose paths begin with the prefix, expired ones included, some at a time."""
    waiting: list[str] = []
    async with aclosing(paths_after(engine, prefix)) as paths:
        async for path in paths:
            waiting.append(path)
            if len(waiting) == size:
                yield await _find_within(engine, waiting)
                waiting = []
    if waiting:
        yield await _find_within(engine, waiting)


async def _find_within(engine: Engine, paths: list[str]) -> list[Found]:
    async with engine.limit(len(paths)) as requests:
        return await find(requests, paths)
