"""passage: bodies that nobody looks at go from leg to leg; whatever happens on the way, both legs
say the same of it as if they had read and written every byte.

Real are both legs, the road and its services; fake are time, the wires, and the splicer, whose
lifts move bytes when the test says so. Out of files, below: real are the client leg and, at last,
all of it.
"""

from __future__ import annotations

import gc
import re
import sys
import weakref
from collections.abc import Callable, Iterator
from math import inf
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from road import Play
from sockets import KINDS, Machine
from twistproxy.config.model import Limits, Timeouts
from twistproxy.exchange import REPLAYED, Exchange
from twistproxy.http.fields import Fields
from twistproxy.http.message import Response
from twistproxy.net.sendfile import LOST, Sender
from twistproxy.net.sweep import Sweep
from twistproxy.wire import Terms
from twistproxy.wire.clients import Clients
from twistproxy.wire.http1.client_leg import ClientLegs
from twistproxy.wire.http1.passage import WORTH

REVERSE = """
[reverse]
%s
[[reverse.route]]
pool = "shop"
[pools.shop]
servers = ["http://10.0.0.1:80"]
[timeouts]
body = "10s"
server = "20s"
keepalive = "60s"
[limits]
body = "1MiB"
[cache]
max_object = "900KB"
"""
NO_STORE = b"Cache-Control: no-store\r\n"
#: More than is kept to ask again with, and then more than enough to be passed on.
LARGE = WORTH + REPLAYED + 1000


def pattern(size: int) -> bytes:
    """Bytes each of whose pieces is in its place only there."""
    return b"".join(b"%07d\n" % i for i in range(0, size, 8))[:size]


BODY = pattern(LARGE)


class FakeLift:
    """Bytes on their way; they come from what the test says, and go to the sink's wire.

    Until it is over nobody may write to the sink, and nobody let the source read.
    """

    def __init__(self, source: Any, sink: Any, count: int, moved: Any, ended: Any) -> None:
        assert source.protocol is not None
        self.source, self.sink, self.left = source, sink, count
        self.waits_for_sink = self.waits_for_throttle = False
        self.cancelled = self.over = False
        self.moved = 0
        self._moved, self._ended = moved, ended
        source.pauseProducing()
        source.resumeProducing = self._never
        sink.write = sink.writeSequence = self._never

    def _never(self, *_: object) -> None:
        raise AssertionError("the wire is lent")

    def move(self, data: bytes) -> None:
        """The sink takes them; with the last ones it is over."""
        assert data
        assert not self.over
        assert not self.sink.unsent, "what was written before goes first"
        assert len(data) <= self.left, "these are of the next message"
        StringTransport.write(self.sink, data)
        self.sink.acked += len(data)
        self.left -= len(data)
        self.moved += len(data)
        self._moved(len(data))
        if not self.left:
            self.end("")

    def stick(self) -> None:
        """Bytes are there, which the sink doesn't take."""
        self.waits_for_sink = True
        self._moved(0)

    def end(self, why: str) -> None:
        self._give_back()
        self._ended(self.moved, why)

    def cancel(self) -> None:
        assert not self.over
        self.cancelled = True
        self._give_back()

    def _give_back(self) -> None:
        self.over = True
        del self.source.resumeProducing, self.sink.write, self.sink.writeSequence


class FakeSplicer:
    """able: whether wires can be joined."""

    def __init__(self, able: bool = True) -> None:
        self.able = able
        self.lifts: list[FakeLift] = []
        self.asked = 0

    def lift(self, *what: Any) -> FakeLift | None:
        self.asked += 1
        if not self.able:
            return None
        self.lifts.append(FakeLift(*what))
        return self.lifts[-1]


class Between(Play):
    """One client's connection, and those to servers."""

    def __init__(self, wire: type, more: str = "", able: bool = True, **peer: Any) -> None:
        self.servers: list[Any] = []
        self._wire = wire
        super().__init__(REVERSE % more)
        self.splicer = FakeSplicer(able)
        self.road.splicer = self.splicer  # type: ignore[assignment]
        clients = Clients(self.terms, self.sweep)
        legs = ClientLegs(self.reverse, "reverse", self.terms, self.sweep, clients)  # type: ignore[arg-type]
        self.leg = legs.buildProtocol(None)
        self.client = wire(self.leg)
        self.leg.makeConnection(self.client)

    def dial(self, host: str, port: int, protocol: Any, **_: object) -> Deferred[Any]:
        wire = self._wire(protocol)
        self.servers.append(wire)
        protocol.makeConnection(wire)
        return succeed(protocol)

    @property
    def server(self) -> Any:
        return self.servers[-1]

    @property
    def lift(self) -> FakeLift:
        return self.splicer.lifts[-1]

    @property
    def passing(self) -> bool:
        return bool(self.splicer.lifts) and not self.lift.over

    def get(self, method: bytes = b"GET", version: bytes = b"1.1", path: bytes = b"/") -> None:
        self.client.send(b"%b %b HTTP/%b\r\nHost: a\r\n\r\n" % (method, path, version))

    def say(self, body: bytes = BODY, *, first: int = 0, fields: bytes = NO_STORE) -> None:
        """The server's head, with so many bytes of its body."""
        head = b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n" % (fields, len(body))
        assert self.server.send(head + body[:first])

    def download(self, **fields: Any) -> FakeLift:
        """On the way, nothing moved yet."""
        self.get()
        self.say(**fields)
        assert self.passing
        return self.lift

    def upload(self, body: bytes = BODY) -> FakeLift:
        """On the way: as much as is kept to ask again with went before, and one byte."""
        head = b"PUT /u HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)
        self.client.send(head)
        self.client.send(body[: REPLAYED + 1])
        assert self.passing
        return self.lift

    def turn(self) -> None:
        for wire in (self.client, *self.servers):
            wire.settle()

    def wait(self, seconds: float) -> None:
        for _ in range(int(seconds * 4)):
            self.clock.advance(0.25)
            self.turn()

    @property
    def got(self) -> list[tuple[bytes, bytes, bytes]]:
        """First line, fields and body of each answer that the client got."""
        return messages(self.client.value())

    @property
    def told(self) -> list[tuple[bytes, bytes, bytes]]:
        """And of each request that the last server got."""
        return messages(self.server.value())

    def next_is_fine(self) -> None:
        """Both connections go on: a request and its answer go through, over no new one."""
        count, servers = len(self.got), len(self.servers)
        self.get(path=b"/next")
        self.server.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext")
        assert self.got[count][2] == b"next"
        assert len(self.got) == count + 1
        assert len(self.servers) == servers
        self.gone()

    def gone(self) -> None:
        """No exchange is left, and no passage; each exchange was told of once."""
        assert not self.road.exchanges
        assert self.road.counts.active == 0
        assert len(self.lines) == self.road.counts.total
        assert all(lift.over for lift in self.splicer.lifts)
        legs = [wire.protocol for wire in (self.client, *self.servers) if wire.protocol]
        assert [leg.passage for leg in legs] == [None] * len(legs)
        assert len(self.sweep) == len(legs)


