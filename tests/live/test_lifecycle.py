"""Start, reload and end: signals, exit statuses, what is printed when it is misused."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from clients import Client, get
from conftest import Start
from origins import Nginx, Scripted, Talk
from program import Program, run_to_end, takes_connections, until

CONFIG = """
[forward]
listen = ["tcp:$forward:interface=127.0.0.1"]

[reverse]
listen = ["tcp:$reverse:interface=127.0.0.1"]

[[reverse.route]]
pool = "origin"

[pools.origin]
servers = ["http://127.0.0.1:$origin"]

[admin]
listen = "tcp:$admin:interface=127.0.0.1"
"""
DENY = """
[[policy.rule]]
name = "nothing"
when = { path = "/" }
action = "deny"
"""
TWISTPROXY = str(Path(sys.executable).with_name("twistproxy"))
END = [signal.SIGTERM, signal.SIGINT]


class Gate:
    """A server that begins its answer to /, and completes it once `go` is set."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.go = threading.Event()

    def __call__(self, talk: Talk) -> None:
        if not talk.head().startswith(b"GET / "):
            talk.send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return
        talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nbegin")
        self.began.set()
        self.go.wait(15)
        talk.send(b"ended")


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def gated(start: Start, scripted: Callable[..., Scripted], gate: Gate) -> Program:
    return start(CONFIG + '[timeouts]\ndrain = "10s"\n', origin=scripted(gate).port)


ASK = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"


@pytest.mark.parametrize("how", END, ids=lambda how: how.name)
def test_a_signal_drains_and_the_status_is_0(gated: Program, gate: Gate, how: int) -> None:
    idle = Client(gated.forward)
    with Client(gated.reverse) as client:
        client.send(ASK)
        assert gate.began.wait(10)
        gated.process.send_signal(how)
        until(lambda: not takes_connections(gated.reverse), why="it still takes connections")
        assert gated.process.poll() is None, "it did not wait for the exchange"
        gate.go.set()
        reply = client.reply()
        assert (reply.complete, reply.body) == (True, b"beginended")
        assert client.rest() == b""
    assert gated.process.wait(5) == 0
    assert idle.closed()
    idle.socket.close()


def test_a_drain_has_an_end(start: Start, scripted: Callable[..., Scripted], gate: Gate) -> None:
    proxy = start(CONFIG, origin=scripted(gate).port)
    with Client(proxy.reverse) as client:
        client.send(ASK)
        assert gate.began.wait(10)
        began = time.monotonic()
        assert proxy.stop() == 0
        assert time.monotonic() - began < 8
        assert not client.reply().complete
    gate.go.set()


def test_the_log_says_first_which_reactor_runs(start: Start, reactor: str, nginx: Nginx) -> None:
    proxy = start(CONFIG, origin=nginx.port)
    first = "\n".join(proxy.log.splitlines()[:10]).lower()
    assert reactor in first
    if reactor == "epoll":
        assert "uvloop" not in first


def test_it_runs_from_any_folder(reactor: str, nginx: Nginx, tmp_path: Path) -> None:
    proxy = Program(tmp_path, reactor, CONFIG, cwd=Path("/"), origin=nginx.port)
    try:
        proxy.ready()
        assert get(proxy.reverse, "/who").status == 200
        proxy.end()
    finally:
        proxy.kill()


def test_a_reload_cuts_nothing(gated: Program, gate: Gate) -> None:
    kept = Client(gated.reverse)
    with Client(gated.reverse) as client:
        client.send(ASK)
        assert gate.began.wait(10)
        gated.reload(gated.text + DENY)
        until(lambda: get(gated.reverse, "/other").status == 403)
        assert kept.ask(ASK).status == 403
        gate.go.set()
        assert client.reply().body == b"beginended"
        # The same connection, the next exchange: of the new generation.
        assert client.ask(ASK).status == 403
    kept.socket.close()


