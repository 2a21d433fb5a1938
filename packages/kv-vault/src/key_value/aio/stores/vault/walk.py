"""Ordered listing of paths and of their entries."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from key_value.aio.stores.vault.engine import Engine, Requests
from key_value.aio.stores.vault.entries import FoundEntry, found_at

__all__ = ["entry_pages", "find", "paths_after"]

_ENTRIES_PER_PAGE = 1000


async def paths_after(engine: Engine, prefix: str, position: str = "") -> AsyncGenerator[str, None]:
    """Yield the paths that begin with the prefix and follow the position, sorted by code point."""
    directory = prefix[: prefix.rfind("/") + 1]
    async with aclosing(_paths_in(engine, directory, prefix, position)) as paths:
        async for path in paths:
            yield path


async def _paths_in(engine: Engine, directory: str, prefix: str, position: str) -> AsyncGenerator[str, None]:
    async with engine.limit() as requests:
        names = await requests.list(directory)
    for path in sorted(directory + name for name in names):
        is_directory = path.endswith("/")
        is_after_position = path > position or (is_directory and position.startswith(path))
        if not (path.startswith(prefix) and is_after_position):
            continue
        if not is_directory:
            yield path
            continue
        async with aclosing(_paths_in(engine, path, prefix, position)) as paths:
            async for each in paths:
                yield each


async def find(requests: Requests, paths: list[str]) -> list[FoundEntry]:
    """Return the entries at these paths, including expired ones."""

    async def look(path: str) -> FoundEntry | None:
        return found_at(path, await requests.read(path))

    return [each for each in await requests.each(look, paths) if each is not None]


async def entry_pages(
    engine: Engine, prefix: str, *, size: int = _ENTRIES_PER_PAGE
) -> AsyncGenerator[list[FoundEntry], None]:
    """Yield lists of at most `size` entries with this path prefix, including expired ones."""
    waiting: list[str] = []
    async with aclosing(paths_after(engine, prefix)) as paths:
        async for path in paths:
            waiting.append(path)
            if len(waiting) == size:
                yield await _find_within(engine, waiting)
                waiting = []
    if waiting:
        yield await _find_within(engine, waiting)


async def _find_within(engine: Engine, paths: list[str]) -> list[FoundEntry]:
    async with engine.limit(len(paths)) as requests:
        return await find(requests, paths)
