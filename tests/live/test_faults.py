"""Servers that die under load, and thousands of connections that do a byte at a time."""

from __future__ import annotations

import asyncio
import selectors
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable

from clients import Client, get
from conftest import Start
from origins import Nginx, Recording, Scripted, Talk
from program import Program, free_port

CONFIG = """
[reverse]
listen = ["tcp:$reverse:interface=127.0.0.1"]

[[reverse.route]]
pool = "pair"

[pools.pair]
servers = ["http://127.0.0.1:$one", "http://127.0.0.1:$other"]
"""


class Load:
    """Clients that ask one request after another; counts what comes, "hung" being one of it."""

    def __init__(self, port: int, clients: int, seconds: float) -> None:
        self.port = port
        self.clients = clients
        self.seconds = seconds
        self.outcomes: Counter[str] = Counter()

    def run(self) -> Counter[str]:
        asyncio.run(self._run())
        return self.outcomes

    async def _run(self) -> None:
        end = time.monotonic() + self.seconds
        async with asyncio.TaskGroup() as group:
            for number in range(self.clients):
                group.create_task(self._client(number, end))

    async def _client(self, number: int, end: float) -> None:
        method = ("GET", "HEAD")[number % 2]
        request = f"{method} /who HTTP/1.1\r\nHost: a.example\r\n\r\n".encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        while time.monotonic() < end:
            writer.write(request)
            try:
                self.outcomes[await asyncio.wait_for(self._outcome(reader, method), 15)] += 1
            except TimeoutError:
                self.outcomes["hung"] += 1
                break
            except (asyncio.IncompleteReadError, ConnectionError) as broken:
                self.outcomes[type(broken).__name__] += 1
                break
            await asyncio.sleep(0.1)
        writer.close()

    async def _outcome(self, reader: asyncio.StreamReader, method: str) -> str:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        if method != "HEAD":
            await reader.readexactly(int(head.split("content-length:")[1].split()[0]))
        return head.split()[1]


def test_a_server_that_dies_and_returns_costs_no_request(
    start: Start, make_nginx: Callable[[str], Nginx]
) -> None:
    one, other = make_nginx("one"), make_nginx("other")
    proxy = start(CONFIG, one=one.port, other=other.port)
    load = Load(proxy.reverse, clients=200, seconds=10)
    thread = threading.Thread(target=load.run)
    thread.start()
    # Six deaths while the load runs; the server is away for a while each time.
    for _ in range(6):
        time.sleep(0.8)
        other.kill()
        time.sleep(0.5)
        other.start()
    thread.join()
    assert set(load.outcomes) == {"200"}, load.outcomes
    assert load.outcomes["200"] >= 2000


def test_both_servers_work_again_when_they_are_back(
    start: Start, make_nginx: Callable[[str], Nginx]
) -> None:
    one, other = make_nginx("one"), make_nginx("other")
    proxy = start(CONFIG, one=one.port, other=other.port)
    other.kill()
    assert {get(proxy.reverse, "/who").body for _ in range(6)} == {b"one"}
    other.start()
    end = time.monotonic() + 30
    while get(proxy.reverse, "/who").body != b"other":
        assert time.monotonic() < end, "a server that is back is not asked"
        time.sleep(0.1)


def test_no_server_lives(start: Start) -> None:
    proxy = start(CONFIG, one=free_port(), other=free_port())
    for _ in range(5):
        assert get(proxy.reverse, "/who").status in {502, 503}


def test_a_server_that_dies_within_its_answer(
    start: Start, make_nginx: Callable[[str], Nginx], scripted: Callable[..., Scripted]
) -> None:
    def half(talk: Talk) -> None:
        talk.head()
        talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"a" * 50000)
        talk.reset()

    proxy = start(CONFIG, one=scripted(half).port, other=scripted(half).port)
    # Never a whole-looking answer; when no byte had gone to the client yet, an error is right.
    for _ in range(5):
        reply = get(proxy.reverse, "/who")
        assert not reply.complete or reply.status == 502


SLOW = """
[reverse]
listen = ["tcp:$reverse:interface=127.0.0.1"]

[[reverse.route]]
pool = "nginx"

[pools.nginx]
servers = ["http://127.0.0.1:$nginx"]

[timeouts]
head = "2m"
drain = "1s"

[limits]
per_client = 5000
"""
HEAD = b"GET /fresh/slow HTTP/1.1\r\nHost: a.example\r\nX-Long: %b\r\n\r\n" % (b"a" * 4000)


