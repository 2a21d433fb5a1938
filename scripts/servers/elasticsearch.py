from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from servers import ProcessServer, ServerGroup
from servers.opensearch import OpenSearchServer, address_of, ask

_OK = 200


class ElasticsearchServer(ServerGroup):
    """An OpenSearch node behind a translating proxy, without any code of Elastic.

    A server named by the environment variable is assumed to be a real Elasticsearch.
    """

    environment_variable = "KV_TEST_ELASTICSEARCH_URL"
    start_timeout = 240

    def __init__(self, *, private: bool = False) -> None:
        self._node = OpenSearchServer(private=True)
        self._proxy = _Proxy(self._node)
        super().__init__(self._node, self._proxy, private=private)

    @property
    def url(self) -> str:
        return self.external_url or self._proxy.url

    @property
    def address(self) -> tuple[str, int]:
        return address_of(self.url)

    @property
    def host(self) -> str:
        return self.address[0]

    @property
    def port(self) -> int:
        return self.address[1]

    def installed_version(self) -> str:
        return f"OpenSearch {self._node.installed_version()} behind a proxy"

    def running_version(self) -> str:
        return self.ask("GET", "/")[1]["version"]["number"] if self.external_url else self.installed_version()

    def ready(self) -> bool:
        return self.ask("GET", "/_cluster/health?wait_for_status=yellow&timeout=1s")[0] == _OK

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        return ask(self.url, method, path, body)


class _Proxy(ProcessServer):
    environment_variable = ""
    binary = "python"

    def __init__(self, upstream: OpenSearchServer) -> None:
        super().__init__(private=True)
        self._upstream = upstream

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def installed_version(self) -> str:
        return "unknown"

    def command(self) -> list[str]:
        program = Path(__file__).with_name("_elasticsearch_proxy.py")
        return [sys.executable, str(program), str(self.port), str(self._upstream.port)]

    def ready(self) -> bool:
        return ask(self.url, "GET", "/")[0] == _OK
