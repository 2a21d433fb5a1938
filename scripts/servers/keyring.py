from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from servers import ProcessServer, ServerGroup

if TYPE_CHECKING:
    from pathlib import Path

# Without a service directory, the bus activates no services: neither a second keyring after the first is killed, nor a
# password prompt.
_CONFIGURATION = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""


class KeyringServer(ServerGroup):
    """An unlocked gnome-keyring on a separate D-Bus session bus; `url` is the address of the bus."""

    environment_variable = "KV_TEST_KEYRING_URL"

    def __init__(self, *, private: bool = False) -> None:
        self.bus = _Bus(private=True)
        self.daemon = _Daemon(self.bus)
        super().__init__(self.bus, self.daemon, private=private)

    @property
    def url(self) -> str:
        return self.external_url or self.bus.url

    def installed_version(self) -> str:
        self.bus.installed_version()
        return self.daemon.installed_version()

    def install(self) -> None:
        self.bus.install()
        self.daemon.install()

    def ready(self) -> bool:
        return _has_default_collection(self.url)


class _Bus(ProcessServer):
    environment_variable = KeyringServer.environment_variable
    binary = "dbus-daemon"
    apt_package = "dbus"

    @property
    def url(self) -> str:
        return f"unix:path={self.directory / 'bus'}"

    def prepare(self) -> None:
        configuration = _CONFIGURATION.format(socket=self.directory / "bus")
        (self.directory / "bus.conf").write_text(configuration)

    def command(self) -> list[str]:
        return [self.binary, f"--config-file={self.directory / 'bus.conf'}", "--nofork", "--nopidfile"]

    def ready(self) -> bool:
        return "boolean" in _ask(self.url, "org.freedesktop.DBus.NameHasOwner", "string:org.freedesktop.secrets")


class _Daemon(ProcessServer):
    environment_variable = KeyringServer.environment_variable
    binary = "gnome-keyring-daemon"
    apt_package = "gnome-keyring"

    def __init__(self, bus: _Bus) -> None:
        super().__init__(private=True)
        self._bus = bus

    @property
    def url(self) -> str:
        return self._bus.url

    def prepare(self) -> None:
        for folder in (self._home, self._runtime):
            folder.mkdir(mode=0o700)
        (self.directory / "password").write_text("correct horse")

    def command(self) -> list[str]:
        unlock = 'exec "$0" --unlock --components=secrets --foreground < "$1"'
        return [
            *("env", f"HOME={self._home}", f"XDG_DATA_HOME={self._home}", f"XDG_RUNTIME_DIR={self._runtime}"),
            *(f"DBUS_SESSION_BUS_ADDRESS={self.url}", "/bin/sh", "-c", unlock, self.binary),
            str(self.directory / "password"),
        ]

    def ready(self) -> bool:
        return _has_default_collection(self.url)

    @property
    def _home(self) -> Path:
        return self.directory / "home"

    @property
    def _runtime(self) -> Path:
        return self.directory / "run"


def _has_default_collection(address: str) -> bool:
    answer = _ask(address, "org.freedesktop.Secret.Service.ReadAlias", "string:default")
    return "/org/freedesktop/secrets/collection/" in answer


def _ask(address: str, method: str, argument: str) -> str:
    """Make one call on the bus and return the reply as text; empty if there is no reply."""
    interface = method.rpartition(".")[0]
    secrets = interface == "org.freedesktop.Secret.Service"
    name, path = ("org.freedesktop.secrets", "/org/freedesktop/secrets") if secrets else (interface, "/")
    command = [shutil.which("dbus-send") or "dbus-send", f"--bus={address}", "--print-reply", f"--dest={name}"]
    environment = {**os.environ, "DBUS_SESSION_BUS_ADDRESS": address}
    done = subprocess.run(
        [*command, path, method, argument], capture_output=True, text=True, env=environment, timeout=60, check=False
    )
    return done.stdout if done.returncode == 0 else ""