def messages(data: bytes) -> list[tuple[bytes, bytes, bytes]]:
    found = []
    while data:
        head, _, rest = data.partition(b"\r\n\r\n")
        line, _, fields = head.partition(b"\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", fields)
        size = int(length[1]) if length and not re.search(rb" (204|304) ", line) else 0
        found.append((line, fields, rest[:size]))
        data = rest[size:]
    return found


Make = Callable[..., Between]


@pytest.fixture
def make(wire: type) -> Make:
    return lambda *what, **more: Between(wire, *what, **more)


@pytest.fixture
def play(make: Make) -> Between:
    return make()


# -- what is passed on, and what isn't ----------------------------------------------------------


def test_a_download(play: Between) -> None:
    lift = play.download(first=10)
    assert lift.left == LARGE - 10
    assert (lift.source, lift.sink) == (play.server, play.client)
    lift.move(BODY[10:100_000])
    assert play.road.exchanges
    lift.move(BODY[100_000:])
    ((line, _, body),) = play.got
    assert (line, body) == (b"HTTP/1.1 200 OK", BODY)
    assert (play.lines[-1].bytes_out, play.lines[-1].error) == (LARGE, None)
    assert play.road.counts.bytes_out == LARGE
    assert play.server.reads
    play.next_is_fine()


