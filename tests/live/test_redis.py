"""Nodes on real reactors share a real Redis, which is stopped, frozen and restarted under load."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority
from program import PATIENCE
from redis_server import Redis

NODE = Path(__file__).with_name("redis_node.py")


SECRET = "open%2Fsesame"


@pytest.fixture(scope="module")
def redis(authority: Authority) -> Iterator[Redis]:
    redis = Redis("--requirepass", "open/sesame", authority=authority)
    yield redis
    redis.close()


class Node:
    """A store in a process of its own, told what to do line by line. said: its log, when closed."""

    said: bytes

    def __init__(self, reactor: str, url: str, authority: Authority | None = None) -> None:
        # OpenSSL's way to tell which authorities the system believes.
        trusted = {"SSL_CERT_FILE": str(authority.ca)} if authority else {}
        self._process = subprocess.Popen(
            [sys.executable, str(NODE), reactor, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **trusted},
        )

    def __call__(self, *words: object) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(words).encode() + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the node ended on {words}"
        return json.loads(line)

    def until(self, state: str) -> None:
        assert self("until", state) == state

    def close(self) -> None:
        """It ends when its input does."""
        self.said = self._process.communicate(timeout=PATIENCE)[1]
        assert self._process.returncode == 0


@pytest.fixture
def nodes(
    request: pytest.FixtureRequest, reactor: str, redis: Redis
) -> Iterator[tuple[Node, Node]]:
    way = getattr(request, "param", "tcp")
    url = {
        "tcp": f"redis://:{SECRET}@127.0.0.1:{redis.port}/1",
        "tls": f"rediss://:{SECRET}@localhost:{redis.tls_port}/1",
        "unix": f"unix://:{SECRET}@{redis.socket}?db=1",
    }[way]
    both = Node(reactor, url, redis.authority), Node(reactor, url, redis.authority)
    for node in both:
        node.until("ok")
    yield both
    for node in both:
        node.close()


@pytest.mark.parametrize("nodes", ["tcp", "tls", "unix"], indirect=True)
def test_objects_and_purges_are_shared(nodes: tuple[Node, Node], unique: str) -> None:
    one, other = nodes
    url = f"http://example.org/{unique}"
    for size in (0, 1000, 1 << 20):
        assert one("put", url, size)
        assert other("get", url) == [size]
    assert one("purge", url) == 1
    assert other("heard", url)
    assert other("get", url) == []


@pytest.mark.parametrize("how", ["stopped", "killed", "frozen"])
def test_requests_go_on_while_redis_does_not(
    nodes: tuple[Node, Node], redis: Redis, unique: str, how: str
) -> None:
    one, other = nodes
    url = f"http://example.org/{unique}"
    assert one("put", url, 1000)
    for node in nodes:
        node("load")
    try:
        {"stopped": redis.stop, "killed": redis.kill, "frozen": redis.freeze}[how]()
        for node in nodes:
            node.until("open")
            assert node("get", url) == []
        assert one("purge", url) == 0
    finally:
        redis.thaw() if how == "frozen" else redis.start()
    for node in nodes:
        node.until("ok")
    assert other("heard", url)
    for node in nodes:
        figures = node("unload")
        # Nobody waited longer than the timeout, but for what a busy machine adds to it.
        assert figures["longest"] < figures["timeout"] + 1
        assert figures["answered"] == figures["asked"] > 0
        assert node("get", url) == []
    assert one("put", url, 5)
    assert other("get", url) == [5]


def test_nobody_is_told_the_secret(reactor: str, redis: Redis) -> None:
    node = Node(reactor, f"redis://us:guessed@127.0.0.1:{redis.port}")
    node.until("open")
    error = node("snapshot")["error"]
    assert "refused" in error
    node.close()
    assert "guessed" not in error
    assert b"guessed" not in node.said
