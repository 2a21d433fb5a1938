"""chDB without a store."""

from __future__ import annotations

import gc
import json
import time
from typing import TYPE_CHECKING, Any, cast

from chdb.session import Session

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Self


class RawChDB:
    """A session on a directory, or on `:memory:`."""

    def __init__(self, path: Path | str) -> None:
        """A process has one directory open at a time: wait for stores that were dropped to close theirs."""
        gc.collect()
        deadline = time.monotonic() + 60
        while True:
            try:
                self.session: Any = Session(str(path))
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
            else:
                break
            time.sleep(0.05)

    def rows(self, sql: str, **parameters: bytes | str) -> list[tuple[Any, ...]]:
        """What a statement gives. Parameters are in hexadecimal digits, which need no quotes: unhex({name:String})."""
        octets = {
            name: text.hex() if isinstance(text, bytes) else text.encode().hex() for name, text in parameters.items()
        }
        lines = cast("bytes", self.session.query(sql, "JSONCompactEachRow", params=octets).bytes()).splitlines()
        return [tuple(json.loads(line)) for line in lines]

    def drop_tables(self) -> None:
        for (name,) in self.rows("SELECT name FROM system.tables WHERE database = currentDatabase()"):
            self.rows(f"DROP TABLE `{name}` SYNC")

    def close(self) -> None:
        self.session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
