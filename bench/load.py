"""Who asks: wrk, and small clients of our own for what it can't do. Only good answers count.

A load that met anything but a 200 with a body of the right length raises Invalid. wrk does not
show us the bodies: it counts statuses and broken connections, and the sum of its bytes is held
against the size of an answer that was looked at. Our own clients look at every answer.
"""

from __future__ import annotations

import json
import socket
import ssl
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse

from bench.machine import HERE, Invalid, compiled, program

CONNECTIONS = 16
#: Bytes by which heads of answers may differ (Age, Date, request ids).
SLACK = 64


@dataclass(frozen=True)
class Load:
    """What a load found. Times in seconds; bytes: of bodies, where they are what counts."""

    answers: int
    seconds: float
    p50: float
    p99: float
    worst: float
    bytes: int = 0


@dataclass(frozen=True)
class Ask:
    """One request: where it goes, for what, and how long the body of the answer is."""

    port: int
    target: str
    size: int
    tls: bool = False

    @property
    def url(self) -> str:
        """The door's; wrk needs it even where the target is another."""
        path = self.target if self.target.startswith("/") else "/"
        return f"{'https' if self.tls else 'http'}://localhost:{self.port}{path}"

    @property
    def context(self) -> ssl.SSLContext | None:
        return client_context() if self.tls else None

    def request(self, *fields: str) -> bytes:
        lines = [f"GET {self.target} HTTP/1.1", f"Host: localhost:{self.port}", *fields]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


def client_context() -> ssl.SSLContext:
    """TLS 1.3, and no look at who it is: the certificate was made a moment ago."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def summary(times: Sequence[float], seconds: float) -> Load:
    """The Load of answers that took `times`."""
    if len(times) < 2:
        raise Invalid(f"{len(times)} answers in {seconds:.1f} s")
    centiles = statistics.quantiles(times, n=100, method="inclusive")
    return Load(len(times), seconds, centiles[49], centiles[98], max(times))


# One answer, looked at.


def read_answer(sock: socket.socket, size: int) -> int:
    """A whole answer; the bytes it had. Raises Invalid if it isn't a 200 with `size` bytes."""
    response = HTTPResponse(sock)
    try:
        response.begin()
        got = 0
        while part := response.read(1 << 18):
            got += len(part)
    except (HTTPException, OSError) as error:
        raise Invalid(f"not an answer: {error!r}") from error
    if response.status != 200 or got != size:
        raise Invalid(f"an answer {response.status} with {got} bytes, not {size}")
    fields = sum(len(name) + len(value) + 4 for name, value in response.getheaders())
    return len(f"HTTP/1.1 200 {response.reason}\r\n\r\n") + fields + got


def probe(ask: Ask) -> int:
    """Ask once, over a connection of its own. Bytes of the answer; raises Invalid."""
    try:
        with socket.create_connection(("127.0.0.1", ask.port), timeout=10) as plain:
            tls = ask.context
            sock = tls.wrap_socket(plain, server_hostname="localhost") if tls else plain
            sock.sendall(ask.request())
            return read_answer(sock, ask.size)
    except OSError as error:
        raise Invalid(f"no answer: {error!r}") from error


# wrk


def wrk(ask: Ask, seconds: float, choices: Mapping[str, object] | None = None) -> Load:
    """As fast as it is answered. choices: what wrk.lua takes."""
    expected = probe(ask)
    arguments = [program("wrk"), "--threads=1", f"--connections={CONNECTIONS}"]
    arguments += [f"--duration={max(1, round(seconds))}s", "--timeout=10s"]
    arguments += [f"--script={HERE / 'wrk.lua'}", ask.url, "--", f"target={ask.target}"]
    arguments += [f"{name}={value}" for name, value in (choices or {}).items()]
    run = subprocess.run(arguments, capture_output=True, text=True)
    if run.returncode:
        raise Invalid(f"wrk: {run.stdout[-500:]}{run.stderr[-500:]}")
    return read_wrk(run.stdout, expected)


def read_wrk(output: str, expected: int) -> Load:
    """wrk's last line as a Load. Raises Invalid if an answer was bad, or shorter than expected."""
    told = json.loads(output.splitlines()[-1])
    errors = {name: count for name, count in told["errors"].items() if count}
    answers = told["answers"]
    if errors or not answers:
        raise Invalid(f"wrk: {answers} answers, errors {errors}")
    # Each connection may be in the middle of an answer at the end.
    if abs(told["bytes"] - answers * expected) > answers * SLACK + CONNECTIONS * expected:
        mean = told["bytes"] / answers
        raise Invalid(f"wrk: answers of {mean:.0f} bytes on average, not {expected}")
    return Load(answers, told["seconds"], told["p50"], told["p99"], told["worst"])


# Clients that come, ask once and go.


def tunnels(ask: Ask, connect: int | None, seconds: float, threads: int) -> Load:
    """A new connection each time; a tunnel in it, if `connect`, which is the server's port."""
    arguments = [compiled("visits.c"), ask.port, ask.target, ask.size, seconds, threads]
    if connect is not None:
        arguments.append(connect)
    run = subprocess.run(list(map(str, arguments)), capture_output=True, text=True)
    if run.returncode:
        raise Invalid(f"visits: {run.stderr[-500:]}")
    told = json.loads(run.stdout)
    times = told["p50"], told["p99"], told["worst"]
    return Load(told["answers"], told["seconds"], *times, bytes=int(told["bytes"]))


def handshakes(ask: Ask, seconds: float, threads: int = 4) -> Load:
    """A new connection, a full handshake and a request, each time; no session is resumed."""
    context = client_context()
    request = ask.request("Connection: close")
    begun = time.monotonic()
    times: list[float] = []

    def visit() -> None:
        with (
            socket.create_connection(("127.0.0.1", ask.port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as sock,
        ):
            sock.sendall(request)
            read_answer(sock, ask.size)
            if sock.session_reused:
                raise Invalid("a session was resumed")

    def come_and_go(_: int) -> None:
        while (start := time.monotonic()) < begun + seconds:
            visit()
            times.append(time.monotonic() - start)

    with ThreadPoolExecutor(threads) as pool:
        try:
            list(pool.map(come_and_go, range(threads)))
        except OSError as error:
            raise Invalid(f"a visit failed: {error!r}") from error
    return summary(times, time.monotonic() - begun)
