from __future__ import annotations

import signal

from servers import ProcessServer
from servers._child import free_port
from servers.s3 import answering, credentials_of, endpoint_of

# One of each daemon, with everything in memory.
_CONFIGURATION = """\
[global]
fsid = 6ba7b810-9dad-11d1-80b4-00c04fd430c8
mon host = [v2:{host}:{monitor_port}/0]
mon initial members = a
public network = 127.0.0.0/8
public addr = {host}
cluster addr = {host}
ms bind ipv4 = true
ms bind ipv6 = false
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 10000
osd objectstore = memstore
memstore device bytes = 1073741824
run dir = {directory}
admin socket = {directory}/$name.asok
log file = {directory}/$name.log
pid file = {directory}/$name.pid
mon data = {directory}/monitor
osd data = {directory}/storage
keyring = {directory}/keyring
[client.rgw]
rgw data = {directory}
rgw frontends = beast endpoint={host}:{port}
rgw enable usage log = false
rgw thread pool size = 32
"""

_SCRIPT = """
set -e
config="-c $1/ceph.conf"
mkdir "$1/monitor" "$1/storage"
monmaptool --create --addv a "[v2:$2:$3/0]" --fsid 6ba7b810-9dad-11d1-80b4-00c04fd430c8 "$1/monmap"
ceph-authtool "$1/keyring" --create-keyring --gen-key -n mon. --cap mon 'allow *'
ceph-authtool "$1/keyring" --gen-key -n client.rgw --cap mon 'allow *' --cap osd 'allow *'
ceph-authtool "$1/keyring" --gen-key -n osd.0 --cap mon 'allow profile osd' --cap osd 'allow *'
ceph-authtool "$1/keyring" --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *'
ceph-mon $config --mkfs -i a --monmap "$1/monmap" --keyring "$1/keyring"
ceph-mon $config -f -i a &
storage=$(uuidgen)
ceph $config --connect-timeout 100 osd new "$storage"
ceph-osd $config -i 0 --mkfs --osd-uuid "$storage"
ceph-osd $config -f -i 0 &
until ceph $config osd stat | grep -q '1 up'; do sleep 0.1; done
radosgw-admin $config -n client.rgw user create --uid test --display-name test --access-key "$4" --secret-key "$5"
exec radosgw $config -f -n client.rgw
"""


class CephGateway(ProcessServer):
    """A second S3 implementation: radosgw in front of a single-node Ceph, with all data in memory.

    The URL is `http://access-key:secret@host:port`.
    """

    environment_variable = "KV_TEST_CEPH_URL"
    binary = "radosgw"
    apt_package = "radosgw ceph-mon ceph-osd"
    # It ignores SIGTERM.
    stop_signal = signal.SIGKILL
    start_timeout = 240
    access_key, secret_key = "AKIAEXAMPLE", "hunter2hunter2"

    @property
    def url(self) -> str:
        return self.external_url or f"http://{self.access_key}:{self.secret_key}@{self.host}:{self.port}"

    @property
    def endpoint(self) -> str:
        """The URL without the credentials."""
        return endpoint_of(self.url)

    @property
    def credentials(self) -> tuple[str, str]:
        return credentials_of(self.url)

    def prepare(self) -> None:
        self._monitor_port = free_port()
        configuration = _CONFIGURATION.format(
            host=self.host, port=self.port, monitor_port=self._monitor_port, directory=self.directory
        )
        (self.directory / "ceph.conf").write_text(configuration)

    def command(self) -> list[str]:
        place = [str(self.directory), self.host, str(self._monitor_port)]
        return ["/bin/bash", "-c", _SCRIPT, self.binary, *place, self.access_key, self.secret_key]

    def ready(self) -> bool:
        return bool(answering(self.url))
