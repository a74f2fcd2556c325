"""The action `ask`: who waits for an operator, by real clients, and an operator who answers."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from clients import Client, Curl, curl, need
from conftest import Keep, Start
from origins import Recording
from program import Program, until

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
name = "new-places"
action = "ask"
ask = { timeout = "$timeout" }
"""
#: Seconds that nobody waits here.
LONG = "300s"


@pytest.fixture
def origin(keep: Keep[Recording]) -> Recording:
    return keep(Recording())


@pytest.fixture
def proxy(start: Start, origin: Recording, tmp_path: Path) -> Program:
    return start(CONFIG, origin=origin.port, timeout=LONG, state=tmp_path / "state")


def told(proxy: Program, *words: str) -> str:
    """What the admin socket answers to a command."""
    options = [
        "--unix-socket",
        str(Path(str(proxy.names["state"])) / "admin.sock"),
        "--request",
        "POST",
    ]
    url = "http://localhost/commands/" + "/".join(words)
    done = subprocess.run(
        [need("curl"), "--disable", "--silent", *options, url],
        capture_output=True,
        text=True,
        timeout=30,
    )
    return done.stdout


def numbers(proxy: Program, count: int = 1) -> list[str]:
    """Of the questions, once so many are asked."""

    def found() -> list[str]:
        rows = told(proxy, "asks").splitlines()[1:]
        return [row.split()[0] for row in rows] if len(rows) == count else []

    return until(found)


def asking(proxy: Program, url: str, folder: Path, *options: object) -> Future[Curl]:
    """Curl, under way."""
    through = ["--proxy", f"http://127.0.0.1:{proxy.forward}"] if "://127" in url else []
    pool = ThreadPoolExecutor(1)
    going = pool.submit(curl, *through, *options, url, folder=folder)
    pool.shutdown(wait=False)
    return going


@pytest.mark.parametrize("side", ["forward", "reverse"])
@pytest.mark.parametrize(("word", "status"), [("once", 200), ("no", 403)])
def test_it_waits_until_an_operator_answers(
    proxy: Program, origin: Recording, tmp_path: Path, side: str, word: str, status: int
) -> None:
    port = origin.port if side == "forward" else proxy.reverse
    host = "127.0.0.1" if side == "forward" else "localhost"
    going = asking(proxy, f"http://{host}:{port}/", tmp_path)
    (number,) = numbers(proxy)
    assert origin.requests == []
    assert told(proxy, "answer", number, word) == f"{word} to 1 that waits\n"
    assert going.result().status == status
    assert len(origin.requests) == (status == 200)
    if word == "no" and side == "forward":
        page = json.loads(going.result().body)
        assert page["detail"].endswith("an operator was asked, and said no.")


def test_the_body_waits_too_and_comes_whole(
    proxy: Program, origin: Recording, tmp_path: Path
) -> None:
    """More than is kept to be sent again."""
    content = tmp_path / "content"
    content.write_bytes(b"x" * 200_000)
    url = f"http://127.0.0.1:{origin.port}/"
    going = asking(proxy, url, tmp_path, "--data-binary", f"@{content}", "--header", "Expect:")
    told(proxy, "answer", *numbers(proxy), "once")
    assert going.result().status == 200
    assert len(origin.requests[0].body) == 200_000


def test_a_tunnel_holds_nothing_but_its_descriptor(
    proxy: Program, origin: Recording, tmp_path: Path
) -> None:
    descriptors = Path(f"/proc/{proxy.process.pid}/fd")
    before = len(list(descriptors.iterdir()))
    going = asking(proxy, f"http://127.0.0.1:{origin.port}/", tmp_path, "--proxytunnel")
    (number,) = numbers(proxy)
    # The operator's own connections may take a moment to close.
    until(lambda: len(list(descriptors.iterdir())) <= before + 1)
    told(proxy, "answer", number, "once")
    assert going.result().status == 200


def test_what_was_answered_for_ever_outlives_a_restart(
    proxy: Program, origin: Recording, tmp_path: Path, start: Start
) -> None:
    url = f"http://127.0.0.1:{origin.port}/"
    going = asking(proxy, url, tmp_path)
    told(proxy, "answer", *numbers(proxy), "always")
    assert going.result().status == 200
    proxy.stop()
    kept = tmp_path / "state/answers.toml"
    assert kept.stat().st_mode & 0o777 == 0o600
    again = start(CONFIG, origin=origin.port, timeout=LONG, state=tmp_path / "state")
    assert asking(again, url, tmp_path).result().status == 200
    (answer,) = told(again, "answers").splitlines()[1:]
    assert "always" in answer
    assert told(again, "forget", answer.split()[0]).startswith("no longer always: 127.0.0.1 → ")
    asking(again, url, tmp_path, "--max-time", "1").result()
    assert until(lambda: told(again, "asks") == "nobody asks\n")


@pytest.mark.parametrize("tunnel", [True, False])
def test_who_goes_is_asked_for_no_more(proxy: Program, origin: Recording, tunnel: bool) -> None:
    place = f"127.0.0.1:{origin.port}"
    line = f"CONNECT {place} HTTP/1.1" if tunnel else f"GET http://{place}/ HTTP/1.1"
    with Client(proxy.forward) as client:
        client.send(f"{line}\r\nHost: {place}\r\n\r\n".encode())
        numbers(proxy)
    assert until(lambda: told(proxy, "asks") == "nobody asks\n")


def test_nobody_answers(start: Start, origin: Recording, tmp_path: Path) -> None:
    proxy = start(CONFIG, origin=origin.port, timeout="1s", state=tmp_path / "state")
    asked = asking(proxy, f"http://127.0.0.1:{origin.port}/", tmp_path).result()
    assert (asked.status, origin.requests) == (403, [])
    assert json.loads(asked.body)["detail"].endswith("and did not answer in time.")
    assert told(proxy, "answer", *numbers(proxy), "always") == "always to 0 that wait\n"
    assert asking(proxy, f"http://127.0.0.1:{origin.port}/", tmp_path).result().status == 200


def test_a_reload_decides_anew(proxy: Program, origin: Recording, tmp_path: Path) -> None:
    going = asking(proxy, f"http://127.0.0.1:{origin.port}/", tmp_path)
    numbers(proxy)
    proxy.configure(
        CONFIG.replace('action = "ask"\nask = { timeout = "$timeout" }', 'action = "allow"')
    )
    assert told(proxy, "reload").startswith("generation 2")
    assert going.result().status == 200
