from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from servers import ProcessServer, ServerGroup
from servers.postgresql import PostgreSQLServer, as_account, greets

if TYPE_CHECKING:
    import signal


class PgBouncer(ServerGroup):
    """A PgBouncer with transaction pooling over a few connections to its own PostgreSQL."""

    environment_variable = "KV_TEST_PGBOUNCER_URL"

    def __init__(self, *, private: bool = False) -> None:
        self.database = PostgreSQLServer(private=True)
        self._pooler = _Pooler(self.database)
        super().__init__(self.database, self._pooler, private=private)

    @property
    def url(self) -> str:
        return self.external_url or f"postgresql://kv@{self._pooler.host}:{self._pooler.port}/postgres"

    def ready(self) -> bool:
        return greets(self.url)

    def installed_version(self) -> str:
        return self._pooler.installed_version()

    def install(self) -> None:
        self.database.ensure_installed()
        self._pooler.ensure_installed()

    def send_signal(self, number: signal.Signals) -> None:
        self._pooler.send_signal(number)


class _Pooler(ProcessServer):
    environment_variable = "KV_TEST_PGBOUNCER_URL"
    binary = "pgbouncer"
    apt_package = "pgbouncer"

    def __init__(self, database: PostgreSQLServer) -> None:
        super().__init__(private=True)
        self._database = database

    @property
    def name(self) -> str:
        return "pgbouncer"

    @property
    def url(self) -> str:
        return f"postgresql://kv@{self.host}:{self.port}/postgres"

    def prepare(self) -> None:
        if os.geteuid() == 0:
            shutil.chown(self.directory, "postgres")
        (self.directory / "pgbouncer.ini").write_text(
            "[databases]\n"
            f"* = host={self._database.host} port={self._database.port} user=kv\n"
            "[pgbouncer]\n"
            f"listen_addr = {self.host}\n"
            f"listen_port = {self.port}\n"
            "unix_socket_dir =\n"
            "auth_type = any\n"
            "pool_mode = transaction\n"
            "default_pool_size = 4\n"
        )

    def command(self) -> list[str]:
        return [*as_account(), self.binary, str(self.directory / "pgbouncer.ini")]

    def ready(self) -> bool:
        return greets(self.url)