def test_a_bad_reload_changes_nothing(start: Start, nginx: Nginx) -> None:
    proxy = start(CONFIG, origin=nginx.port)
    proxy.reload(CONFIG + DENY.replace('"deny"', '"dney"'))
    until(lambda: "].action: " in proxy.log)
    assert get(proxy.reverse, "/who").status == 200
    proxy.reload(CONFIG + DENY)
    until(lambda: get(proxy.reverse, "/who").status == 403)


def test_many_reloads_under_load(start: Start, nginx: Nginx) -> None:
    proxy = start(CONFIG, origin=nginx.port)
    statuses: set[int] = set()
    stop = threading.Event()

    def ask() -> None:
        with Client(proxy.reverse) as client:
            while not stop.is_set():
                statuses.add(client.ask(b"GET /who HTTP/1.1\r\nHost: a\r\n\r\n").status)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(10):
        proxy.reload(CONFIG + f"[limits]\npipelined = {number + 1}\n")
        time.sleep(0.2)
    stop.set()
    for thread in threads:
        thread.join()
    assert statuses == {200}


BAD = {
    "unknown_pool": (
        CONFIG.replace('pool = "origin"', 'pool = "orign"'),
        ['.pool: no pool named "orign"; did you mean "origin"?'],
    ),
    "two_at_once": (
        CONFIG + '[limits]\nhead = "64 pounds"\n[cache]\nmemmory = "1MiB"\n',
        ["limits.head: ", "cache.memmory: "],
    ),
    "not_in_this_version": (
        CONFIG + '[resolver]\nuse = "dns"\n',
        ["is not in this version"],
    ),
    "open_relay": (
        '[forward]\nlisten = ["tcp:$forward"]\n',
        ["forward."],
    ),
    "no_toml": ("[forward\n", [":1"]),
}


