"""Direct access to chDB."""

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
    """A chDB session on a directory or `:memory:`."""

    def __init__(self, path: Path | str) -> None:
        """Open the session. Wait for dropped stores to close theirs: a process can open one directory at a time."""
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
        """Return the rows of a statement. Parameters are passed in hexadecimal: unhex({name:String})."""
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
