"""What a request costs, counted instead of timed: on the way that nearly all of them take there is
no Deferred, no timer, no log event, one write, and nothing left to collect.

Real is the whole proxy; fake are its reactor and its transports.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import Logger
from twisted.python.failure import Failure

from cycles import no_cycles
from twistproxy.app import Proxy
from twistproxy.config import load

CONFIG = """
[forward]
listen = ["tcp:3128:interface=127.0.0.1"]
allow_private = true
[reverse]
listen = ["tcp:8080:interface=127.0.0.1"]
[[reverse.route]]
pool = "all"
[pools.all]
servers = ["http://10.0.0.1:80"]
[[policy.rule]]
name = "no-secrets"
when = { path = "/secret" }
action = "deny"
[[policy.rule]]
name = "elsewhere"
when = { path = "/moved" }
action = "redirect"
location = "https://a.example/"
[log]
access = { file = "access.log" }
"""
ONCE, MANY = 100, 10_000
#: Enough for what is left to show, where the road is that of others but for its end.
SOME = 1_000
#: Objects that may be there after any number of requests: what waits for the log's thread, a list
#: that has grown.
FEW = 20
LARGE = bytes(100_000)


class Transport:
    """Takes what it is given, and counts how often."""

    disconnecting = False

    def __init__(self, protocol: Any, port: int) -> None:
        self.protocol = protocol
        self.port = port
        self.writes = 0
        self.last: tuple[bytes, ...] = ()  # since somebody last emptied it

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 50000)

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", self.port)

    def write(self, data: bytes) -> None:
        self.writes += 1
        self.last += (data,)

    def writeSequence(self, parts: Any) -> None:
        self.writes += 1
        self.last += tuple(parts)

    def nothing(self, *_: object) -> None:
        pass

    setTcpNoDelay = registerProducer = unregisterProducer = nothing
    pauseProducing = resumeProducing = nothing

    def loseConnection(self) -> None:
        raise AssertionError("the connection was to go on")

    abortConnection = loseWriteConnection = loseConnection

    def lost(self) -> None:
        protocol, self.protocol = self.protocol, None
        protocol.connectionLost(Failure(ConnectionDone()))


class Reactor(MemoryReactorClock):
    """Counts timers."""

    def __init__(self) -> None:
        super().__init__()
        self.timers = 0

    def callLater(self, *what: Any, **more: Any) -> Any:
        self.timers += 1
        return super().callLater(*what, **more)  # type: ignore[no-untyped-call]


class House:
    """The proxy, one client on each side, and a server that answers `said`."""

    def __init__(self, folder: Path) -> None:
        file = folder / "twistproxy.toml"
        file.write_text(CONFIG)
        self.reactor = Reactor()
        self.proxy = Proxy(self.reactor, load.load(file, {}), file, self._wall)
        self.proxy.start()
        assert self.proxy.state == "ready"
        self.clients = {port: self.connect(port) for port in (3128, 8080)}
        self.server: Any = None
        self.said = b""

    def _wall(self) -> float:
        return 1_700_000_000.0 + self.reactor.seconds()

    def connect(self, port: int) -> Transport:
        factory = next(entry[1] for entry in self.reactor.tcpServers if entry[0] == port)
        return self._made(factory.buildProtocol(None), port)

    def _made(self, protocol: Any, port: int) -> Transport:
        transport = Transport(protocol, port)
        protocol.makeConnection(transport)
        return transport

    def ask(self, kind: Kind) -> None:
        """One request and its answer."""
        client = self.clients[kind.port]
        client.last = ()
        client.protocol.dataReceived(kind.request)
        if kind.answer:
            self.server.protocol.dataReceived(kind.answer)

    def prepare(self, kind: Kind) -> bytes:
        """Its first times, in which a connection is made and what can be kept is; an answer."""
        client = self.clients[kind.port]
        if kind.answer or kind.first:
            client.protocol.dataReceived(kind.first or kind.request)
            self.server = self._made(self.reactor.tcpClients[-1][2].buildProtocol(None), 80)
            self.server.protocol.dataReceived(kind.answer or kind.stored)
        self.reactor.advance(0.25)  # a head is prepared up to the next full second of its age
        self.ask(kind)
        return b"".join(client.last)

    def flush(self) -> None:
        """What is due happens."""
        self.reactor.advance(1)

    def close(self) -> None:
        self.proxy._access_log.close()


@frozen
class Kind:
    """A request that comes again and again.

    first: what is asked before, to which the server says `stored`. answer: the server's, each time.
    """

    port: int
    request: bytes
    status: int
    answer: bytes = b""
    first: bytes = b""
    stored: bytes = b""


def reverse(path: bytes, *fields: bytes) -> bytes:
    lines = [b"GET %b HTTP/1.1" % path, b"Host: shop.example", b"User-Agent: test/1.0", *fields]
    return b"\r\n".join([*lines, b"", b""])


def forward(path: bytes) -> bytes:
    return b"GET http://10.0.0.9%b HTTP/1.1\r\nHost: 10.0.0.9\r\n\r\n" % path


def ok(*fields: bytes, body: bytes = b"hello") -> bytes:
    lines = [b"HTTP/1.1 200 OK", *fields, b"Content-Length: %d" % len(body)]
    return b"\r\n".join([*lines, b"", body])


FRESH, NO_STORE, TAG = b"Cache-Control: max-age=90000", b"Cache-Control: no-store", b'ETag: "1"'
A, LARGER = reverse(b"/a"), reverse(b"/large")
KINDS = {
    "hit": Kind(8080, A, 200, first=A, stored=ok(FRESH)),
    "large_hit": Kind(8080, LARGER, 200, first=LARGER, stored=ok(FRESH, body=LARGE)),
    "hit_of_the_forward_proxy": Kind(
        3128, forward(b"/a"), 200, first=forward(b"/a"), stored=ok(FRESH)
    ),
    "not_modified": Kind(
        8080, reverse(b"/a", b'If-None-Match: "1"'), 304, first=A, stored=ok(FRESH, TAG)
    ),
    "proxied": Kind(8080, A, 200, answer=ok(NO_STORE)),
    "proxied_by_the_forward_proxy": Kind(3128, forward(b"/a"), 200, answer=ok(NO_STORE)),
    "proxied_chunks": Kind(
        8080,
        A,
        200,
        answer=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ),
    "an_upload": Kind(
        8080,
        b"PUT /a HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 5\r\n\r\nhello",
        201,
        answer=b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
    ),
    "denied": Kind(8080, reverse(b"/secret"), 403),
    "redirected": Kind(8080, reverse(b"/moved"), 302),
    "an_error_page": Kind(8080, reverse(b"/b", b"Cache-Control: only-if-cached"), 504),
}
HITS = ("hit", "large_hit", "hit_of_the_forward_proxy", "not_modified")
NAMES = pytest.mark.parametrize("name", KINDS)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.close()


@NAMES
def test_the_kinds_are_what_they_seem(house: House, name: str) -> None:
    kind = KINDS[name]
    answer = house.prepare(kind)
    assert answer.startswith(b"HTTP/1.1 %d " % kind.status), answer
    assert (b"; hit" in answer) == (name in HITS), answer
    servers = len(house.reactor.tcpClients)
    house.ask(kind)
    assert len(house.reactor.tcpClients) == servers, "another connection was made"
    assert not house.proxy.road.exchanges


@NAMES
def test_no_deferred_no_timer_no_log_event(
    house: House, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = KINDS[name]
    house.prepare(kind)
    house.flush()
    made: Counter[str] = Counter()

    def counting(owner: type, method: str) -> None:
        real = getattr(owner, method)

        def call(self: Any, *args: Any, **more: Any) -> Any:
            made[f"{owner.__name__}.{method}"] += 1
            return real(self, *args, **more)

        monkeypatch.setattr(owner, method, call)

    counting(Deferred, "__init__")
    counting(Logger, "emit")
    timers = house.reactor.timers
    for _ in range(ONCE):
        house.ask(kind)
    assert made == {}
    # The access log has one for all that comes within half a second.
    assert house.reactor.timers - timers <= 1


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if name != "proxied_chunks"])
def test_one_write_for_each_message(house: House, name: str) -> None:
    kind = KINDS[name]
    house.prepare(kind)
    client, server = house.clients[kind.port], house.server
    before = client.writes, server.writes if server else 0
    for _ in range(ONCE):
        house.ask(kind)
    assert client.writes - before[0] == ONCE
    if name == "an_upload":
        assert server.writes - before[1] == 2 * ONCE  # the head does not wait for the body
    elif kind.answer:
        assert server.writes - before[1] == ONCE
    elif server:
        assert server.writes == before[1]


def test_a_large_hit_is_not_copied(house: House) -> None:
    kind = KINDS["large_hit"]
    house.prepare(kind)
    client = house.clients[8080]
    seen = []
    for _ in range(10):
        house.ask(kind)
        seen.append(client.last)
    first = seen[0]
    assert first[-1] == LARGE
    assert all(parts[-1] is first[-1] for parts in seen), "the body is the stored one"
    assert all(parts[0] is first[0] for parts in seen), "the head is made once a second"
    house.flush()
    house.ask(kind)
    assert client.last[0] is not first[0]
    assert client.last[-1] is first[-1]


@NAMES
def test_no_object_is_left(house: House, name: str) -> None:
    """Neither held, nor in a cycle that somebody has to find."""
    kind = KINDS[name]
    house.prepare(kind)
    for _ in range(ONCE):
        house.ask(kind)
    house.flush()
    with no_cycles():
        before = len(gc.get_objects())
        times = MANY if name in ("hit", "proxied", "proxied_by_the_forward_proxy") else SOME
        for _ in range(times):
            house.ask(kind)
        house.flush()
        assert len(gc.get_objects()) - before < FEW


def test_no_object_is_left_of_connections(house: House) -> None:
    kind = KINDS["hit"]
    house.prepare(kind)

    def come_and_go() -> None:
        client = house.connect(8080)
        for _ in range(2):
            client.protocol.dataReceived(kind.request)
        client.lost()

    come_and_go()
    house.flush()
    with no_cycles():
        before = len(gc.get_objects())
        for _ in range(SOME):
            come_and_go()
        house.flush()
        assert len(gc.get_objects()) - before < FEW