class Crowd(threading.Thread):
    """Connections that send a head, or read an answer, one byte at a time, in turns."""

    def __init__(self, port: int, size: int) -> None:
        super().__init__(daemon=True)
        self.stopped = threading.Event()
        self.lost = 0
        self.turns = 0
        self.senders = [self._connect(port) for _ in range(size // 2)]
        self.readers = [self._connect(port) for _ in range(size - size // 2)]
        for reader in self.readers:
            reader.send(b"GET /fresh/large HTTP/1.1\r\nHost: a.example\r\n\r\n")

    def _connect(self, port: int) -> socket.socket:
        connection = socket.socket()
        # Small, so that the answer is not all in our own kernel at once.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", port))
        connection.setblocking(False)
        return connection

    def run(self) -> None:
        place = 0
        while not self.stopped.is_set():
            for sender in self.senders:
                try:
                    sender.send(HEAD[place : place + 1])
                except OSError:
                    self.lost += 1
            for reader in self.readers:
                try:
                    self.lost += reader.recv(1) == b""
                except BlockingIOError:
                    pass
                except OSError:
                    self.lost += 1
            place += 1
            self.turns += 1
            self.stopped.wait(0.2)

    def stop(self) -> None:
        self.stopped.set()
        self.join()
        for connection in self.senders + self.readers:
            connection.close()


def test_2000_connections_of_a_byte_at_a_time_disturb_nobody(start: Start, nginx: Nginx) -> None:
    nginx.put("/fresh/large", bytes(4 << 20))
    nginx.put("/fresh/small", b"served")
    proxy = start(SLOW, nginx=nginx.port)
    crowd = Crowd(proxy.reverse, 2000)
    crowd.start()
    try:
        # The first ones wait while a thousand answers fill what the kernel buffers.
        assert get(proxy.reverse, "/fresh/small").status == 200
        end = time.monotonic() + 10
        asked = 0
        with Client(proxy.reverse) as normal:
            while time.monotonic() < end:
                reply = normal.ask(b"GET /fresh/small HTTP/1.1\r\nHost: a.example\r\n\r\n")
                assert (reply.status, reply.body) == (200, b"served")
                assert get(proxy.reverse, "/fresh/small").body == b"served"
                asked += 1
                time.sleep(0.02)
        assert asked >= 20
    finally:
        crowd.stop()
    assert crowd.turns >= 5, "the crowd did not get its turns: nothing was shown"
    assert crowd.lost == 0
    assert proxy.memory() < 1 << 30


SHORT = """
[reverse]
listen = ["tcp:$reverse:interface=127.0.0.1"]

[[reverse.route]]
pool = "origin"
retries = 0

[pools.origin]
servers = ["http://127.0.0.1:$origin"]

[timeouts]
head = "1s"
body = "1s"
keepalive = "1s"
server = "1s"
drain = "1s"
"""


def silent(talk: Talk) -> None:
    talk.head()
    time.sleep(8)


def stalls(talk: Talk) -> None:
    talk.head()
    talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
    time.sleep(8)


def never_reads(talk: Talk) -> None:
    time.sleep(8)


def proxy_of(start: Start, origin: Scripted) -> Program:
    return start(SHORT, origin=origin.port)


def test_a_silent_server_is_504(start: Start, scripted: Callable[..., Scripted]) -> None:
    assert get(proxy_of(start, scripted(silent)).reverse, "/").status == 504


def test_a_server_that_stalls_is_cut_off(start: Start, scripted: Callable[..., Scripted]) -> None:
    with Client(proxy_of(start, scripted(stalls)).reverse, timeout=6) as client:
        reply = client.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert not reply.complete or reply.status == 504


def test_a_server_that_does_not_read_is_504(
    start: Start, scripted: Callable[..., Scripted]
) -> None:
    proxy = proxy_of(start, scripted(never_reads))
    with Client(proxy.reverse, timeout=6) as client:
        head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n"
        client.send(head)
        client.socket.setblocking(False)
        sent, selector = 0, selectors.DefaultSelector()
        selector.register(client.socket, selectors.EVENT_READ | selectors.EVENT_WRITE)
        while not any(events & selectors.EVENT_READ for _, events in selector.select(6)):
            try:
                sent += client.socket.send(bytes(1 << 16))
            except BlockingIOError:
                continue
            assert sent < 50_000_000
        selector.close()
        client.socket.settimeout(6)
        assert client.reply("POST").status == 504


def test_a_client_that_stops_is_ended(start: Start, recording: Recording) -> None:
    """Within a head: 408. Before it began, or within a body: 408 or a close."""
    proxy = start(SHORT, origin=recording.port)
    with Client(proxy.reverse, timeout=6) as client:
        client.send(b"GET / HTTP/1.1\r\nHost:")
        assert client.reply().status == 408
        assert client.rest() == b""
    with Client(proxy.reverse, timeout=6) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc")
        assert client.reply("POST").status in {408, 0}
        assert client.rest() == b""
    with Client(proxy.reverse, timeout=6) as client:
        assert client.ask(b"GET /who HTTP/1.1\r\nHost: a\r\n\r\n").status == 200
        assert client.closed()


def test_a_head_that_trickles_is_ended_by_its_total(start: Start, nginx: Nginx) -> None:
    proxy = start(SHORT, origin=nginx.port)
    with Client(proxy.reverse, timeout=6) as client:
        began = time.monotonic()
        for i in range(len(HEAD)):
            client.send(HEAD[i : i + 1])
            client.socket.settimeout(0.1)
            try:
                client.unread += client.socket.recv(1 << 16)
                break
            except TimeoutError:
                assert time.monotonic() - began < 6, "a head may trickle on"
        client.socket.settimeout(6)
        assert client.reply().status == 408


def test_a_client_that_does_not_read_is_ended(
    start: Start, scripted: Callable[..., Scripted]
) -> None:
    ended = threading.Event()

    def endless(talk: Talk) -> None:
        talk.head()
        talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        try:
            while True:
                talk.send(bytes(1 << 20))
        finally:
            ended.set()

    proxy = start(SHORT, origin=scripted(endless).port)
    with Client(proxy.reverse) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert ended.wait(10), "the server still sends to a client that does not read"


def test_connections_beyond_the_limit_are_refused(start: Start, nginx: Nginx) -> None:
    proxy = start(SLOW.replace("per_client = 5000", "per_client = 4"), nginx=nginx.port)
    ask = b"GET /who HTTP/1.1\r\nHost: a\r\n\r\n"
    clients = [Client(proxy.reverse, timeout=5) for _ in range(4)]
    assert [client.ask(ask).status for client in clients] == [200] * 4
    with Client(proxy.reverse, timeout=5) as more:
        assert more.ask(ask).status in {429, 503, 0}
    with Client(proxy.reverse, source="127.0.0.2", timeout=5) as another:
        assert another.ask(ask).status == 200
    for client in clients:
        client.socket.close()
