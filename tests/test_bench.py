"""The benchmark runs, counts only good answers, and judges by what was measured."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from bench import load, machine, report
from bench.load import Ask
from bench.machine import CHECKOUT, HERE, LOAD_CORES, Child, Command, Invalid, Missing
from bench.measure import Outcome, Row, Target
from bench.origin import SIZES, Origin
from bench.peers import DOORS, peers
from bench.picture import svg
from bench.rows import ROWS


def need(*names: str) -> None:
    """Programs that the test can't do without: without them it is skipped, in CI it fails."""
    for name in names:
        try:
            machine.program(name)
        except Missing as missing:
            message = f"{missing}; tests/packages.txt has its package"
            pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)


# What counts as a good answer.

ANSWERS = 1000
EXPECTED = 1200  # bytes of an answer


def wrk_says(**other: object) -> str:
    errors = dict.fromkeys(("status", "connect", "read", "write", "timeout"), 0)
    errors |= {name: 1 for name in other if name in errors}
    told = {"answers": ANSWERS, "seconds": 1.0, "bytes": ANSWERS * EXPECTED, "errors": errors}
    told |= {"p50": 0.001, "p99": 0.002, "worst": 0.003}
    return "Running 1s test\n" + json.dumps({**told, **{k: other[k] for k in other if k in told}})


def test_what_wrk_found() -> None:
    assert load.read_wrk(wrk_says(), EXPECTED) == load.Load(ANSWERS, 1.0, 0.001, 0.002, 0.003)


