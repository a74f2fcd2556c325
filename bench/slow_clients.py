"""Question: how long does a normal client wait beside 2,000 that send or read a byte at a time?

A thousand connections send a request's head one byte a second, a thousand read a large answer
one byte a second; beside them one client asks for 1 KB over a kept connection, as fast as it is
answered. Runs on loopback for ten seconds a row, and ends what it started.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CONFIG = """
[forward]
listen = ["tcp:{forward}:interface=127.0.0.1"]
allow_private = ["127.0.0.0/8"]
[reverse]
listen = ["tcp:{reverse}:interface=127.0.0.1"]
[[reverse.route]]
pool = "origin"
[pools.origin]
servers = ["http://127.0.0.1:{origin}"]
[limits]
per_client = 5000
[timeouts]
head = "60s"
drain = "100ms"
[log]
access = {{ file = "access.log" }}
"""
SMALL = b"x" * 1024
LARGE = 4 << 20
SETTLE = 15.0  # seconds


async def origin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers /small and /large, neither to be stored."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            size = LARGE if b"/large" in head else len(SMALL)
            writer.write(b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\n")
            writer.write(b"Content-Length: %d\r\n\r\n" % size)
            for _ in range(size // len(SMALL)):
                writer.write(SMALL)
                await writer.drain()
    writer.close()


async def slow_sender(port: int) -> None:
    """A head that never ends, a byte a second."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    for byte in b"GET /small HTTP/1.1\r\nHost: bench.example\r\nX-Slow: " + b"a" * 100:
        writer.write(bytes([byte]))
        await asyncio.sleep(1)


async def slow_reader(port: int) -> None:
    """A large answer, a byte a second."""
    loop = asyncio.get_running_loop()
    with socket.socket() as sock:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await loop.sock_connect(sock, ("127.0.0.1", port))
        await loop.sock_sendall(sock, b"GET /large HTTP/1.1\r\nHost: bench.example\r\n\r\n")
        while await loop.sock_recv(sock, 1):
            await asyncio.sleep(1)


async def normal_client(port: int, seconds: float) -> list[float]:
    """The time of each request, in seconds; every answer is checked."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    times: list[float] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        begun = time.monotonic()
        writer.write(b"GET /small HTTP/1.1\r\nHost: bench.example\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(len(SMALL))
        if not head.startswith(b"HTTP/1.1 200 ") or body != SMALL:
            sys.exit(f"a wrong answer: {head!r}")
        times.append(time.monotonic() - begun)
    writer.close()
    return times


async def measure(port: int, slow: int, seconds: float) -> list[float]:
    tasks = [asyncio.create_task(slow_sender(port)) for _ in range(slow // 2)]
    tasks += [asyncio.create_task(slow_reader(port)) for _ in range(slow // 2)]
    # Until all are there, and the kernel's buffers are full of what nobody reads.
    await asyncio.sleep(SETTLE if slow else 1)
    times = await normal_client(port, seconds)
    alive = sum(not task.done() for task in tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    if alive < slow:
        sys.exit(f"only {alive} of {slow} slow connections were left at the end")
    return times


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def until_it_listens(port: int) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.05)
    sys.exit("the proxy did not start")


async def row(reactor: str, slow: int, seconds: float) -> None:
    ports = {name: free_port() for name in ("forward", "reverse", "origin")}
    server = await asyncio.start_server(origin, "127.0.0.1", ports["origin"], backlog=4096)
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "twistproxy.toml")
        config.write_text(CONFIG.format(**ports))
        chosen = [] if reactor == "uvloop" else [f"--reactor={reactor}"]
        command = [str(Path(sys.executable).with_name("twistd")), *chosen, "-n", "--pidfile="]
        with Path(folder, "log").open("wb") as log:
            proxy = subprocess.Popen(
                [*command, "twistproxy", "--config", str(config)], stdout=log, stderr=log
            )
        try:
            await until_it_listens(ports["reverse"])
            times = await measure(ports["reverse"], slow, seconds)
        finally:
            proxy.send_signal(signal.SIGTERM)
            await asyncio.to_thread(proxy.wait, 30)
            server.close()
    centiles = statistics.quantiles(times, n=100)
    print(
        f"{reactor:8} {slow:6} {len(times):9} {centiles[49] * 1e3:9.2f}"
        f" {centiles[98] * 1e3:9.2f} {max(times) * 1e3:9.2f}",
        flush=True,
    )


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--slow", type=int, default=2000)
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print(f"{os.cpu_count()} cores; milliseconds")
    print("reactor    slow  requests       p50       p99       max")
    for reactor in ("uvloop", "epoll"):
        for slow in (0, options.slow):
            await row(reactor, slow, options.seconds)


if __name__ == "__main__":
    asyncio.run(main())
