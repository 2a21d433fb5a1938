from __future__ import annotations

from servers.redis import ask
from servers.redis_cluster import RedisCluster
from servers.valkey import ValkeyServer, valkey_version_of

_SLOTS = 16384


class ValkeyCluster(RedisCluster):
    """Three primaries without replicas; `KV_TEST_VALKEY_CLUSTER_URL` has one URL per node, separated by spaces."""

    environment_variable = "KV_TEST_VALKEY_CLUSTER_URL"
    node = ValkeyServer

    def running_version(self) -> str:
        return valkey_version_of(self.url)

    def create(self) -> None:
        # With single commands: the wheel has no valkey-cli.
        for number, node in enumerate(self.nodes):
            first, end = (_SLOTS * each // len(self.nodes) for each in (number, number + 1))
            ask(node.url, "CLUSTER", "SET-CONFIG-EPOCH", str(number + 1))
            ask(node.url, "CLUSTER", "ADDSLOTSRANGE", str(first), str(end - 1))
        for node in self.nodes[1:]:
            ask(node.url, "CLUSTER", "MEET", self.nodes[0].host, str(self.nodes[0].port))