BAD_RUNS = {
    "a_status": wrk_says(status=1),
    "a_refused_connection": wrk_says(connect=1),
    "a_reset": wrk_says(read=1),
    "a_timeout": wrk_says(timeout=1),
    "nothing": wrk_says(answers=0, bytes=0),
    "half_of_each_body": wrk_says(bytes=ANSWERS * EXPECTED // 2),
    "a_redirect_among_ten": wrk_says(bytes=ANSWERS * EXPECTED * 9 // 10),
    "too_much": wrk_says(bytes=ANSWERS * EXPECTED * 2),
}


@pytest.mark.parametrize("output", BAD_RUNS.values(), ids=BAD_RUNS)
def test_a_bad_answer_makes_the_run_invalid(output: str) -> None:
    with pytest.raises(Invalid):
        load.read_wrk(output, EXPECTED)


WRONG = {
    "not_found": b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nabc",
    "too_short": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab",
    "too_long": b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd",
    "cut_off": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
    "not_http": b"hello\r\n\r\n",
    "nothing": b"",
}


@contextmanager
def answering(data: bytes) -> Iterator[socket.socket]:
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            theirs.sendall(data)
        yield ours


def test_a_good_answer_is_as_long_as_it_is() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"
    with answering(answer) as sock:
        assert load.read_answer(sock, 3) == len(answer)


@pytest.mark.parametrize("answer", WRONG.values(), ids=WRONG)
def test_a_wrong_answer_does_not_count(answer: bytes) -> None:
    with answering(answer) as sock, pytest.raises(Invalid):
        load.read_answer(sock, 3)


# What is made of it.

ROW = Row(
    "row",
    "A row",
    ("twistproxy", "peer"),
    lambda subject, settings: {},
    ("cpu_us", "per_s"),
    (Target("cpu_us", 1.5, "peer"), Target("per_s", 1.0, "peer", at_least=True)),
)


def outcome(**cpu: list[float]) -> Outcome:
    samples = {name: [{"cpu_us": x, "per_s": 1e6 / x} for x in xs] for name, xs in cpu.items()}
    return Outcome(ROW, samples)


def test_targets_are_judged_on_medians() -> None:
    found = outcome(twistproxy=[30.0, 10.0, 1000.0], peer=[20.0, 20.0, 1.0])
    assert [report.verdict(target, found) for target in ROW.targets] == [
        "reached      CPU µs ≤ 1.5 × peer: 1.50",
        "NOT REACHED  per s ≥ 1 × peer: 0.67",
    ]


def test_without_a_peer_nothing_is_reached() -> None:
    found = outcome(twistproxy=[30.0])
    assert report.verdict(ROW.targets[0], found) == "not measured  CPU µs ≤ 1.5 × peer"


def test_a_failure_has_no_figures() -> None:
    found = outcome(twistproxy=[30.0], peer=[20.0])
    found.failures["peer"] = "one bad answer"
    assert "peer" not in found.medians
    assert "peer: not measured: one bad answer" in report.row_text(found)


def test_the_picture_has_a_bar_for_each() -> None:
    picture = ET.fromstring(svg([outcome(twistproxy=[30.0], peer=[20.0])]))
    names = [text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert {"twistproxy", "peer", "30.0", "20.0"} <= set(names)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_rows_speak_of_what_there_is(row: Row) -> None:
    everyone = peers()
    assert row.ours.startswith("twistproxy")
    assert set(row.subjects) <= set(everyone)
    assert set(row.figures) | {target.figure for target in row.targets} <= set(report.FIGURES)
    assert {target.peer for target in row.targets} - {None} <= set(row.subjects)


def test_peers_have_doors() -> None:
    assert all(set(peer.doors) <= set(DOORS) and peer.doors for peer in peers().values())


# What it runs on.


def test_the_cpu_of_children_counts_while_they_run_and_after(tmp_path: Path) -> None:
    burn = "import os, sys\nwhile sum(os.times()[:2]) < 0.3: pass\nprint('done', flush=True)\n"
    stay = "import signal; signal.pause()"
    parent = "import subprocess, sys\n"
    for script in (burn, burn + stay):
        parent += f"subprocess.run([sys.executable, '-c', {script!r}])\n"
    child = Child(Command([sys.executable, "-c", parent]), tmp_path, LOAD_CORES)
    try:
        machine.until(lambda: child.log.count("done") == 2, child.log)
        assert child.cpu() >= 0.5  # both, less a tick or two
        assert child.memory() > 1 << 20
    finally:
        child.stop()


def test_a_program_that_ends_is_told_with_what_it_said(tmp_path: Path) -> None:
    child = Child(Command(["sh", "-c", "echo no such directive"]), tmp_path, LOAD_CORES)
    with pytest.raises(Invalid, match="no such directive"):
        machine.until(lambda: child.check() is not None, "it did not end")


def test_the_relay_carries_every_byte(tmp_path: Path) -> None:
    need("nginx", "cc")
    origin = Origin(tmp_path / "origin")
    folder = tmp_path / "relay"
    folder.mkdir()
    port = machine.free_port()
    relay = [machine.compiled("blind_relay.c"), str(port), str(origin.port)]
    child = Child(Command(relay), folder, LOAD_CORES)
    try:
        machine.until(lambda: machine.takes_connections(port), "the relay does not start")
        for name in ("1k", "100k", "4m", "100m"):
            load.probe(Ask(port, f"/fresh/{name}", SIZES[name]))
        child.check()
    finally:
        child.stop()
        origin.close()


def test_no_two_heads_are_the_same() -> None:
    need("wrk")
    heads: list[tuple[str, str]] = []
    kinds: set[tuple[str, ...]] = set()
    body = b"x" * 10

    class Recording(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if "item=" in self.path:
                heads.append((self.path, str(self.headers)))
                kinds.add(tuple(self.headers.keys()))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """wrk ends in the middle of its last requests."""

    with Server(("127.0.0.1", 0), Recording) as server:
        threading.Thread(target=server.serve_forever).start()
        ask = Ask(server.server_address[1], "/fresh/1k", len(body))
        load.wrk(ask, 1, {"heads": HERE / "heads.lua"})
        server.shutdown()
    assert len(set(heads)) == len(heads)
    assert len(kinds) == 10
    assert all(12 <= len(kind) <= 20 for kind in kinds), sorted(map(len, kinds))


def test_all_of_it_runs(tmp_path: Path) -> None:
    """The smoke run: every row with twistproxy alone; how fast is of no interest."""
    need("nginx", "wrk", "cc")
    files = tmp_path / "found.json", tmp_path / "found.svg"
    command = [sys.executable, "-m", "bench", "--smoke"]
    command += ["--json", str(files[0]), "--svg", str(files[1])]
    run = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    found = json.loads(files[0].read_text())
    assert [row["name"] for row in found["rows"]] == [row.name for row in ROWS]
    for row in found["rows"]:
        assert row["failures"] == {}
        [figures] = row["medians"].values()
        assert set(row["figures"]) <= set(figures)
        assert row["title"] in run.stdout
        assert row["title"] in files[1].read_text()