@pytest.mark.parametrize(("text", "parts"), BAD.values(), ids=BAD)
def test_a_configuration_error_prints_its_lines_only(
    tmp_path: Path, reactor: str, text: str, parts: list[str]
) -> None:
    ended = run_to_end(tmp_path, text, reactor, origin=1)
    lines = ended.log.splitlines()
    assert ended.process.returncode == 1, lines
    assert len(lines) == len(parts), lines
    for line, part in zip(lines, parts, strict=True):
        assert line.startswith(f"{ended.config}:"), lines
        assert line[len(f"{ended.config}:")].isdigit(), lines
        assert part in line


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [TWISTPROXY, "check", "no-such-file.toml"], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 1
    assert "no-such-file.toml" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_taken_port_is_one_line(tmp_path: Path, reactor: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        text = CONFIG.replace("$reverse", "$taken")
        ended = run_to_end(tmp_path, text, reactor, origin=1, taken=port)
    assert ended.process.returncode == 1
    lines = [line for line in ended.log.splitlines() if str(port) in line]
    assert len(lines) == 1
    assert "Traceback" not in ended.log
    assert "Usage" not in ended.log


def test_an_unknown_option_is_wrong_usage(tmp_path: Path) -> None:
    done = subprocess.run(
        [TWISTPROXY, "check", "--no-such-option"], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 2


@pytest.fixture
def proxy(start: Start, nginx: Nginx) -> Program:
    return start(CONFIG, origin=nginx.port)


def verb(proxy: Program, *words: str) -> subprocess.CompletedProcess[str]:
    """The console script, with the configuration of the running program."""
    command = [TWISTPROXY, *words, "--config", str(proxy.config)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


def test_the_command_line_reaches_the_program(proxy: Program) -> None:
    get(proxy.reverse, "/who")
    stats = verb(proxy, "stats")
    assert stats.returncode == 0, stats.stderr
    assert any(line.split()[0] == "hits" for line in stats.stdout.splitlines() if line.strip())
    proxy.configure(CONFIG + DENY)
    assert verb(proxy, "reload").returncode == 0
    until(lambda: get(proxy.reverse, "/who").status == 403)
    proxy.configure(CONFIG.replace('pool = "origin"', 'pool = "orign"'))
    failed = verb(proxy, "reload")
    assert failed.returncode == 1
    assert 'did you mean "origin"?' in failed.stdout + failed.stderr


def test_the_command_line_without_a_program(proxy: Program) -> None:
    assert proxy.stop() == 0
    done = verb(proxy, "stats")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()


def test_check_says_what_is_wrong(proxy: Program) -> None:
    check = [TWISTPROXY, "check", str(proxy.config)]
    assert subprocess.run(check, capture_output=True).returncode == 0
    proxy.configure(CONFIG.replace('pool = "origin"', 'pool = "orign"'))
    wrong = subprocess.run(check, capture_output=True, text=True)
    assert wrong.returncode == 1
    assert 'no pool named "orign"' in wrong.stdout + wrong.stderr


def test_version_and_hash_password() -> None:
    version = subprocess.run([TWISTPROXY, "version"], capture_output=True, text=True)
    assert version.returncode == 0
    assert version.stdout.strip()
    hashed = subprocess.run(
        [TWISTPROXY, "hash-password"], input="secret\n", capture_output=True, text=True
    )
    assert hashed.returncode == 0
    assert "$2" in hashed.stdout
    assert "secret" not in hashed.stdout


def test_run_is_the_same_program(nginx: Nginx, tmp_path: Path, reactor: str) -> None:
    if reactor == "epoll":
        pytest.skip("`run` chooses the reactor by itself")
    command = [TWISTPROXY, "run"]
    proxy = Program(tmp_path, reactor, CONFIG, command=command, origin=nginx.port)
    try:
        proxy.ready()
        assert get(proxy.reverse, "/who").status == 200
        proxy.end()
    finally:
        proxy.kill()


def test_health_and_snapshot(proxy: Program) -> None:
    for path in ("/livez", "/readyz"):
        assert get(proxy.admin, path, f"127.0.0.1:{proxy.admin}").status == 200
    # More is only on the unix socket, where no token_file was given.
    assert get(proxy.admin, "/snapshot", f"127.0.0.1:{proxy.admin}").status in {401, 403, 404}
    assert get(proxy.admin, "/livez", "rebound.example").status in {400, 403, 421}
    admin = proxy.folder / "var/admin.sock"
    assert stat.S_IMODE(admin.stat().st_mode) == 0o600
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(admin))
        client.sendall(b"GET /snapshot HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n")
        answer = b""
        while data := client.recv(1 << 16):
            answer += data
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert isinstance(json.loads(body), dict)


def test_the_combined_log(start: Start, nginx: Nginx) -> None:
    log = '[log]\naccess = { file = "access.log", format = "combined" }\n'
    proxy = start(CONFIG + log, origin=nginx.port)
    get(proxy.reverse, "/who", "a.example", User_Agent='quo"te', Referer="http://b.example/")
    file = proxy.folder / "access.log"
    text = until(lambda: file.exists() and file.read_text())
    assert text.startswith("127.0.0.1 - - [")
    assert '"GET ' in text
    assert 'quo\\"te' in text or "quo\\x22te" in text
    assert " 200 5 " in text


def test_a_log_line_is_one_exchange(proxy: Program, nginx: Nginx) -> None:
    get(proxy.reverse, "/who", "a.example")
    get(proxy.forward, f"http://127.0.0.1:{nginx.port}/who", f"127.0.0.1:{nginx.port}")
    (row,) = proxy.access(1, side="reverse")
    assert row["status"] == 200
    assert row["method"] == "GET"
    assert row["client"].startswith("127.0.0.1")
    assert str(nginx.port) in json.dumps(row["server"])
    (row,) = proxy.access(1, side="forward")
    # Loopback is private: refused, and the line says by what.
    assert row["status"] in {403, 502}
    assert "destination_ip_prohibited" in json.dumps(row)


def test_an_empty_file_is_a_forward_proxy(tmp_path: Path, reactor: str) -> None:
    if takes_connections(3128):
        pytest.skip("port 3128 is taken") if not os.environ.get("CI") else None
    program = Program(tmp_path, reactor, "")
    try:
        until(lambda: takes_connections(3128), why=program.log)
        assert not takes_connections(8080)
        assert get(3128, "http://127.0.0.1:1/", "127.0.0.1:1").status == 502
        program.end()
    finally:
        program.kill()
