"""Bodies stream: a gibibyte that can't be kept passes through a few mebibytes of memory."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from certificates import Authority
from clients import Client
from conftest import Start
from origins import Scripted, Talk
from program import Program

CONFIG = """
[forward]
listen = ["tcp:$forward:interface=127.0.0.1"]
allow_private = ["127.0.0.0/8"]
connect_ports = "any"

[reverse]
listen = ["tcp:$reverse:interface=127.0.0.1"]
tls_listen = ["tcp:$tls:interface=127.0.0.1"]

[[reverse.tls]]
hosts = ["localhost"]
cert = "$cert"
key = "$key"

[[reverse.route]]
pool = "all"

[pools.all]
servers = ["http://127.0.0.1:$origin"]
"""
GIBIBYTE = 1 << 30
BOUND = 16 << 20
PIECE = bytes(1 << 20)
#: Before it reads on, long enough for whoever does not stop to fill its memory.
STALL = 2.0


class Slow:
    """A server that reads or sends a body of the size it is asked for: GET and POST /SIZE."""

    def __init__(self) -> None:
        self.got = 0

    def __call__(self, talk: Talk) -> None:
        while True:
            method, path, *_ = talk.head().split(b" ")
            size = int(path[1:])
            if method == b"POST":
                self._read(talk, size)
                talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            else:
                head = b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: %d\r\n\r\n"
                talk.send(head % size)
                send_zeros(talk.send, size)

    def _read(self, talk: Talk, size: int) -> None:
        if size == GIBIBYTE:
            time.sleep(STALL)
        self.got = 0
        while self.got < size:
            data = talk.socket.recv(min(1 << 20, size - self.got)) if self.got else talk.read()
            assert data
            self.got += len(data)


def send_zeros(send: Callable[[bytes], object], size: int) -> None:
    while size:
        piece = PIECE[:size]
        send(piece)
        size -= len(piece)


def download(client: Client, head: bytes, size: int) -> None:
    client.send(head)
    if size == GIBIBYTE:
        time.sleep(STALL)
    while b"\r\n\r\n" not in client.unread:
        client.unread += client.socket.recv(1 << 16)
    left = size - len(client.unread.partition(b"\r\n\r\n")[2])
    client.unread = b""
    while left:
        data = client.socket.recv(min(1 << 20, left))
        assert data, f"{left} bytes are missing"
        left -= len(data)


def upload(client: Client, head: bytes, size: int) -> None:
    client.socket.sendall(head)
    send_zeros(client.socket.sendall, size)
    assert client.reply("POST").status == 200


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
def proxy(
    start: Start, scripted: Callable[..., Scripted], slow: Slow, authority: Authority
) -> Program:
    cert, key = authority.issue("localhost")
    return start(CONFIG, origin=scripted(slow).port, cert=cert, key=key)


def growth(proxy: Program, transfer: Callable[[int], None]) -> int:
    """By how much the peak of a gibibyte's transfer exceeds what it held after a small one."""
    for _ in range(3):
        transfer(8 << 20)
    before = proxy.memory()
    proxy.forget_peak()
    transfer(GIBIBYTE)
    return proxy.memory("VmHWM") - before


@pytest.mark.parametrize("side", ["forward", "reverse"])
@pytest.mark.parametrize("direction", ["download", "upload"])
def test_a_gibibyte_passes(proxy: Program, side: str, direction: str) -> None:
    origin = f"127.0.0.1:{proxy.names['origin']}"

    def transfer(size: int) -> None:
        url = f"http://{origin}/{size}" if side == "forward" else f"/{size}"
        with Client(getattr(proxy, side), timeout=60) as client:
            if direction == "download":
                head = f"GET {url} HTTP/1.1\r\nHost: {origin}\r\n\r\n"
                download(client, head.encode(), size)
            else:
                head = f"POST {url} HTTP/1.1\r\nHost: {origin}\r\nContent-Length: {size}\r\n\r\n"
                upload(client, head.encode(), size)

    assert growth(proxy, transfer) < BOUND


@pytest.mark.parametrize("direction", ["download", "upload"])
def test_a_gibibyte_passes_over_tls(proxy: Program, authority: Authority, direction: str) -> None:
    context = authority.client_context()

    def transfer(size: int) -> None:
        with Client(proxy.tls, tls=context, server_name="localhost", timeout=60) as client:
            if direction == "download":
                download(client, f"GET /{size} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(), size)
            else:
                head = f"POST /{size} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\n"
                upload(client, head.encode(), size)

    assert growth(proxy, transfer) < BOUND


def test_a_gibibyte_passes_a_tunnel(proxy: Program) -> None:
    origin = f"127.0.0.1:{proxy.names['origin']}"

    def transfer(size: int) -> None:
        with Client(proxy.forward, timeout=60) as client:
            head = f"CONNECT {origin} HTTP/1.1\r\nHost: {origin}\r\n\r\n"
            assert client.ask(head.encode()).status == 200
            download(client, f"GET /{size} HTTP/1.1\r\nHost: a\r\n\r\n".encode(), size)

    assert growth(proxy, transfer) < BOUND


def test_a_client_that_leaves_in_the_middle(proxy: Program) -> None:
    origin = f"127.0.0.1:{proxy.names['origin']}"
    for _ in range(5):
        with Client(proxy.reverse) as client:
            client.send(f"GET /{GIBIBYTE} HTTP/1.1\r\nHost: {origin}\r\n\r\n".encode())
            client.read(1 << 20)
    with Client(proxy.reverse) as client:
        download(client, f"GET /9 HTTP/1.1\r\nHost: {origin}\r\n\r\n".encode(), 9)
