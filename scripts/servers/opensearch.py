from __future__ import annotations

import base64
import http.client
import json
import os
import shutil
import signal
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from servers import ProcessServer, ServerUnavailableError
from servers._child import free_port
from servers._maven import find_java, maven_install, maven_jars, maven_root, maven_zip

if TYPE_CHECKING:
    from pathlib import Path

_VERSION = "2.19.6"
_DISTRIBUTION = "org.opensearch.distribution.integ-test-zip"
_PLUGIN = "org.opensearch.plugin"
_OLDEST_JAVA, _NEWEST_JAVA = 11, 21

# The minimal distribution lacks _delete_by_query, whose module is published as jars.
_REINDEX = f"""\
description=Reindex, update by query and delete by query
version={_VERSION}
name=reindex
classname=org.opensearch.index.reindex.ReindexPlugin
java.version=11
opensearch.version={_VERSION}
extended.plugins=
has.native.controller=false
"""

_LOGGING = """\
status=error
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=[%d{ISO8601}][%-5p][%c{1.}] %m%n
rootLogger.level=error
rootLogger.appenderRef.console.ref=console
"""

_OWN_FOLDERS = ("data", "logs", "conf", "scratch")

_OK = 200


class OpenSearchServer(ProcessServer):
    """An OpenSearch node, from Maven, without the security plugin: it accepts any credentials."""

    environment_variable = "KV_TEST_OPENSEARCH_URL"
    binary = "opensearch"
    # A clean shutdown takes seconds, and the data is not needed.
    stop_signal = signal.SIGKILL
    start_timeout = 240
    # Creating an index takes 0.1 s in memory and 0.4 s on a disk.
    in_memory = True

    @property
    def url(self) -> str:
        return self.external_url or f"http://{self.host}:{self.port}"

    @property
    def address(self) -> tuple[str, int]:
        return address_of(self.url)

    @property
    def home(self) -> Path:
        return maven_root("opensearch", _VERSION)

    @property
    def advice(self) -> str:
        return (
            f"opensearch {_VERSION} is not installed: install Maven and Java {_OLDEST_JAVA} to {_NEWEST_JAVA}, or set "
            f"{self.environment_variable} to the URL of a running server"
        )

    def installed_version(self) -> str:
        find_java(_OLDEST_JAVA, _NEWEST_JAVA)
        if not self.home.is_dir():
            raise ServerUnavailableError(self.advice)
        return _VERSION

    def install(self) -> None:
        try:
            find_java(_OLDEST_JAVA, _NEWEST_JAVA)
            maven_install(self.home, _fill)
        except ServerUnavailableError as error:
            msg = f"{self.advice} ({error})"
            raise ServerUnavailableError(msg) from error

    def prepare(self) -> None:
        self._transport_port = free_port()
        for name in _OWN_FOLDERS:
            (self.directory / name).mkdir()
        (self.directory / "conf/opensearch.yml").write_text("")
        (self.directory / "conf/log4j2.properties").write_text(_LOGGING)
        if os.geteuid() == 0:
            # The process runs as the user nobody, who cannot read the cache of root.
            shutil.copytree(self.home, self.directory / "home", copy_function=_link)
            for path in (self.directory, *(self.directory / name for name in _OWN_FOLDERS)):
                shutil.chown(path, "nobody")

    def command(self) -> list[str]:
        directory = self.directory
        home = directory / "home" if os.geteuid() == 0 else self.home
        java = [
            *(str(find_java(_OLDEST_JAVA, _NEWEST_JAVA)), "-Xms256m", "-Xmx512m", "-XX:+UseSerialGC"),
            *("-XX:TieredStopAtLevel=1", "-Djava.security.manager=allow", "-Dlog4j2.disable.jmx=true"),
            *(f"-Djava.io.tmpdir={directory}/scratch", f"-Djna.tmpdir={directory}/scratch"),
            *(f"-Dopensearch.path.home={home}", f"-Dopensearch.path.conf={directory}/conf"),
            *("-cp", f"{home}/lib/*", "org.opensearch.bootstrap.OpenSearch"),
        ]
        settings = {
            "discovery.type": "single-node",
            "network.host": self.host,
            "http.port": self.port,
            "transport.port": self._transport_port,
            "path.data": f"{directory}/data",
            "path.logs": f"{directory}/logs",
            "cluster.routing.allocation.disk.threshold_enabled": "false",
            # The breaker counts garbage as used memory, which this collector keeps until the heap is full, and rejects
            # requests with 429. This happened once, when many indices were deleted right after their creation.
            "indices.breaker.total.use_real_memory": "false",
        }
        return [*_as_nobody(), *java, *(f"-E{name}={value}" for name, value in settings.items())]

    def ready(self) -> bool:
        return self.ask("GET", "/_cluster/health?wait_for_status=yellow&timeout=1s")[0] == _OK

    def running_version(self) -> str:
        number: str = self.ask("GET", "/")[1]["version"]["number"]
        return number

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        return ask(self.url, method, path, body)


def ask(url: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """Return the status and body of a response. Implemented without a driver, because scripts run without one.

    :raises OSError: there is no response with JSON.
    """
    kind = http.client.HTTPSConnection if url.startswith("https:") else http.client.HTTPConnection
    connection = kind(*address_of(url), timeout=120)
    try:
        text = None if body is None else json.dumps(body)
        connection.request(method, path, text, {"Content-Type": "application/json", **_authorization(url)})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    except (http.client.HTTPException, ValueError) as error:
        raise ConnectionError(str(error)) from error
    finally:
        connection.close()


def address_of(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _authorization(url: str) -> dict[str, str]:
    parts = urlsplit(url)
    if parts.username is None:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
    return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}


def _fill(home: Path) -> None:
    maven_zip(_DISTRIBUTION, "opensearch", _VERSION, home)
    module = home / "modules/reindex"
    maven_jars(_PLUGIN, "reindex-client", _VERSION, module)
    for jar in module.glob("*.jar"):
        # The server rejects duplicates of its own jars ("jar hell").
        if (home / "lib" / jar.name).exists():
            jar.unlink()
    (module / "plugin-descriptor.properties").write_text(_REINDEX)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)


def _as_nobody() -> list[str]:
    """Return the prefix of the command that runs it as nobody instead of root, which OpenSearch rejects."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--"]
