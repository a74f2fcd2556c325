"""Tunnels that carry much: in the kernel where they can be, and whole wherever they are."""

from __future__ import annotations

import json
import os
import select
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from certificates import Authority
from clients import Client
from conftest import Keep, Start
from origins import Scripted, Talk
from program import PATIENCE, Program, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="no splice(2)")

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
UP = b"".join(b"%015d\n" % i for i in range(1_500_000))  # 24 MB that tell where they belong
DOWN = UP[::-1]
#: What may pass before the kernel takes over: each side's first 256 KiB, and what was read then.
BEFORE = 2_000_000
UPGRADE = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: bulk\r\n\r\n"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: bulk\r\n\r\n"


class Bulk:
    """A server that sends and reads at once.

    how: "reset" to do that after half of it, "stay" to be the last to close.
    """

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.resets: list[bool] = []
        self.how = ""

    def __call__(self, talk: Talk) -> None:
        if self.how == "reset":
            talk.send(DOWN[: len(DOWN) // 2])
            talk.reset()
            return
        sending = threading.Thread(target=self._send, args=[talk])
        sending.start()
        pieces = []
        try:
            while data := talk.read(1 << 18):
                talk.record.clear()
                pieces.append(data)
            self.resets.append(False)
        except ConnectionResetError:
            self.resets.append(True)
        sending.join()
        self.got.append(b"".join(pieces))

    def upgraded(self, talk: Talk) -> None:
        talk.head()
        talk.send(SWITCHED)
        self(talk)

    def _send(self, talk: Talk) -> None:
        try:
            talk.send(DOWN)
            if self.how != "stay":
                talk.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the client's reset, which the reader tells


@pytest.fixture(scope="module")
def bulk() -> Bulk:
    return Bulk()


@pytest.fixture(autouse=True)
def _as_usual(bulk: Bulk) -> None:
    bulk.how = ""
    bulk.got.clear()
    bulk.resets.clear()


@pytest.fixture(scope="module")
def origin(keep: Keep[Scripted], bulk: Bulk) -> Scripted:
    """For CONNECT."""
    return keep(Scripted(bulk))


@pytest.fixture(scope="module")
def upgrading(keep: Keep[Scripted], bulk: Bulk) -> Scripted:
    return keep(Scripted(bulk.upgraded))


@pytest.fixture(scope="module")
def proxy(start_shared: Start, upgrading: Scripted, authority: Authority) -> Program:
    cert, key = authority.issue("localhost")
    return start_shared(CONFIG, origin=upgrading.port, cert=cert, key=key)


def by_connect(proxy: Program, origin: Scripted, authority: Authority) -> Client:
    client = Client(proxy.forward)
    target = b"127.0.0.1:%d" % origin.port
    assert client.ask(b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (target, target)).status == 200
    return client


def by_upgrade(proxy: Program, origin: Scripted, authority: Authority) -> Client:
    client = Client(proxy.reverse)
    assert client.ask(UPGRADE).status == 101
    return client


def by_upgrade_over_tls(proxy: Program, origin: Scripted, authority: Authority) -> Client:
    context = authority.client_context()
    client = Client(proxy.tls, tls=context, server_name="localhost")
    assert client.ask(UPGRADE).status == 101
    return client


Open = Callable[[Program, Scripted, Authority], Client]
PLAIN = pytest.mark.parametrize("connect", [by_connect, by_upgrade])


def snapshot(proxy: Program) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(proxy.folder / "var/admin.sock"))
        client.sendall(b"GET /snapshot HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n")
        answer = b""
        while data := client.recv(1 << 16):
            answer += data
    found: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return found["splice"]  # type: ignore[no-any-return]


def exchange(client: Client) -> bytes:
    """Send all and read all, at once."""

    def send() -> None:
        client.socket.sendall(UP)
        client.end_sending()

    sending = threading.Thread(target=send)
    sending.start()
    got = client.rest()
    sending.join()
    return got


def exchange_over_tls(client: Client) -> bytes:
    """The same in one thread: two of them must not use one TLS connection at once."""
    client.socket.setblocking(False)
    unsent, got = memoryview(UP), [client.unread]
    missing = len(DOWN) - len(client.unread)
    while unsent or missing:
        reads, writes = [client.socket] if missing else [], [client.socket] if unsent else []
        assert any(select.select(reads, writes, [], PATIENCE)), "nothing passes any more"
        if unsent:
            with suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
                unsent = unsent[client.socket.send(unsent[: 1 << 14]) :]
        with suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
            while missing:
                got.append(client.socket.recv(1 << 16))
                missing = missing - len(got[-1]) if got[-1] else 0
    return b"".join(got)


@PLAIN
def test_bulk_both_ways_at_once_is_the_kernels(
    proxy: Program, origin: Scripted, bulk: Bulk, authority: Authority, connect: Open
) -> None:
    before = snapshot(proxy)
    with connect(proxy, origin, authority) as client:
        assert exchange(client) == DOWN
        until(lambda: bulk.got)
    assert bulk.got == [UP]
    until(lambda: snapshot(proxy)["now"] == 0)
    after = snapshot(proxy)
    assert after["spliced"] - before["spliced"] > len(UP) + len(DOWN) - BEFORE
    assert after["copied"] - before["copied"] <= 2 * 65536  # reads of the turn it was joined in
    assert after["pipes"] == after["idle_pipes"]


def test_bulk_over_tls_is_whole_too(
    proxy: Program, origin: Scripted, bulk: Bulk, authority: Authority
) -> None:
    bulk.how = "stay"  # over TLS nobody closes half of a connection
    before = snapshot(proxy)
    with by_upgrade_over_tls(proxy, origin, authority) as client:
        assert exchange_over_tls(client) == DOWN
    until(lambda: bulk.got)
    assert bulk.got == [UP]
    assert snapshot(proxy)["spliced"] == before["spliced"]


@PLAIN
def test_the_access_log_counts_every_byte(
    proxy: Program, origin: Scripted, bulk: Bulk, authority: Authority, connect: Open
) -> None:
    rows = {"bytes_in": len(UP), "bytes_out": len(DOWN)}
    known = len(_rows(proxy, rows))
    with connect(proxy, origin, authority) as client:
        assert exchange(client) == DOWN
    until(lambda: len(_rows(proxy, rows)) > known)


def _rows(proxy: Program, wanted: dict[str, int]) -> list[dict[str, Any]]:
    file = proxy.folder / "access.log"
    texts = file.read_text().split("\n")[:-1] if file.exists() else []
    rows: list[dict[str, Any]] = [json.loads(text) for text in texts]
    return [row for row in rows if all(row.get(key) == value for key, value in wanted.items())]


@PLAIN
def test_a_reset_by_the_client_is_one_for_the_server(
    proxy: Program, origin: Scripted, bulk: Bulk, authority: Authority, connect: Open
) -> None:
    with connect(proxy, origin, authority) as client:
        assert client.read(len(DOWN)) == DOWN
        client.send(UP[:1_000_000])
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    until(lambda: bulk.got)
    assert bulk.resets == [True]
    assert UP.startswith(bulk.got[0])


@PLAIN
def test_a_reset_by_the_server_is_one_for_the_client(
    proxy: Program, origin: Scripted, bulk: Bulk, authority: Authority, connect: Open
) -> None:
    bulk.how = "reset"
    with connect(proxy, origin, authority) as client:
        client.read(1)
        got, data = b"", DOWN[:1] + client.unread
        reset = False
        while data and not reset:
            got += data
            try:
                data = client.socket.recv(1 << 18)
            except ConnectionResetError:
                reset = True
    assert reset
    assert DOWN.startswith(got)


def test_many_tunnels_that_end_in_every_way_leave_no_file_open(
    proxy: Program, origin: Scripted, bulk: Bulk, authority: Authority
) -> None:
    def files() -> int:
        return len(os.listdir(f"/proc/{proxy.process.pid}/fd"))

    def round_of_all() -> None:
        for connect in (by_connect, by_upgrade):
            for how in ("leave", "reset", "half", "server"):
                bulk.how = "reset" if how == "server" else ""
                with connect(proxy, origin, authority) as client:
                    client.read(1_000_000)
                    if how == "half":
                        client.end_sending()
                        client.rest()
                    elif how == "reset":
                        client.socket.setsockopt(
                            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                        )

    round_of_all()
    until(lambda: snapshot(proxy)["now"] == 0)
    before = snapshot(proxy)["pipes"], files()
    for _ in range(5):
        round_of_all()
    until(lambda: snapshot(proxy)["now"] == 0)
    pipes = 2 * max(0, snapshot(proxy)["pipes"] - before[0])
    until(lambda: files() <= before[1] + pipes)


def test_the_program_ends_while_tunnels_are_open(
    start: Start, origin: Scripted, upgrading: Scripted, authority: Authority
) -> None:
    cert, key = authority.issue("localhost")
    proxy = start(CONFIG, origin=upgrading.port, cert=cert, key=key)
    clients = [connect(proxy, origin, authority) for connect in (by_connect, by_upgrade)]
    for client in clients:
        client.read(1_000_000)
    until(lambda: snapshot(proxy)["now"] == 2)
    assert proxy.stop() == 0
    for client in clients:
        client.rest()
        client.socket.close()
