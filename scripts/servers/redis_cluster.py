from __future__ import annotations

import subprocess
from typing import ClassVar

from servers import ServerGroup, ServerStartError
from servers.redis import RedisServer, ask, version_of

_CLUSTER_NODE = ("--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "15000")


class RedisCluster(ServerGroup):
    """Three masters without replicas; `KV_TEST_REDIS_CLUSTER_URL` has one URL per node, separated by spaces."""

    environment_variable = "KV_TEST_REDIS_CLUSTER_URL"
    node: ClassVar[type[RedisServer]] = RedisServer

    def __init__(self, *, private: bool = False) -> None:
        self.nodes = [self.node(*_CLUSTER_NODE) for _ in range(3)]
        super().__init__(*self.nodes, private=private)

    @property
    def urls(self) -> list[str]:
        return self.external_url.split() if self.external_url else [node.url for node in self.nodes]

    @property
    def url(self) -> str:
        return self.urls[0]

    @property
    def environment_value(self) -> str:
        return " ".join(self.urls)

    def ready(self) -> bool:
        return all("cluster_state:ok" in ask(url, "CLUSTER", "INFO") for url in self.urls)

    def running_version(self) -> str:
        return version_of(self.url)

    def kill_node(self, index: int) -> None:
        self.require_ours("killed")
        self.nodes[index].kill()

    def restart_node(self, index: int) -> None:
        """Restart the node, and wait until all nodes serve their slots."""
        self.require_ours("restarted")
        self.nodes[index].restart()
        self.wait_until_ready()

    def _start(self) -> None:
        super()._start()
        self.create()

    def create(self) -> None:
        """Join the nodes to a cluster.

        :raises ServerStartError: the cluster cannot be created.
        """
        addresses = [node.address for node in self.nodes]
        create = ["redis-cli", "--cluster", "create", *addresses, "--cluster-replicas", "0", "--cluster-yes"]
        done = subprocess.run(create, check=False, capture_output=True, text=True, timeout=self.start_timeout)
        if done.returncode:
            msg = f"redis-cli --cluster create failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
            raise ServerStartError(msg)