def test_an_upload(play: Between) -> None:
    lift = play.upload()
    assert lift.left == LARGE - REPLAYED - 1
    assert (lift.source, lift.sink) == (play.client, play.server)
    assert not play.client.reads
    lift.move(BODY[REPLAYED + 1 : 100_000])
    assert play.road.exchanges
    lift.move(BODY[100_000:])
    assert play.client.reads
    ((line, _, body),) = play.told
    assert (line, body) == (b"PUT /u HTTP/1.1", BODY)
    play.server.send(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok")
    ((line, _, body),) = play.got
    assert (line, body) == (b"HTTP/1.1 201 Created", b"ok")
    assert (play.lines[-1].bytes_in, play.lines[-1].bytes_out) == (LARGE, 2)
    play.next_is_fine()


def test_an_upload_then_a_download_in_one_exchange(play: Between) -> None:
    play.upload().move(BODY[REPLAYED + 1 :])
    play.say(BODY[::-1])
    assert play.passing
    play.lift.move(BODY[::-1])
    assert [body for _, _, body in play.told + play.got] == [BODY, BODY[::-1]]
    assert (play.lines[-1].bytes_in, play.lines[-1].bytes_out) == (LARGE, LARGE)
    play.next_is_fine()


PASSED = {
    "no_store": (b"", NO_STORE, LARGE),
    "just_enough": (b"", NO_STORE, WORTH),
    "too_large_for_the_cache": (b"", b"Cache-Control: max-age=60\r\n", 1_000_000),
    "with_authorization": (b"Authorization: Basic eA==\r\n", b"", LARGE),
    "a_range": (b"Range: bytes=0-\r\n", NO_STORE, LARGE),
}


@pytest.mark.parametrize(("asked", "said", "size"), PASSED.values(), ids=PASSED)
def test_passed(play: Between, asked: bytes, said: bytes, size: int) -> None:
    play.client.send(b"GET / HTTP/1.1\r\nHost: a\r\n%b\r\n" % asked)
    play.say(pattern(size), fields=said)
    assert play.passing
    play.lift.move(pattern(size))
    assert play.got[0][2] == pattern(size)
    play.next_is_fine()


NOT_PASSED = {
    "small": (b"GET", NO_STORE + b"Content-Length: %d" % (WORTH - 1), pattern(WORTH - 1)),
    "stored": (b"GET", b"Cache-Control: max-age=60\r\nContent-Length: %d" % LARGE, BODY),
    "chunked": (
        b"GET",
        NO_STORE + b"Transfer-Encoding: chunked",
        b"%x\r\n%b\r\n0\r\n\r\n" % (LARGE, BODY),
    ),
    "head": (b"HEAD", NO_STORE + b"Content-Length: %d" % LARGE, b""),
}


@pytest.mark.parametrize(("method", "said", "data"), NOT_PASSED.values(), ids=NOT_PASSED)
def test_not_passed(play: Between, method: bytes, said: bytes, data: bytes) -> None:
    play.get(method)
    play.server.send(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % said)
    play.server.send(data)
    assert play.splicer.asked == 0
    assert play.lines[-1].error is None
    assert play.client.value().endswith(b"\r\n\r\n" + data)


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_what_has_no_body_is_not_waited_for(play: Between, status: bytes) -> None:
    play.get()
    play.server.send(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n" % (status, LARGE))
    assert play.splicer.asked == 0
    assert play.lines[-1].error is None
    play.next_is_fine()


def test_all_of_the_body_is_there_with_the_head(play: Between) -> None:
    play.get()
    play.say(first=LARGE)
    assert play.splicer.asked == 0
    play.next_is_fine()


def test_an_answer_to_http_1_0(play: Between) -> None:
    play.get(version=b"1.0")
    play.say()
    play.lift.move(BODY)
    assert play.got[0][2] == BODY
    assert play.client.disconnecting
    play.turn()
    play.gone()


def test_a_small_upload_is_not_passed(play: Between) -> None:
    size = REPLAYED + WORTH  # one byte too few when it is tried
    play.client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
    for at in range(0, size, 50_000):
        play.client.send(BODY[at : min(size, at + 50_000)])
    assert play.splicer.asked == 0
    assert play.told[0][2] == BODY[:size]


def test_a_chunked_upload_is_not_passed(play: Between) -> None:
    play.client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(5):
        play.client.send(b"%x\r\n%b\r\n" % (LARGE // 2, BODY[: LARGE // 2]))
    play.client.send(b"0\r\n\r\n")
    assert play.splicer.asked == 0
    play.say(b"ok", first=2)
    assert play.lines[-1].bytes_in == LARGE // 2 * 5
    play.next_is_fine()


def test_where_wires_can_not_be_joined_they_are_read_and_written(make: Make) -> None:
    play = make(able=False)
    play.client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % LARGE)
    for at in range(0, LARGE, 66_000):
        play.client.send(BODY[at : at + 66_000])
    play.say()
    for at in range(0, LARGE, 66_000):
        play.server.send(BODY[at : at + 66_000])
    assert play.splicer.asked == 2, "once for each body"
    assert [body for _, _, body in play.told + play.got] == [BODY, BODY]
    assert (play.lines[-1].bytes_in, play.lines[-1].bytes_out) == (LARGE, LARGE)
    play.next_is_fine()


def test_a_page_that_is_held_is_passed_once_it_is_let_go(make: Make) -> None:
    play = make("cloak = true")
    play.get()
    play.server.send(b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n" % LARGE)
    assert play.passing  # it is longer than any page that is looked at
    play.lift.move(BODY)
    assert play.got[0][2] == BODY
    play.next_is_fine()


def test_a_page_that_is_covered_is_not_passed(play: Between) -> None:
    play.get()
    play.server.send(b"HTTP/1.1 500 Oh\r\nContent-Length: %d\r\n\r\n" % LARGE)
    assert play.splicer.asked == 0
    assert play.got[0][0].startswith(b"HTTP/1.1 500 ")
    assert BODY[:100] not in play.client.value()
    play.turn()
    assert play.server.aborted
    play.gone()


LIMITS = {"at_the_limit": (1 << 20, True), "one_more": ((1 << 20) + 1, False)}


@pytest.mark.parametrize(("size", "passes"), LIMITS.values(), ids=LIMITS)
def test_limits_body(play: Between, size: int, passes: bool) -> None:
    play.client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
    if not passes:
        assert play.got[0][0].startswith(b"HTTP/1.1 413 ")
        return
    body = pattern(size)
    play.client.send(body[: REPLAYED + 1])
    play.lift.move(body[REPLAYED + 1 :])
    assert play.told[0][2] == body
    play.say(b"ok", first=2)
    play.next_is_fine()


# -- who is lost --------------------------------------------------------------------------------


def test_the_server_ends_too_early(play: Between) -> None:
    lift = play.download()
    lift.move(BODY[:1000])
    lift.end("eof")
    assert play.server.reads
    play.server.end()  # as it is told when it reads on
    play.turn()
    assert play.got[0][2] == BODY[:1000]
    assert play.client.disconnecting, "it must see that something is missing"
    assert (play.lines[-1].error, play.lines[-1].bytes_out) == (
        "http_response_incomplete",
        1000,
    )
    play.gone()


def test_the_server_is_lost(play: Between) -> None:
    lift = play.download()
    lift.move(BODY[:1000])
    lift.end("source")
    assert play.server.aborted
    play.turn()
    assert play.client.disconnecting
    assert (play.lines[-1].error, play.lines[-1].bytes_out) == ("http_response_incomplete", 1000)
    play.gone()


def test_the_servers_transport_tells_of_the_loss_first(play: Between) -> None:
    lift = play.download()
    lift.move(BODY[:1000])
    play.server.lose(ConnectionLost)
    assert lift.cancelled
    play.turn()
    assert play.client.disconnecting
    assert play.lines[-1].error == "http_response_incomplete"
    play.gone()


def test_the_client_is_lost_on_a_download(play: Between) -> None:
    lift = play.download()
    lift.move(BODY[:1000])
    lift.end("sink")
    play.turn()
    assert play.client.lost
    assert play.server.lost
    assert play.server.aborted
    assert (play.lines[-1].error, play.lines[-1].bytes_out) == ("client_lost", 1000)
    play.gone()


def test_the_clients_transport_tells_of_the_loss_first(play: Between) -> None:
    lift = play.download()
    play.client.lose(ConnectionLost)
    assert lift.cancelled
    play.turn()
    assert play.server.aborted
    assert play.lines[-1].error == "client_lost"
    play.gone()


def test_the_client_ends_too_early(play: Between) -> None:
    lift = play.upload()
    lift.move(BODY[REPLAYED + 1 : 100_000])
    lift.end("eof")
    assert play.client.reads
    play.client.end()
    assert play.got[0][0].startswith(b"HTTP/1.1 400 ")
    play.turn()
    assert play.server.aborted, "a request that is not whole must not look so"
    assert play.lines[-1].bytes_in == 100_000
    play.gone()


def test_the_client_is_lost_on_an_upload(play: Between) -> None:
    lift = play.upload()
    lift.end("source")
    assert play.client.aborted
    play.turn()
    assert play.server.aborted
    assert (play.lines[-1].error, play.lines[-1].bytes_in) == ("client_lost", REPLAYED + 1)
    play.gone()


def test_the_server_is_lost_on_an_upload_and_no_other_is_asked(play: Between) -> None:
    lift = play.upload()
    lift.move(BODY[REPLAYED + 1 : 100_000])
    lift.end("sink")
    play.turn()
    assert len(play.servers) == 1, "PUT may be repeated, but nobody has its body"
    assert play.got[0][0].startswith(b"HTTP/1.1 502 ")
    assert play.client.half_closed
    assert play.client.reads, "what still comes is thrown away, so that it can read the answer"
    assert (play.lines[-1].error, play.lines[-1].bytes_in) == ("connection_terminated", 100_000)
    play.client.end()
    play.turn()
    play.gone()


def test_the_server_ends_during_an_upload(play: Between) -> None:
    lift = play.upload()
    play.server.end()
    assert lift.cancelled
    assert play.got[0][0].startswith(b"HTTP/1.1 502 ")
    play.client.end()
    play.turn()
    play.gone()


# -- who keeps the other waiting ----------------------------------------------------------------


def test_a_client_that_does_not_read(play: Between) -> None:
    lift = play.download()
    lift.stick()
    play.wait(9)
    assert not play.client.lost
    lift.move(BODY[:1000])  # it took some
    lift.stick()
    play.wait(9)
    assert not play.client.lost
    play.client.acked += 1  # by the kernel only
    play.wait(9)
    assert not play.client.lost
    play.wait(12)
    assert play.client.aborted
    assert play.client.lost
    assert play.server.aborted
    assert play.lines[-1].error == "client_lost"
    play.gone()


def test_a_server_that_is_silent(play: Between) -> None:
    lift = play.download()
    lift.move(BODY[:1000])
    play.wait(19)
    assert play.passing, "the client isn't to blame, however long it has read nothing"
    lift.move(BODY[1000:2000])
    play.wait(19)
    assert play.passing
    play.wait(3)
    assert lift.cancelled
    assert play.server.aborted
    assert play.client.disconnecting
    assert not play.client.aborted
    assert play.lines[-1].error == "connection_read_timeout"
    play.gone()


def test_a_client_that_is_silent(play: Between) -> None:
    lift = play.upload()
    play.wait(9)
    lift.move(BODY[REPLAYED + 1 : 100_000])
    play.wait(9)
    assert play.passing
    play.wait(3)
    assert lift.cancelled
    assert play.got[0][0].startswith(b"HTTP/1.1 408 ")
    play.turn()
    assert play.server.aborted
    play.client.end()
    play.turn()
    play.gone()


def test_a_server_that_does_not_read(play: Between) -> None:
    lift = play.upload()
    lift.stick()
    play.wait(19)
    assert play.passing, "the client isn't to blame"
    play.server.acked += 1
    play.wait(19)
    assert play.passing
    play.wait(25)
    assert lift.cancelled
    assert play.got[0][0].startswith(b"HTTP/1.1 504 ")
    assert play.lines[-1].error == "connection_write_timeout"
    play.client.end()
    play.turn()
    play.gone()


def test_time_outs_after_a_passage_are_as_ever(play: Between) -> None:
    play.upload().move(BODY[REPLAYED + 1 :])
    play.wait(19)
    assert not play.got
    play.wait(2)
    assert play.got[0][0].startswith(b"HTTP/1.1 504 ")
    assert play.lines[-1].error == "http_response_timeout"
    play.wait(57)
    assert not play.client.disconnecting
    play.wait(4)
    assert play.client.disconnecting, "keepalive has passed"
    play.gone()


# -- what ends it from within -------------------------------------------------------------------


@pytest.mark.parametrize("direction", ["download", "upload"])
def test_an_exchange_that_is_aborted(play: Between, direction: str) -> None:
    lift = getattr(play, direction)()
    (exchange,) = play.road.exchanges
    exchange.abort()
    assert lift.cancelled
    play.turn()
    assert play.client.aborted
    assert play.server.aborted
    assert play.lines[-1].error == "aborted"
    play.gone()


@pytest.mark.parametrize("direction", ["download", "upload"])
def test_a_drain_lets_it_finish(play: Between, direction: str) -> None:
    lift = getattr(play, direction)()
    play.terms.draining = True
    play.leg.drain()
    assert not lift.over
    lift.move(BODY[-lift.left :])
    if direction == "upload":
        play.say(b"ok", first=2)
    play.turn()
    assert play.lines[-1].error is None
    assert play.client.lost
    assert play.server.lost
    play.gone()


def test_an_answer_that_does_not_wait_for_the_upload(play: Between) -> None:
    lift = play.upload()
    play.say(b"enough", first=6)
    assert lift.cancelled
    ((_, fields, body),) = play.got
    assert (b"Connection: close" in fields, body) == (True, b"enough")
    assert play.client.half_closed
    assert play.client.reads
    assert play.server.aborted, "what is missing of its request can't follow"
    assert play.lines[-1].error is None
    play.client.send(b"GET /not-a-request HTTP/1.1\r\nHost: a\r\n\r\n")
    play.client.end()
    play.turn()
    assert len(play.lines) == 1
    play.gone()


def test_an_answer_that_streams_during_an_upload(play: Between) -> None:
    lift = play.upload()
    play.say(BODY)  # long enough to be passed, if the wire weren't lent
    assert len(play.splicer.lifts) == 1
    play.server.send(BODY[:1000])
    lift.move(BODY[REPLAYED + 1 :])
    play.server.send(BODY[1000:])
    assert [body for _, _, body in play.told + play.got] == [BODY, BODY]
    assert b"Connection: close" in play.got[0][1]
    play.turn()
    play.gone()


def test_a_client_that_does_not_read_an_answer_during_its_upload(play: Between) -> None:
    lift = play.upload()
    play.client.taking = False
    play.say(BODY)
    play.server.send(BODY[:100_000])
    assert not play.server.reads, "what is sent ahead is bounded"
    lift.move(BODY[REPLAYED + 1 :])
    assert not play.server.reads
    play.client.taking = True
    play.client.take()
    assert play.server.reads
    play.server.send(BODY[100_000:])
    assert [body for _, _, body in play.told + play.got] == [BODY, BODY]


def test_a_server_that_answers_without_reading(play: Between) -> None:
    size = WORTH
    play.client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
    play.server.taking = False
    play.say(BODY)
    lift = play.lift
    assert (lift.source, lift.sink) == (play.server, play.client)
    play.client.send(BODY[:100_000])
    assert not play.client.reads, "what is sent ahead is bounded"
    play.server.taking = True
    play.server.take()
    assert play.client.reads
    play.client.send(BODY[100_000:size])
    lift.move(BODY)
    assert [body for _, _, body in play.told + play.got] == [BODY[:size], BODY]


def test_a_client_that_reads_slowly_before_the_passage(play: Between) -> None:
    play.get()
    play.client.taking = False
    play.say(first=66_000)
    lift = play.lift
    assert lift.left == LARGE - 66_000
    play.client.taking = True
    play.client.take()  # the lift is at it only now
    lift.move(BODY[66_000:])
    assert play.got[0][2] == BODY
    play.next_is_fine()


# -- connections go on --------------------------------------------------------------------------


def test_one_after_the_other_on_both_connections(play: Between) -> None:
    for _ in range(3):
        play.download(first=10).move(BODY[10:])
        play.upload().move(BODY[REPLAYED + 1 :])
        play.say(b"ok", first=2)
        play.next_is_fine()
    assert len(play.servers) == 1
    assert [body for _, _, body in play.got] == [BODY, b"ok", b"next"] * 3


def test_requests_wait_behind_a_download(play: Between) -> None:
    play.client.send(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
    play.say()
    play.get(path=b"/3")
    assert len(play.told) == 1
    play.lift.move(BODY)
    assert [line for line, _, _ in play.told] == [b"GET /1 HTTP/1.1", b"GET /2 HTTP/1.1"]
    play.say(BODY[::-1])
    play.lift.move(BODY[::-1])
    play.say(b"three", first=5)
    assert [body for _, _, body in play.got] == [BODY, BODY[::-1], b"three"]
    play.next_is_fine()


def test_many_requests_behind_a_download_are_not_read(play: Between) -> None:
    play.download()
    for i in range(play.terms.limits.pipelined):
        play.get(path=b"/%d" % i)
    assert not play.client.reads
    play.lift.move(BODY)
    for i in range(play.terms.limits.pipelined):
        play.say(b"%d" % i, first=2)
    assert play.client.reads
    assert [body for _, _, body in play.got][1:] == [
        b"%d" % i for i in range(play.terms.limits.pipelined)
    ]
    play.next_is_fine()


def test_a_client_that_has_ended_gets_its_download(play: Between) -> None:
    lift = play.download()
    play.client.end()
    lift.move(BODY)
    assert play.got[0][2] == BODY
    assert play.client.disconnecting
    play.turn()
    play.gone()


def test_a_server_that_stalls_before_the_passage(play: Between) -> None:
    """The client's time-out counts as if it had never been paused."""
    play.client.send(b"PUT /u HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (2 * LARGE))
    play.server.taking = False
    play.client.send(BODY[: REPLAYED + 1])
    assert play.passing
    play.server.taking = True
    play.server.take()
    play.lift.move(BODY[REPLAYED + 1 : 100_000])
    play.wait(9)
    assert play.passing
    play.wait(3)
    assert play.got[0][0].startswith(b"HTTP/1.1 408 ")


def test_a_request_behind_an_upload(play: Between) -> None:
    lift = play.upload()
    lift.move(BODY[REPLAYED + 1 :])
    play.get(path=b"/2")  # which was in the socket all the time
    play.say(b"one", first=3)
    play.say(b"two", first=3)
    assert [body for _, _, body in play.got] == [b"one", b"two"]
    play.next_is_fine()


def test_bytes_after_an_answer_end_its_connection(play: Between) -> None:
    play.download().move(BODY)
    assert not play.server.disconnecting
    play.server.send(b"HTTP/1.1 200 OK\r\n\r\nnobody asked for this")
    assert play.server.aborted
    play.turn()
    assert play.got[0][2] == BODY
    play.gone()


def test_an_answer_after_which_the_server_closes(play: Between) -> None:
    play.get()
    play.say(fields=NO_STORE + b"Connection: close\r\n")
    play.lift.move(BODY)
    assert play.server.disconnecting
    assert not play.client.disconnecting
    play.turn()
    play.gone()


def test_nothing_is_left(play: Between) -> None:
    """When a passage is over no cycle holds it, however it ended."""
    for how in ("complete", "eof", "cancel"):
        lift = play.download()
        (exchange,) = play.road.exchanges
        gc.collect()
        gc.disable()
        try:
            if how == "complete":
                lift.move(BODY)
            elif how == "eof":
                lift.end("eof")
                play.server.end()
            else:
                exchange.abort()
            play.turn()
            play.splicer.lifts.clear()
            del exchange, lift
            kept = [each for each in gc.get_objects() if isinstance(each, Exchange)]
            assert all(each.road is not play.road for each in kept), how
        finally:
            gc.enable()
        play = Between(type(play.client))


# -- whatever comes -----------------------------------------------------------------------------

SIZES = st.sampled_from([0, 1, REPLAYED, WORTH - 1, WORTH, WORTH + REPLAYED + 2, LARGE])
PIECES = st.sampled_from([1, 100, 4_096, 65_536, 100_000, LARGE])
ENDS = st.sampled_from(["", "", "client", "server", "reset client", "reset server", "abort"])


class End:
    """A peer of ours: what it has still to send, which arrives by its wire or by a lift."""

    def __init__(self, play: Between, wire: Any) -> None:
        self.play = play
        self.wire = wire
        self.unsent = b""

    def step(self, size: int) -> bool:
        """Whether some bytes arrived."""
        lifts = [one for one in self.play.splicer.lifts if one.source is self.wire]
        data = self.unsent[:size]
        if lifts and not lifts[-1].over:
            data = data[: lifts[-1].left]
            if data:
                lifts[-1].move(data)
        elif data and not self.wire.send(data):
            return False
        self.unsent = self.unsent[len(data) :]
        return bool(data)


@settings(max_examples=150, deadline=None)
@given(
    exchanges=st.lists(st.tuples(SIZES, SIZES, st.booleans()), min_size=1, max_size=4),
    pieces=st.lists(st.tuples(st.booleans(), PIECES), max_size=40),
    end=ENDS,
)
def test_every_byte_in_its_place(
    wire: type,
    exchanges: list[tuple[int, int, bool]],
    pieces: list[tuple[bool, int]],
    end: str,
) -> None:
    """Bodies up and down, pipelined, in pieces of any size, answered early or late, cut off."""
    play = Between(wire)
    client = End(play, play.client)
    ends: dict[Any, End] = {}
    answered = 0
    for number, (up, _, _) in enumerate(exchanges):
        head = b"PUT /%d HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (number, up)
        client.unsent += head + BODY[:up]

    def answer() -> None:
        """The server answers what it has read: whole requests, or just their heads."""
        nonlocal answered
        for one in play.servers:
            ends.setdefault(one, End(play, one))
        if not play.servers or play.server.lost:
            return
        asked = messages(play.server.value())
        if not asked or not (match := re.match(rb"PUT /(\d+)", asked[-1][0])):
            return
        number = int(match[1])
        up, down, early = exchanges[number]
        if number == answered and (early or len(asked[-1][2]) == up):
            answered += 1
            head = b"HTTP/1.1 200 %d\r\nContent-Length: %d\r\n\r\n" % (number, down)
            ends[play.server].unsent += head + BODY[:down]

    def step(clients: bool, size: int) -> bool:
        who = client if clients else ends.get(play.server) if play.servers else None
        moved = who is not None and who.step(size)
        play.turn()
        answer()
        return moved

    for clients, size in pieces:
        step(clients, size)
    if end == "abort":
        for exchange in list(play.road.exchanges):
            exchange.abort()
    elif end:
        peer = play.client if end.endswith("client") else play.servers and play.server
        if peer and not peer.lost:
            for lift in play.splicer.lifts:
                if not lift.over and peer in (lift.source, lift.sink):
                    lift.end("eof" if peer is lift.source and "reset" not in end else "sink")
            peer.end() if "reset" not in end and peer.reads else peer.lose(ConnectionLost)
    else:
        while step(True, 50_000) or step(False, 50_000):
            pass
    for one in list(ends.values()) if not end else ():
        assert not one.unsent or one.wire.lost or one.wire.disconnecting
    got = messages(play.client.value())
    for number, (line, fields, body) in enumerate(got):
        if not line.startswith(b"HTTP/1.1 200"):
            assert number == len(got) - 1, "no answer after an error's"
            continue
        _, down, _ = exchanges[number]
        assert line == b"HTTP/1.1 200 %d" % number
        whole = number < len(play.lines) and play.lines[number].error is None
        assert body == BODY[:down] if whole else BODY[:down].startswith(body)
        if number < len(got) - 1:
            assert b"Connection: close" not in fields
    for one in play.servers:
        for line, _, body in messages(one.value()):
            up = exchanges[int(line[5:6])][0]
            assert BODY[:up].startswith(body)
    for number, row in enumerate(play.lines):
        if row.error is None:
            assert row.bytes_out == exchanges[number][1]
    if not end and not any(early for _, _, early in exchanges):
        assert [row.bytes_in for row in play.lines] == [up for up, _, _ in exchanges]
        assert [row.bytes_out for row in play.lines] == [down for _, down, _ in exchanges]
        assert len(play.servers) == 1
    if play.client.disconnecting:
        play.client.unsent = 0
        play.client.end()
    play.client.lose()
    play.turn()
    play.wait(30)
    play.turn()
    assert not play.road.exchanges
    assert all(lift.over for lift in play.splicer.lifts)


# -- out of a file ------------------------------------------------------------------------------


class FakeSending:
    """Bytes of a file on their way to a wire, when the test says so."""

    def __init__(
        self, wire: Any, file: Any, offset: int, length: int, moved: Any, ended: Any
    ) -> None:
        self.wire, self.at, self.end_at = wire, offset, offset + length
        self.file: Any = file
        self.waits_for_sink = True
        self.begun = self.over = self.cancelled = self.paused = False
        self.at_once = 0  # bytes that go in `begin`
        self._moved, self._ended = moved, ended

    def begin(self) -> None:
        self.begun = True
        if self.at_once:
            self.move(self.at_once)

    def move(self, count: int) -> None:
        """The client takes them; with the last ones it is over."""
        assert self.begun
        assert not self.over
        count = min(count, self.end_at - self.at)
        StringTransport.write(self.wire, BODY[self.at : self.at + count])
        self.wire.acked += count
        self.at += count
        self._moved(count)
        if self.at == self.end_at:
            self.end("")

    def goes_on(self) -> None:
        """The disk has done its part."""
        self.waits_for_sink = True
        self._moved(0)

    def end(self, why: str) -> None:
        assert not self.over
        self.over = True
        self.file = None
        self._ended(why)

    def cancel(self) -> None:
        assert not self.over
        self.over = self.cancelled = True
        self.file = None

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False


class FakeSender:
    def __init__(self) -> None:
        self.sendings: list[FakeSending] = []
        self.at_once = 0

    def sending(self, *what: Any) -> FakeSending:
        self.sendings.append(FakeSending(*what))
        self.sendings[-1].at_once = self.at_once
        return self.sendings[-1]


class Hit:
    """An exchange that answers with a file."""

    def __init__(self, stream: Any, request: Any, serving: Serving) -> None:
        self.stream = stream
        self.serving: Any = serving
        self.moved = 0
        self.ended: list[str] = []
        self.lost = 0
        self.path = request.target

    def answer(self) -> None:
        serving = self.serving
        fields = Fields([(b"Path", self.path)])
        self.stream.start(Response(200, fields), serving.length)
        self.stream.send_file(
            serving.sender, serving.file, serving.offset, serving.length, self._moved, self._ended
        )

    def _moved(self, count: int) -> None:
        assert count
        assert not self.lost
        assert not self.ended
        self.moved += count

    def _ended(self, why: str) -> None:
        assert not self.lost
        self.ended.append(why)
        if why:
            self.stream.break_off()
        else:
            self.stream.finish()

    def client_lost(self) -> None:
        self.lost += 1

    def client_ended(self) -> None: ...

    def body_received(self, data: bytes) -> None: ...
    def body_ended(self, trailers: object) -> None: ...
    def pause_response(self) -> None: ...
    def resume_response(self) -> None: ...


class File:
    """Of which somebody has to hold a reference."""

    def fileno(self) -> int:
        raise AssertionError("nobody reads")


class Serving:
    """A client leg whose requests are answered with bytes of `BODY` out of a file."""

    offset, length = 1000, 50_000

    def __init__(self, sender: Any = None, file: Any = None) -> None:
        self.clock = Clock()
        self.sweep = Sweep(self.clock)
        self.sweep.start()
        self.terms = Terms(Limits(), Timeouts(body=10.0, keepalive=60.0))
        self.sender: Any = sender or FakeSender()
        self.file: Any = file or File()
        self.kind = Hit
        self.hits: list[Hit] = []
        clients = Clients(self.terms, self.sweep)
        legs = ClientLegs(self, "forward", self.terms, self.sweep, clients)  # type: ignore[arg-type]
        self.leg = legs.buildProtocol(None)

    def connect(self, wire: type) -> Serving:
        self.wire = wire(self.leg)
        self.leg.makeConnection(self.wire)
        return self

    def begin(self, stream: Any, request: Any, framing: int) -> Hit:
        self.hits.append(self.kind(stream, request, self))
        self.hits[-1].answer()
        return self.hits[-1]

    def get(self, *paths: bytes, method: bytes = b"GET", version: bytes = b"1.1") -> None:
        asked = [b"%b %b HTTP/%b\r\nHost: a\r\n\r\n" % (method, path, version) for path in paths]
        self.wire.send(b"".join(asked))

    @property
    def sending(self) -> FakeSending:
        sending: FakeSending = self.sender.sendings[-1]
        return sending

    @property
    def body(self) -> bytes:
        return BODY[self.offset : self.offset + self.length]

    @property
    def got(self) -> list[tuple[bytes, bytes]]:
        """Which path each answer is of, and its body."""
        answers = messages(self.wire.value())
        return [(fields.partition(b"Path: ")[2].split()[0], body) for _, fields, body in answers]

    def wait(self, seconds: float) -> None:
        for _ in range(int(seconds * 4)):
            self.clock.advance(0.25)
            self.wire.settle()


@pytest.fixture
def serving(wire: type) -> Serving:
    return Serving().connect(wire)


def test_a_file(serving: Serving) -> None:
    serving.get(b"/1")
    assert serving.wire.value().endswith(b"Content-Length: 50000\r\n\r\n")
    assert serving.leg.stalled
    serving.sending.move(20_000)
    assert (serving.hits[0].moved, serving.hits[0].ended) == (20_000, [])
    serving.sending.move(30_000)
    assert (serving.hits[0].moved, serving.hits[0].ended) == (50_000, [""])
    assert serving.leg.passage is None
    assert not serving.leg.stalled
    serving.get(b"/2")
    serving.sending.move(50_000)
    assert serving.got == [(b"/1", serving.body), (b"/2", serving.body)]
    assert not serving.wire.disconnecting


def test_a_file_that_is_sent_at_once(serving: Serving) -> None:
    serving.sender.at_once = inf
    serving.get(b"/1", b"/2", b"/3")
    assert serving.got == [(path, serving.body) for path in (b"/1", b"/2", b"/3")]
    assert [hit.ended for hit in serving.hits] == [[""]] * 3
    assert serving.leg.passage is None
    serving.wait(59)
    assert not serving.wire.disconnecting
    serving.wait(2)
    assert serving.wire.disconnecting, "it is idle"


def test_what_is_asked_behind_a_file_waits(serving: Serving) -> None:
    serving.get(b"/1", b"/2")
    serving.get(b"/3")
    assert len(serving.hits) == 1
    serving.sending.move(50_000)
    assert len(serving.hits) == 2
    serving.sender.at_once = inf
    serving.sending.move(50_000)
    assert serving.got == [(path, serving.body) for path in (b"/1", b"/2", b"/3")]


class InPieces(Hit):
    """Ten bytes of the file, ten of its own, ten of the file."""

    def answer(self) -> None:
        self.stream.start(Response(200, Fields([(b"Path", self.path)])), 30)
        self._piece(0)

    def _piece(self, at: int) -> None:
        serving = self.serving
        self.stream.send_file(
            serving.sender,
            serving.file,
            at,
            10,
            self._moved,
            self._next if at == 0 else self._ended,
        )

    def _next(self, why: str) -> None:
        assert why == ""
        self.stream.write(b"[between].")
        self._piece(20)


@pytest.mark.parametrize("at_once", [0, inf])
def test_two_pieces_in_one_body(serving: Serving, at_once: float) -> None:
    serving.kind = InPieces
    serving.sender.at_once = at_once
    serving.get(b"/")
    for count in [] if at_once else [10, 4, 6]:
        serving.sending.move(count)
    assert serving.got == [(b"/", BODY[:10] + b"[between]." + BODY[20:30])]
    assert (serving.hits[0].moved, serving.hits[0].ended) == (20, [""])


def test_an_old_client_gets_a_file_and_the_end(serving: Serving) -> None:
    serving.get(b"/", version=b"1.0")
    serving.sending.move(50_000)
    assert serving.got == [(b"/", serving.body)]
    assert serving.wire.disconnecting


def test_to_head_no_byte_of_a_file_is_sent(serving: Serving) -> None:
    serving.get(b"/", method=b"HEAD")
    assert serving.sender.sendings == []
    assert (serving.hits[0].moved, serving.hits[0].ended) == (0, [""])
    serving.get(b"/next")
    serving.sending.move(50_000)
    assert serving.hits[1].ended == [""]


def test_a_file_with_a_fault_breaks_the_answer_off(serving: Serving) -> None:
    serving.get(b"/1", b"/2")
    serving.sending.move(20_000)
    before = serving.wire.value()
    serving.sending.end("it is 30000 bytes too short")
    assert serving.hits[0].ended == ["it is 30000 bytes too short"]
    assert serving.wire.half_closed, "there is a request that we leave unread"
    assert serving.wire.value() == before, "nothing in the place of what is missing"
    serving.wire.end()
    serving.wire.lose()
    assert len(serving.hits) == 1
    assert serving.hits[0].lost == 0


def test_a_client_that_does_not_read_a_file(serving: Serving) -> None:
    serving.get(b"/")
    serving.wait(9)
    serving.sending.move(1)
    serving.wait(9)
    assert not serving.wire.aborted
    serving.wire.acked += 1  # by the kernel only
    serving.wait(9)
    assert not serving.wire.aborted
    serving.wait(12)
    assert serving.wire.aborted
    assert serving.sending.cancelled
    assert (serving.hits[0].lost, serving.hits[0].ended, serving.hits[0].moved) == (1, [], 1)


def test_a_client_is_not_blamed_for_the_disk(serving: Serving) -> None:
    serving.get(b"/")
    serving.sending.waits_for_sink = False
    serving.wait(100)
    assert not serving.wire.aborted
    serving.sending.goes_on()
    serving.wait(9)
    assert not serving.wire.aborted
    serving.sending.move(50_000)
    serving.get(b"/2")
    serving.wait(12)
    assert serving.wire.aborted


def test_a_full_transport_is_told_to_the_sending(serving: Serving) -> None:
    serving.get(b"/")
    serving.leg.pauseProducing()
    assert serving.sending.paused
    serving.leg.resumeProducing()
    assert not serving.sending.paused
    assert serving.leg.stalled, "it is lent as ever"
    serving.sending.move(50_000)
    assert not serving.leg.stalled
    serving.leg.pauseProducing()
    assert serving.leg.stalled
    assert not serving.sending.paused


def test_a_file_for_a_transport_that_is_full_already(serving: Serving) -> None:
    begin = serving.begin

    def after_much(stream: Any, *what: Any) -> Any:
        serving.wire.taking = False
        stream.interim(Response(103, Fields([(b"Link", b"x" * 70_000)])))
        return begin(stream, *what)

    serving.begin = after_much  # type: ignore[method-assign]
    serving.get(b"/")
    assert serving.sending.paused
    serving.wire.take()
    assert not serving.sending.paused
    serving.sending.move(50_000)
    assert serving.hits[0].ended == [""]


ENDS: dict[str, Callable[[Serving], None]] = {
    "client_ends": lambda serving: serving.wire.lose(),
    "client_resets": lambda serving: serving.wire.lose(ConnectionLost),
    "exchange_aborts": lambda serving: serving.hits[-1].stream.abort(),
    "socket_is_dead": lambda serving: serving.sending.end(LOST),
    "broken_off": lambda serving: serving.hits[-1].stream.break_off(),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("moved", [0, 20_000])
def test_after_the_end_nobody_sends_or_is_told(
    serving: Serving, end: Callable[[Serving], None], moved: int
) -> None:
    serving.get(b"/1", b"/2")
    if moved:
        serving.sending.move(moved)
    end(serving)
    assert serving.sending.over
    assert serving.leg.passage is None
    serving.wire.settle()
    serving.wire.end()
    serving.wire.lose()
    assert len(serving.sweep) == 0
    assert len(serving.hits) == 1
    assert (serving.hits[0].moved, serving.hits[0].ended) == (moved, [])
    serving.hits[0].answer()  # too late: nothing happens
    assert len(serving.sender.sendings) == 1


def test_a_half_closed_client_gets_the_file(serving: Serving) -> None:
    serving.get(b"/")
    serving.wire.end()
    serving.sending.move(50_000)
    assert serving.got == [(b"/", serving.body)]
    assert serving.wire.disconnecting


def test_a_file_is_held_as_long_as_it_is_sent(serving: Serving) -> None:
    gone = weakref.ref(serving.file)
    gc.collect()
    gc.disable()
    try:
        serving.get(b"/")
        serving.file = None
        assert gone() is not None
        serving.sending.move(50_000)
        assert gone() is None
    finally:
        gc.enable()


def test_an_upload_that_nobody_waits_for_ends_where_a_file_begins(play: Between) -> None:
    lift = play.upload()
    sender, ends = FakeSender(), []
    play.leg.start(Response(200, Fields()), 10)
    play.leg.send_file(sender, File(), 0, 10, ends.append, ends.append)  # type: ignore[arg-type]
    assert lift.cancelled
    sender.sendings[0].move(10)
    assert ends == [10, ""]
    play.leg.finish()
    assert play.client.half_closed, "what is left of the request can't be told from the next one"
    assert play.client.value().endswith(b"\r\n\r\n" + BODY[:10])


# All of it real: a leg on a transport of each kind, a file, its sender


class Opened:
    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)
        self.fileno = self._file.fileno

    def __del__(self) -> None:
        self._file.close()


@pytest.fixture(params=KINDS)
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    if request.param != "epoll":
        pytest.importorskip("uvloop")
    machine = Machine(request.param)
    pool = machine.reactor.getThreadPool()
    pool.start()
    machine.closing.append(pool.stop)
    yield machine
    machine.close()


@pytest.mark.skipif(sys.platform != "linux", reason="no sendfile(2) like Linux's")
@pytest.mark.parametrize("way", ["kernel", "buffer"])
@pytest.mark.parametrize("length", [1, 1000, len(BODY) - 1000])
def test_on_real_connections(machine: Machine, tmp_path: Path, way: str, length: int) -> None:
    (tmp_path / "file").write_bytes(BODY)
    sender = Sender(machine.reactor)
    sender.able = way == "kernel"
    serving = Serving(sender, Opened(tmp_path / "file"))
    serving.length = length
    peer = machine.socket("tcp", serving.leg).peer
    asked = b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % n for n in range(5))
    for _ in range(3):
        peer.got.clear()
        peer.send(asked)
        machine.until(lambda: [peer.read(), len(messages(bytes(peer.got))) == 5][1])
        machine.until(lambda: len(messages(peer.read())[4][2]) == length)
        answers = messages(peer.read())
        assert [re.findall(rb"Path: (\S+)", fields) for _, fields, _ in answers] == [
            [b"/%d" % n] for n in range(5)
        ]
        assert {body for _, _, body in answers} == {serving.body}
    machine.until(lambda: serving.leg.state == "idle")
    assert [(hit.moved, hit.ended) for hit in serving.hits] == [(length, [""])] * 15
    figures = sender.snapshot()
    assert figures["sent" if way == "kernel" else "copied"] == 15 * length
    assert figures["now"] == 0
    assert peer.end == ""
