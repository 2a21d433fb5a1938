from __future__ import annotations

from urllib.parse import urlsplit

from servers import ServerGroup
from servers.redis import RedisServer, ask, version_of

_SERVICE_NAME = "mymaster"


class RedisSentinel(ServerGroup):
    """One master watched by one Sentinel; `url` names the service: `redis+sentinel://host:port/service`."""

    environment_variable = "KV_TEST_REDIS_SENTINEL_URL"

    def __init__(self, *, private: bool = False) -> None:
        self.master = RedisServer(private=True)
        self._sentinel = _Sentinel(self.master)
        super().__init__(self.master, self._sentinel, private=private)

    @property
    def url(self) -> str:
        return self.external_url or f"redis+sentinel://{self._sentinel.address}/{_SERVICE_NAME}"

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 26379

    @property
    def service_name(self) -> str:
        return urlsplit(self.url).path.strip("/")

    def ready(self) -> bool:
        return f"name={self.service_name},status=ok" in ask(f"redis://{self.host}:{self.port}", "INFO", "sentinel")

    def running_version(self) -> str:
        return version_of(f"redis://{self.host}:{self.port}")


class _Sentinel(RedisServer):
    def __init__(self, master: RedisServer) -> None:
        super().__init__(private=True)
        self._master = master

    def prepare(self) -> None:
        # A file instead of arguments: Sentinel stores its state by rewriting the file.
        (self.directory / "sentinel.conf").write_text(
            f"port {self.port}\n"
            f"bind {self.host}\n"
            f"sentinel monitor {_SERVICE_NAME} {self._master.host} {self._master.port} 1\n"
            f"sentinel down-after-milliseconds {_SERVICE_NAME} 30000\n"
        )

    def command(self) -> list[str]:
        return [self.binary, str(self.directory / "sentinel.conf"), "--sentinel"]
