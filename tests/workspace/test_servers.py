"""Real servers: nothing is left behind, and external servers are not touched."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import servers
from redis import Redis, RedisCluster
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError
from redis.retry import Retry
from servers import ServerStartError, ServerUnavailableError, discover
from servers._child import Child
from servers.redis import RedisServer, ask
from servers.redis_cluster import RedisCluster as RedisClusterServer
from servers.redis_sentinel import RedisSentinel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


SCRIPTS = Path(servers.__file__).parents[1]
SERVICES = SCRIPTS / "services"
PIPE = subprocess.PIPE
PASSWORD = f"{uuid.uuid4().hex}@/: "


def connect(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    # Without a reply the connection may not be accepted yet and would end with a reset.
    connection.sendall(b"PING\r\n")
    assert connection.recv(7) == b"+PONG\r\n"
    return connection


def python(*arguments: str | Path, stderr: int | None = None, **variables: str) -> subprocess.Popen[str]:
    """Start Python in an environment that names no running server."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("KV_TEST_") and name != "CI"}
    command = [sys.executable, *arguments]
    environment = {**inherited, **variables}
    return subprocess.Popen(command, stdin=PIPE, stdout=PIPE, stderr=stderr, text=True, env=environment)  # noqa: S603 - ours


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline()


def eventually(condition: Callable[[], bool]) -> bool:
    """Poll until the condition holds, for at most 5 s."""
    deadline = time.monotonic() + 5
    while not (met := condition()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return met


def client_of(server: RedisServer) -> Redis:
    # Without retries: redis-py also repeats a refused password, for four seconds.
    return Redis(port=server.port, decode_responses=True, retry=Retry(NoBackoff(), 0))


def test_a_started_server_answers_and_reports_its_version(private_redis: RedisServer) -> None:
    with client_of(private_redis) as client:
        assert client.set("key", "value")
        assert client.get("key") == "value"
    assert f"redis_version:{private_redis.version}\r\n" in ask(private_redis.url, "INFO", "server")


def test_a_server_listens_on_one_address_only(private_redis: RedisServer) -> None:
    # On Linux all of 127/8 is the loopback interface: a server that listens on all addresses answers here.
    with pytest.raises(OSError, match=r"refused|assign"):
        socket.create_connection(("127.0.0.2", private_redis.port), timeout=1)


def test_stopping_frees_the_port_and_removes_the_data() -> None:
    with RedisServer(private=True) as server:
        port, directory = server.port, server.directory
    assert not directory.exists()
    with pytest.raises(ConnectionRefusedError):
        connect(port)


def test_a_restart_keeps_port_and_data() -> None:
    with RedisServer("--appendonly", "yes") as server:
        before = server.url
        ask(server.url, "SET", "key", "value")
        server.restart()
        assert server.url == before
        assert ask(server.url, "GET", "key") == "value"


def test_a_killed_server_is_gone_at_once_and_can_be_restarted(private_redis: RedisServer) -> None:
    with connect(private_redis.port) as connection:
        private_redis.kill()
        assert connection.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        connect(private_redis.port)
    private_redis.restart()
    assert ask(private_redis.url, "PING") == "PONG"


def test_a_paused_server_answers_when_it_resumes(private_redis: RedisServer) -> None:
    with connect(private_redis.port) as connection:
        private_redis.pause()
        connection.sendall(b"PING\r\n")
        connection.settimeout(0.1)
        with pytest.raises(TimeoutError):
            connection.recv(7)
        private_redis.resume()
        connection.settimeout(10)
        assert connection.recv(7) == b"+PONG\r\n"


THREADS = """
import hashlib, os, threading
for _ in range(16):
    # Without the interpreter's lock, so that they run at once.
    threading.Thread(target=hashlib.pbkdf2_hmac, args=("sha256", b"", b"", 10**9), daemon=True).start()
print(os.getpid(), flush=True)
threading.Event().wait()
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="the states of threads are read from /proc")
def test_a_paused_server_has_no_running_thread() -> None:
    child = Child("threads")
    try:
        child.run([sys.executable, "-c", THREADS])
        assert eventually(lambda: child.output().endswith("\n"))
        threads = Path(f"/proc/{child.output().strip()}/task")
        for _ in range(50):
            child.send_signal(signal.SIGSTOP)
            assert {state.read_text().rpartition(")")[2].split()[0] for state in threads.glob("*/stat")} == {"T"}
            child.send_signal(signal.SIGCONT)
    finally:
        child.end(signal.SIGKILL)
        child.discard()


def test_a_paused_server_can_be_stopped() -> None:
    with RedisServer(private=True) as server:
        server.pause()
    with pytest.raises(ConnectionRefusedError):
        connect(server.port)


def test_a_password_is_required_and_part_of_the_url() -> None:
    with RedisServer(password=PASSWORD) as server, client_of(server) as client:
        assert ask(server.url, "PING") == "PONG"
        with pytest.raises(AuthenticationError):
            client.get("key")


def test_a_configured_user_replaces_the_default_user() -> None:
    with RedisServer(username="reader", password=PASSWORD) as server, client_of(server) as client:
        assert ask(server.url, "ACL", "WHOAMI") == "reader"
        with pytest.raises(AuthenticationError):
            client.get("key")


def test_a_unix_socket_is_served_too(private_redis: RedisServer) -> None:
    with Redis(unix_socket_path=private_redis.socket_path) as client:
        assert client.get("key") is None


def test_a_server_that_exits_during_its_start_shows_its_output() -> None:
    with pytest.raises(ServerStartError, match="no-such-directive"):
        RedisServer("--no-such-directive", "yes").start()


def test_a_running_server_is_used_but_not_controlled(
    private_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KV_TEST_REDIS_URL", private_redis.url)
    with RedisServer() as server:
        assert (server.url, server.version) == (private_redis.url, private_redis.version)
        for action in (server.kill, server.restart, server.pause, server.resume):
            with pytest.raises(RuntimeError, match="KV_TEST_REDIS_URL is not ours"):
                action()
    assert ask(private_redis.url, "PING") == "PONG"


def test_a_private_server_is_ours_even_if_another_is_running(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KV_TEST_REDIS_URL", "redis://127.0.0.1:1")
    with RedisServer(private=True) as server:
        server.kill()


def test_a_configured_server_that_does_not_answer_is_an_error_and_not_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KV_TEST_REDIS_URL", "redis://127.0.0.1:1")
    monkeypatch.setattr(RedisServer, "start_timeout", 0.05)
    with pytest.raises(ServerStartError, match="KV_TEST_REDIS_URL: no answer"):
        RedisServer().start()


def test_the_error_for_a_missing_server_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RedisServer, "binary", "no-such-server")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ServerUnavailableError, match="apt-get install redis-server, or set KV_TEST_REDIS_URL"):
        RedisServer(private=True).start()


def test_every_file_in_the_folder_defines_a_server() -> None:
    variables = {name: server.environment_variable for name, server in discover().items()}
    # An Azure account has no URL that contains its key.
    kinds = dict.fromkeys(variables, "URL") | {"azure_tables": "CONNECTION_STRING"}
    assert variables == {name: f"KV_TEST_{name.upper()}_{kind}" for name, kind in kinds.items()}
    assert {"redis", "redis_cluster", "redis_sentinel"} <= variables.keys()


def test_a_cluster_serves_every_slot(redis_cluster: RedisClusterServer) -> None:
    for url in redis_cluster.urls:
        assert "cluster_slots_ok:16384" in ask(url, "CLUSTER", "INFO")
    host, port = redis_cluster.url.removeprefix("redis://").removesuffix("/0").split(":")
    with RedisCluster(host=host, port=int(port)) as client:
        assert [client.get(f"missing-{number}") for number in range(100)] == [None] * 100


def test_a_node_of_a_cluster_can_be_killed_and_restarted() -> None:
    with RedisClusterServer(private=True) as cluster:
        cluster.kill_node(1)
        with pytest.raises(ConnectionRefusedError):
            connect(cluster.nodes[1].port)
        cluster.restart_node(1)
        assert "cluster_slots_ok:16384" in ask(cluster.urls[1], "CLUSTER", "INFO")


def test_a_sentinel_knows_its_master() -> None:
    with RedisSentinel(private=True) as server:
        facts = ask(f"redis://{server.host}:{server.port}", "INFO", "sentinel")
        assert f"name={server.service_name},status=ok,address={server.master.address}," in facts


ORPHAN = """
import os, sys
from servers.redis import RedisServer
server = RedisServer(private=True)
server.start()
print(server.port, server.directory, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_server_does_not_outlive_the_tests(number: signal.Signals) -> None:
    with python("-c", ORPHAN, PYTHONPATH=str(SCRIPTS)) as parent:
        port, directory = line_of(parent).split()
        with connect(int(port)) as connection:
            parent.send_signal(number)
            assert connection.recv(1) == b""
    assert eventually(lambda: not Path(directory).exists())


def test_run_passes_the_servers_to_the_command_and_returns_its_exit_code() -> None:
    program = "import os; print(os.environ['KV_TEST_REDIS_URL']); raise SystemExit(7)"
    with python(SERVICES, "run", "redis", "--", sys.executable, "-c", program) as run:
        url = line_of(run).strip()
    assert run.returncode == 7
    with pytest.raises(ConnectionRefusedError):
        ask(url, "PING")


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let children handle SIGINT even if a shell that runs the tests in the background set it to be ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_start_keeps_a_server_running_until_it_is_interrupted(number: signal.Signals) -> None:
    with python(SERVICES, "start", "redis") as start:
        assignment, version = line_of(start).split("  # ")
        url = assignment.removeprefix("KV_TEST_REDIS_URL=").strip("'")
        assert f"redis_version:{version.strip()}\r\n" in ask(url, "INFO", "server")
        start.send_signal(number)
    assert start.returncode == 0
    with pytest.raises(ConnectionRefusedError):
        ask(url, "PING")


def test_list_shows_a_missing_server_and_how_to_get_it() -> None:
    with python(SERVICES, "list", PATH="") as listing:
        output, _ = listing.communicate()
    assert "redis-server is not installed: apt-get install redis-server" in output
    assert listing.returncode == 0


@pytest.mark.parametrize("arguments", [["run", "redis"], ["start", "redis", "--", "true"], ["start", "no-such"], []])
def test_a_usage_error_is_reported_and_nothing_is_started(arguments: list[str]) -> None:
    with python(SERVICES, *arguments, stderr=PIPE) as refused:
        _, message = refused.communicate()
    assert refused.returncode == 2
    assert "usage:" in message


USER = """
def test_it(redis_server): ...
"""


@pytest.mark.parametrize(("ci", "outcome"), [("", "1 skipped"), ("true", "1 error")])
def test_a_missing_server_skips_tests_with_advice_and_fails_them_in_ci(tmp_path: Path, ci: str, outcome: str) -> None:
    (tmp_path / "test_user.py").write_text(USER)
    conftest = Path(servers.__file__).parents[2] / "tests" / "conftest.py"
    (tmp_path / "conftest.py").write_text(conftest.read_text())
    with python("-m", "pytest", tmp_path, PATH="", CI=ci, PYTHONPATH=str(SCRIPTS)) as run:
        output, _ = run.communicate()
    assert "redis-server is not installed: apt-get install redis-server" in output
    assert outcome in output
