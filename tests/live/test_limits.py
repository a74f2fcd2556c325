"""Limits of rules, through both proxies: rates, concurrency, quotas that outlive the process."""

from __future__ import annotations

import socket
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest
from clients import Client, Reply
from conftest import Keep, Start
from origins import Received, Recording
from program import PATIENCE, Program, until

CONFIG = """
state_dir = "$state"

[forward]
listen = ["tcp:$forward:interface=127.0.0.1"]
allow_private = ["127.0.0.0/8"]
connect_ports = "any"

[reverse]
listen = ["tcp:$reverse:interface=127.0.0.1"]
[[reverse.route]]
pool = "all"
[pools.all]
servers = ["http://127.0.0.1:$origin"]

[[policy.rule]]
name = "rate"
when = { path = "/rate/" }
action = "continue"
rate = { limit = "1/h", burst = 2, by = "header:X-Who" }

[[policy.rule]]
name = "at-once"
when = { method = "CONNECT" }
action = "continue"
concurrency = { limit = 1, by = "client" }

[[policy.rule]]
name = "requests"
when = { path = "/requests/" }
action = "continue"
quota = { requests = 3, per = "month", by = "header:X-Who" }

[[policy.rule]]
name = "bytes"
when = { path = "/bytes/" }
action = "continue"
quota = { bytes = "20KiB", per = "month", by = "header:X-Who" }
"""


def answer(request: Received) -> bytes:
    size = 12 << 10 if request.target.startswith("/bytes/") else 5
    head = b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: %d\r\n\r\n" % size
    return head + b"x" * size


@pytest.fixture(scope="module")
def origin(keep: Keep[Recording]) -> Recording:
    return keep(Recording(answer))


@pytest.fixture(scope="module")
def proxy(
    start_shared: Start, origin: Recording, tmp_path_factory: pytest.TempPathFactory
) -> Program:
    return start_shared(CONFIG, origin=origin.port, state=tmp_path_factory.mktemp("state"))


def ask(proxy: Program, origin: Recording, side: str, path: str, who: str) -> Reply:
    host = f"127.0.0.1:{origin.port}"
    target = f"http://{host}{path}" if side == "forward" else path
    with Client(proxy.forward if side == "forward" else proxy.reverse) as client:
        head = f"GET {target} HTTP/1.1\r\nHost: {host}\r\nX-Who: {who}\r\n\r\n"
        return client.ask(head.encode())


SIDES = pytest.mark.parametrize("side", ["forward", "reverse"])


@SIDES
@pytest.mark.parametrize(("rule", "times"), {"rate": 2, "requests": 3, "bytes": 2}.items())
def test_one_too_many(
    proxy: Program, origin: Recording, unique: str, side: str, rule: str, times: int
) -> None:
    path = f"/{rule}/{unique}"
    for _ in range(times):
        assert ask(proxy, origin, side, path, unique).status == 200
    refused = ask(proxy, origin, side, path, unique)
    assert refused.status == 429
    assert int(refused.get("retry-after")) > 60
    assert ask(proxy, origin, side, path, f"another {unique}").status == 200
    assert sum(unique in each.target for each in origin.requests) == times + 1
    proxy.access(1, containing=unique, rule=rule, status=429, side=side)


def test_tunnels_at_once(proxy: Program, origin: Recording) -> None:
    place = f"127.0.0.1:{origin.port}"

    def connect() -> tuple[socket.socket, bytes]:
        tunnel = socket.create_connection(("127.0.0.1", proxy.forward), PATIENCE)
        tunnel.sendall(f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n\r\n".encode())
        return tunnel, tunnel.recv(1000)

    def opens() -> bool:
        tunnel, said = connect()
        tunnel.close()
        return b" 200 " in said

    first, said = connect()
    assert b" 200 " in said
    second, said = connect()
    assert b" 429 " in said
    first.close()
    second.close()
    until(opens, why="the place of a closed tunnel is not given to another")


def written(file: Path) -> bool:
    """Whether the bytes of two answers are in it."""
    with (
        suppress(sqlite3.OperationalError),
        closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db,
    ):
        return db.execute("SELECT count(*) FROM spent WHERE spent >= 24000").fetchone() == (1,)
    return False


def test_a_quota_outlives_the_process(start: Start, origin: Recording, tmp_path: Path) -> None:
    proxy = start(CONFIG, origin=origin.port, state=tmp_path)
    for _ in range(2):
        assert ask(proxy, origin, "forward", "/bytes/x", "somebody").status == 200
    assert ask(proxy, origin, "forward", "/bytes/x", "somebody").status == 429
    file = tmp_path / "quotas.sqlite"
    until(lambda: written(file), why="the quota is not written")
    assert file.stat().st_mode & 0o777 == 0o600
    proxy.kill()
    again = start(CONFIG, origin=origin.port, state=tmp_path)
    assert ask(again, origin, "forward", "/bytes/x", "somebody").status == 429
    assert ask(again, origin, "forward", "/bytes/x", "another").status == 200
