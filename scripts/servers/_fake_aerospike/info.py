"""Info requests in the text protocol: facts about the server, and `truncate`."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from servers._fake_aerospike.records import PARTITIONS

if TYPE_CHECKING:
    from collections import Counter

    from servers._fake_aerospike.records import Namespace

__all__ = ["BUILD", "Info"]

BUILD = "8.1.0.0"

_ALL_PARTITIONS = base64.b64encode(b"\xff" * (PARTITIONS // 8)).decode()


class Info:
    def __init__(self, namespace: Namespace, counts: Counter[str], host: str, port: int) -> None:
        self._namespace = namespace
        self._counts = counts
        name = namespace.options.name
        self._answers = {
            "build": BUILD,
            "cluster-name": "",
            "edition": "Aerospike Community Edition (a fake)",
            "features": "batch-any;batch-index;peers;pquery;pscans;query-show;replicas;truncate-namespace",
            "namespaces": name,
            "node": "BB9FAKE",
            "partition-generation": "1",
            "peers-clear-std": f"0,{port},[]",
            "peers-generation": "0",
            "rebalance-generation": "1",
            "replicas": f"{name}:1,1,{_ALL_PARTITIONS}",
            "service-clear-std": f"{host}:{port}",
            "status": "ok",
        }

    def answer(self, octets: bytes) -> bytes:
        """Return a line for each question. Clients check with an empty request that the server is alive."""
        questions = octets.decode().strip("\n").split("\n")
        return "".join(f"{question}\t{self._answer(question)}\n" for question in questions if question).encode()

    def _answer(self, question: str) -> str:
        command, _, arguments = question.partition(":")
        if command == "truncate":
            return self._truncate(dict(pair.split("=", 1) for pair in arguments.split(";")))
        if question == "statistics":
            return ";".join(f"{name}={count}" for name, count in self._counts.items())
        place = question.split("/")
        if place[0] == "namespace":
            return self._namespace_info(place[1])
        if place[0] == "sets":
            return self._set_info(*place[1:])
        return self._answers.get(question, "ERROR:4:unrecognized command")

    def _truncate(self, arguments: dict[str, str]) -> str:
        if arguments.get("namespace") != self._namespace.options.name:
            return "ERROR:4:unknown namespace"
        self._namespace.truncate(arguments.get("set", "").encode(), int(arguments.get("lut", "0")))
        return "ok"

    def _namespace_info(self, name: str) -> str:
        options = self._namespace.options
        if name != options.name:
            return "ERROR:20:namespace not found"
        return (
            f"nsup-period={options.nsup_period};default-ttl={options.default_ttl};"
            f"allow-ttl-without-nsup=false;max-record-size={options.max_record_size};replication-factor=1"
        )

    def _set_info(self, namespace: str, *sets: str) -> str:
        if namespace != self._namespace.options.name:
            return "ERROR:20:namespace not found"
        known = [name for name in self._namespace.sets() if not sets or name == sets[0].encode()]
        return "".join(
            f"ns={namespace}:set={name.decode()}:objects={self._namespace.objects(name)};" for name in sorted(known)
        )
