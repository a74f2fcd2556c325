"""Bandwidth limits, by curl: both proxies, both directions, tunnels. What is limited can't be done
sooner; a busy machine only makes it later, so nothing here depends on how fast it is."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from clients import curl
from conftest import Keep, Start
from origins import Received, Recording
from program import Program

SIZE = 600 << 10
CONFIG = """
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
name = "slow"
when = { header = { X-Slow = "1" } }
action = "continue"
bandwidth = { limit = "300KiB/s", by = "client" }
"""
#: Seconds: two for what is limited, less what may come at once.
LEAST = 1.2


def answer(request: Received) -> bytes:
    body = b"x" * (0 if request.body else SIZE)
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


@pytest.fixture(scope="module")
def origin(keep: Keep[Recording]) -> Recording:
    return keep(Recording(answer))


@pytest.fixture(scope="module")
def proxy(start_shared: Start, origin: Recording) -> Program:
    return start_shared(CONFIG, origin=origin.port)


WAYS = {
    "forward, down": ("--proxy", "http://127.0.0.1:$forward", "-H", "X-Slow: 1"),
    "forward, up": (
        *("--proxy", "http://127.0.0.1:$forward", "-H", "X-Slow: 1"),
        *("--data-binary", "@$upload", "-H", "Expect:"),
    ),
    "reverse, down": ("--connect-to", "::127.0.0.1:$reverse", "-H", "X-Slow: 1"),
    "tunnel, down": (
        *("--proxytunnel", "--proxy", "http://127.0.0.1:$forward"),
        *("--proxy-header", "X-Slow: 1"),
    ),
    "tunnel, up": (
        *("--proxytunnel", "--proxy", "http://127.0.0.1:$forward"),
        *("--proxy-header", "X-Slow: 1", "--data-binary", "@$upload", "-H", "Expect:"),
    ),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_what_is_limited_takes_its_time(
    proxy: Program, origin: Recording, tmp_path: Path, unique: str, way: tuple[str, ...]
) -> None:
    upload = tmp_path / "upload"
    upload.write_bytes(b"y" * SIZE)
    names = {"$forward": proxy.forward, "$reverse": proxy.reverse, "$upload": upload}
    options = []
    for option in way:
        for name, value in names.items():
            option = option.replace(name, str(value))
        options.append(option)
    begun = time.monotonic()
    got = curl(*options, f"http://127.0.0.1:{origin.port}/{unique}", folder=tmp_path)
    seconds = time.monotonic() - begun
    assert got.status == 200
    (asked,) = [each for each in origin.requests if unique in each.target]
    assert max(len(got.body), len(asked.body)) == SIZE
    assert seconds >= LEAST
