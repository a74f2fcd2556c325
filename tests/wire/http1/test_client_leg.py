"""client_leg: requests in order, each answered once, whatever the client does."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from math import inf
from typing import Any

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from zope.interface import implementer
from zope.interface.verify import verifyObject

from twistproxy.config.model import Limits, Timeouts
from twistproxy.http.errors import Problem
from twistproxy.http.fields import Fields
from twistproxy.http.framing import CHUNKED
from twistproxy.http.message import Request, Response
from twistproxy.net.sweep import Sweep
from twistproxy.wire import Terms
from twistproxy.wire.clients import Clients
from twistproxy.wire.http1.client_leg import ClientLegs

TIMEOUTS = Timeouts(head=10.0, body=30.0, keepalive=60.0)
LIMITS = Limits(head=2048, fields=20, uri=500, body=10_000, pipelined=4)


class Asked:
    """A `ClientSide` that writes down what it is told, and answers when the test says."""

    def __init__(self, stream: Any, request: Request | Problem, framing: int) -> None:
        self.stream = stream
        self.request = request
        self.framing = framing
        self.body = b""
        self.ended = framing == 0
        self.trailers: Fields | None = None
        self.broken: Problem | None = None
        self.lost = 0
        self.paused = False
        self.started = self.over = self.cut = False

    @property
    def target(self) -> bytes:
        return self.request.target if isinstance(self.request, Request) else b""

    @property
    def method(self) -> bytes:
        return self.request.method if isinstance(self.request, Request) else b"GET"

    # What the leg tells

    def body_received(self, data: bytes) -> None:
        assert data
        assert not self.ended
        assert not self.broken
        self.body += data

    def body_ended(self, trailers: Fields | None) -> None:
        assert not self.ended
        self.ended = True
        self.trailers = trailers

    def body_broken(self, problem: Problem) -> None:
        assert not self.ended
        self.broken = problem
        if self.started:
            self.break_off()
        else:
            self.answer(problem.status, b"broken")

    def client_lost(self) -> None:
        self.lost += 1
        self.over = True

    def client_ended(self) -> None: ...

    def pause_response(self) -> None:
        assert not self.paused
        self.paused = True

    def resume_response(self) -> None:
        assert self.paused
        self.paused = False

    # What the test does

    def start(
        self, status: int = 200, length: int | None = None, data: bytes = b"", **fields: str
    ) -> None:
        self.started = True
        if self.method == b"CONNECT":
            status = 403  # with 200 it would be no answer, but a tunnel
        lines = [(name.encode(), value.encode()) for name, value in fields.items()]
        self.stream.start(Response(status, Fields(lines)), length, data)

    def finish(self, trailers: Fields | None = None) -> None:
        self.over = True
        self.stream.finish(trailers)

    def answer(self, status: int = 200, data: bytes = b"ok") -> None:
        self.start(status, len(data), data)
        self.finish()

    def break_off(self) -> None:
        self.over = self.cut = True
        self.stream.break_off()

    def abort(self) -> None:
        self.over = True
        self.stream.abort()


class Door:
    """then: what to do with a request on the spot; what is no request is answered at once."""

    def __init__(self, then: Callable[[Asked], object] = lambda asked: None) -> None:
        self.then = then
        self.asked: list[Asked] = []

    def begin(self, stream: Any, request: Request | Problem, framing: int) -> Asked:
        assert all(asked.over for asked in self.asked), "begun before the last was answered"
        asked = Asked(stream, request, framing)
        self.asked.append(asked)
        if isinstance(request, Problem):
            asked.answer(request.status, b"problem")
        else:
            self.then(asked)
        return asked


def on_the_spot(asked: Asked) -> None:
    asked.answer(200, asked.target)


class Client:
    """A connection, its leg, and all around it."""

    def __init__(self, wire: type, door: Door | None = None, *, tls: bool = False, **peer: Any):
        self.clock = Clock()
        self.sweep = Sweep(self.clock)
        self.sweep.start()
        self.terms = Terms(LIMITS, TIMEOUTS)
        self.clients = Clients(self.terms, self.sweep)
        self.door = door or Door()
        self.legs = ClientLegs(self.door, "forward", self.terms, self.sweep, self.clients, tls)
        self._wire = wire
        self.connect(**peer)

    def connect(self, **peer: Any) -> None:
        self.leg = self.legs.buildProtocol(None)
        self.wire = self._wire(self.leg, **peer)
        self.leg.makeConnection(self.wire)

    @property
    def asked(self) -> list[Asked]:
        return self.door.asked

    @property
    def last(self) -> Asked:
        return self.door.asked[-1]

    def send(self, data: bytes, size: int = 1 << 20) -> None:
        for start in range(0, len(data), size):
            self.wire.send(data[start : start + size])

    def answers(self) -> list[Answer]:
        methods = [asked.method for asked in self.asked]
        return list(read(self.wire.value(), methods, ended=self.wire.half_closed or self.closed))

    @property
    def closed(self) -> bool:
        return bool(self.wire.disconnecting)

    def wait(self, seconds: float) -> None:
        self.clock.pump([0.25] * int(seconds * 4))

    def lose(self) -> None:
        self.wire.lose()
        assert len(self.clients) == 0
        assert len(self.sweep) == 0


class Answer:
    """interim: statuses before it. complete: its end has come."""

    def __init__(self) -> None:
        self.status = 0
        self.fields: dict[str, str] = {}
        self.body = b""
        self.interim: list[int] = []
        self.trailers: list[tuple[bytes, bytes]] = []
        self.complete = False

    @property
    def closes(self) -> bool:
        return self.fields.get("connection") == "close"


def read(data: bytes, methods: list[bytes], ended: bool) -> Iterator[Answer]:
    """Answers as h11 reads them, which takes nothing odd."""
    for method in methods:
        if not data:
            return
        client = h11.Connection(h11.CLIENT)
        client.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
        client.send(h11.EndOfMessage())
        client.receive_data(data)
        if ended:
            client.receive_data(b"")
        answer = Answer()
        while True:
            try:
                event = client.next_event()
            except h11.RemoteProtocolError:
                assert ended, "cut off, yet the connection is open"
                break
            if isinstance(event, h11.InformationalResponse):
                answer.interim.append(event.status_code)
            elif isinstance(event, h11.Response):
                answer.status = event.status_code
                answer.fields = {name.decode(): value.decode() for name, value in event.headers}
            elif isinstance(event, h11.Data):
                answer.body += event.data
            elif isinstance(event, h11.EndOfMessage):
                answer.complete = True
                answer.trailers = list(event.headers)
                break
            else:
                break
        data = client.trailing_data[0] if answer.complete else b""
        yield answer
    assert not data, f"nobody asked for {data!r}"


@pytest.fixture
def client(wire) -> Client:
    return Client(wire)


@pytest.fixture
def echo(wire) -> Client:
    """Whose requests are answered with their targets in the call that reads them."""
    return Client(wire, Door(on_the_spot))


def get(target: bytes = b"/", *lines: bytes, version: bytes = b"1.1") -> bytes:
    return b"\r\n".join([b"GET %b HTTP/%b" % (target, version), b"Host: a", *lines, b"", b""])


def post(*lines: bytes, body: bytes = b"", version: bytes = b"1.1") -> bytes:
    return b"\r\n".join([b"POST / HTTP/" + version, b"Host: a", *lines, b"", b""]) + body


LENGTH = b"Content-Length: 5"
TE = b"Transfer-Encoding: chunked"
CHUNKS = b"2\r\nab\r\n3\r\ncde\r\n0\r\nX-Sum: 1\r\n\r\n"
SIZES = pytest.mark.parametrize("size", [1, 7, 1 << 20], ids=["byte_by_byte", "by_seven", "whole"])


# -- one after the other ------------------------------------------------------------------------


@SIZES
def test_a_connection_is_kept_for_the_next_request(echo, size):
    for target in (b"/1", b"/2", b"/3"):
        echo.send(get(target), size)
        assert echo.answers()[-1].body == target
    assert echo.leg.requests == 3
    assert echo.leg.state == "idle"
    assert not echo.closed


def test_a_small_answer_leaves_in_one_write(echo):
    echo.send(get(b"/1"))
    assert echo.wire.writes == [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n/1"]
    echo.send(get(b"/2") + get(b"/3"))
    assert len(echo.wire.writes) == 3


@SIZES
def test_pipelined_requests_are_answered_in_order(client, size):
    client.send(get(b"/1") + post(LENGTH, body=b"abcde") + get(b"/3"), size)
    assert [asked.target for asked in client.asked] == [b"/1"]
    client.last.answer(200, b"one")
    assert [asked.target for asked in client.asked] == [b"/1", b"/"]
    assert (client.last.body, client.last.ended) == (b"abcde", True)
    client.last.answer(200, b"two")
    client.last.answer(200, b"three")
    assert [answer.body for answer in client.answers()] == [b"one", b"two", b"three"]


def test_requests_that_wait_are_bounded_in_number(client):
    client.send(get(b"/0"))
    for _ in range(LIMITS.pipelined - 1):
        client.send(get(b"/next"))
    assert client.wire.reads
    client.send(get(b"/next"))
    assert not client.wire.reads
    client.last.answer()
    assert client.wire.reads


def test_bytes_that_wait_are_bounded(client):
    client.send(get())
    client.send(b"x" * LIMITS.head)
    assert not client.wire.reads
    client.last.answer()
    assert client.answers()[-1].status == 400


@SIZES
def test_empty_lines_before_a_request_are_skipped(echo, size):
    """RFC 9112 §2.2"""
    echo.send(b"\r\n\r\n" + get(b"/1") + b"\r\n" + get(b"/2"), size)
    assert [answer.body for answer in echo.answers()] == [b"/1", b"/2"]


def test_a_lone_cr_before_a_request_is_refused(echo):
    echo.send(b"\r")
    assert echo.leg.state == "idle"
    echo.send(get())
    assert echo.answers()[0].status == 400


# -- the request's body ---------------------------------------------------------------------------


@SIZES
def test_a_body_of_a_length(client, size):
    client.send(post(LENGTH, body=b"abcde"), size)
    assert (client.last.framing, client.last.body, client.last.ended) == (5, b"abcde", True)
    client.last.answer()
    client.send(get(b"/2"), size)
    client.last.answer()
    assert [answer.status for answer in client.answers()] == [200, 200]


@SIZES
def test_a_body_in_chunks(client, size):
    client.send(post(TE, body=CHUNKS), size)
    assert (client.last.framing, client.last.body) == (CHUNKED, b"abcde")
    assert client.last.trailers == Fields([(b"X-Sum", b"1")])
    client.last.answer()
    assert not client.closed


def test_a_body_comes_as_it_is_read(client):
    client.send(post(LENGTH))
    for byte in (b"a", b"b", b"c"):
        client.send(byte)
        assert client.last.body.endswith(byte)
    assert not client.last.ended


def test_who_takes_no_more_is_sent_no_more(client):
    client.send(post(LENGTH, body=b"ab"))
    client.last.stream.pause_request()
    assert not client.wire.reads
    client.leg.dataReceived(b"cd")  # what a transport had read already
    assert client.last.body == b"ab"
    client.last.stream.resume_request()
    assert client.last.body == b"abcd"
    assert client.wire.reads


def test_a_body_waits_for_who_pauses_as_it_begins(client):
    client.door.then = lambda asked: asked.stream.pause_request()
    client.send(post(LENGTH, body=b"abcde") + get(b"/2"))
    assert (client.last.body, client.last.ended) == (b"", False)
    assert not client.wire.reads
    client.last.stream.resume_request()
    assert (client.last.body, client.last.ended) == (b"abcde", True)
    assert client.wire.reads


def test_a_pause_within_the_call_that_reads_costs_no_system_call(client):
    def sent_on_the_spot(asked: Asked) -> None:
        asked.stream.pause_request()
        asked.stream.resume_request()

    client.door.then = sent_on_the_spot
    calls = []
    client.wire.pauseProducing = lambda: calls.append("pause")
    client.wire.resumeProducing = lambda: calls.append("resume")
    client.send(post(LENGTH, body=b"abcde"))
    assert client.last.ended
    assert calls == []


def test_a_pause_in_the_middle_of_a_read(client):
    """By a server that is full: what is read already waits here, no more is read."""

    class Full(Asked):
        def body_received(self, data: bytes) -> None:
            super().body_received(data)
            self.stream.pause_request()

    client.door.begin = lambda *args: client.asked.append(Full(*args)) or client.last
    client.send(post(TE, body=b"2\r\nab\r\n"))
    assert client.last.body == b"ab"
    assert not client.wire.reads
    client.last.stream.resume_request()
    client.send(b"0\r\n\r\n")
    assert client.last.ended


@SIZES
def test_expect_100_continue(client, size):
    """RFC 9110 §10.1.1: who answers 100 is up to the exchange; the body may wait for it."""
    client.send(post(LENGTH, b"Expect: 100-continue"), size)
    client.last.stream.interim(Response(100, Fields()))
    assert client.wire.value() == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"abcde", size)
    client.last.answer()
    answer = client.answers()[0]
    assert (answer.interim, answer.status, answer.closes) == ([100], 200, False)


def test_a_body_that_nobody_asked_on_for_is_not_waited_for(client):
    """RFC 9110 §10.1.1: refused without a 100, the client may send the body or not."""
    client.send(post(LENGTH, b"Expect: 100-continue"))
    client.last.answer(417)
    assert client.answers()[0].closes


# -- answers ------------------------------------------------------------------------------------

ANSWERS = {
    "known_length": (b"GET", b"1.1", 200, 2, "content-length: 2", False),
    "unknown_length": (b"GET", b"1.1", 200, None, "transfer-encoding: chunked", False),
    "unknown_length_to_1_0": (b"GET", b"1.0", 200, None, "connection: close", True),
    "known_length_to_1_0": (b"GET", b"1.0", 200, 2, "content-length: 2", True),
    "head": (b"HEAD", b"1.1", 200, 0, "", False),
    "head_of_unknown_length": (b"HEAD", b"1.1", 200, None, "", False),
    "head_of_unknown_length_to_1_0": (b"HEAD", b"1.0", 200, None, "connection: close", True),
    "no_content": (b"GET", b"1.1", 204, 0, "", False),
    "not_modified": (b"GET", b"1.1", 304, 0, "", False),
    "not_modified_of_unknown_length": (b"GET", b"1.1", 304, None, "", False),
    "empty": (b"GET", b"1.1", 200, 0, "content-length: 0", False),
}


@pytest.mark.parametrize(
    ("method", "version", "status", "length", "field", "closes"), ANSWERS.values(), ids=ANSWERS
)
def test_how_an_answer_is_framed(client, method, version, status, length, field, closes):
    """RFC 9112 §6.3, §9.3"""
    client.send(get(version=version).replace(b"GET", method, 1))
    has_body = method == b"GET" and status == 200 and length != 0
    client.last.start(status, length, b"ab" if length != 0 else b"")
    client.last.finish()
    answer = client.answers()[0]
    fields = {f"{name}: {value}" for name, value in answer.fields.items()}
    assert (fields - {"connection: close"} or fields or {""}) == {field}
    assert (answer.body, answer.complete) == (b"ab" if has_body else b"", True)
    assert client.closed is closes


@pytest.mark.parametrize("length", [None, 4])
def test_no_body_is_sent_where_none_is_read(client, length):
    """RFC 9112 §6.3 rule 1: it would be taken for the next answer."""
    client.send(get().replace(b"GET", b"HEAD") + get(b"/2"))
    client.last.start(200, length, b"ab")
    client.last.stream.write(b"cd")
    client.last.finish()
    client.last.answer(200, b"two")
    assert [answer.body for answer in client.answers()] == [b"", b"two"]


def test_a_length_that_is_said_already_is_not_said_again(client):
    client.send(get().replace(b"GET", b"HEAD"))
    client.last.start(200, 0, **{"Content-Length": "99"})
    client.last.finish()
    assert client.answers()[0].fields == {"content-length": "99"}


def test_an_old_client_can_be_kept(echo):
    echo.send(get(b"/1", b"Connection: keep-alive", version=b"1.0"))
    assert echo.answers()[0].fields["connection"] == "keep-alive"
    echo.send(get(b"/2", version=b"1.0"))
    assert echo.answers()[1].closes
    assert echo.closed


def test_a_client_that_asks_for_the_close_gets_it(echo):
    """RFC 9112 §9.6: what comes behind is not looked at."""
    echo.send(get(b"/1", b"Connection: close") + get(b"/2"))
    assert [answer.closes for answer in echo.answers()] == [True]
    assert echo.wire.half_closed


def test_interim_answers(client):
    client.send(get())
    hints = Response(103, Fields([(b"Link", b"</a>"), (b"Content-Length", b"5")]), b"Hints")
    client.last.stream.interim(hints)
    assert client.wire.value() == b"HTTP/1.1 103 Hints\r\nLink: </a>\r\n\r\n"
    client.last.start(200, 2)
    client.last.stream.interim(hints)
    client.last.stream.write(b"ok")
    client.last.finish()
    assert [(answer.interim, answer.body) for answer in client.answers()] == [([103], b"ok")]


def test_an_old_client_gets_no_interim_answers(client):
    """RFC 9110 §15.2"""
    client.send(get(version=b"1.0"))
    client.last.stream.interim(Response(103, Fields()))
    assert client.wire.writes == []


def test_an_answer_in_pieces_with_trailers(client):
    client.send(get())
    client.last.start(200, None)
    for data in (b"ab", b"", b"cd"):
        client.last.stream.write(data)
    client.last.finish(Fields([(b"X-Sum", b"1")]))
    answer = client.answers()[0]
    assert (answer.body, answer.trailers) == (b"abcd", [(b"x-sum", b"1")])


def test_an_answer_before_the_body_has_come(client):
    """A streaming echo: the connection is closed after both, since nobody knows in which order."""
    client.send(post(TE, body=b"2\r\nab\r\n"))
    client.last.start(200, None, b"AB")
    client.send(b"2\r\ncd\r\n")
    client.last.stream.write(b"CD")
    client.send(b"0\r\n\r\n")
    assert (client.last.body, client.last.ended) == (b"abcd", True)
    client.last.finish()
    answer = client.answers()[0]
    assert (answer.body, answer.closes) == (b"ABCD", True)
    assert client.closed


# -- refused -------------------------------------------------------------------------------------

REFUSED = {
    "bad_line": (b"GET /\r\n\r\n", 400),
    "version": (b"GET / HTTP/2.0\r\n\r\n", 505),
    "no_host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "bare_lf": (b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
    "long_target": (get(b"/" + b"a" * 500), 414),
    "long_head": (get(b"/", b"A: " + b"b" * 2048), 431),
    "too_many_fields": (get(b"/", *[b"A: b"] * 20), 431),
    "both_lengths": (post(TE, LENGTH, body=CHUNKS), 400),
    "two_lengths": (post(LENGTH, b"Content-Length: 6", body=b"abcdef"), 400),
    "unknown_coding": (post(b"Transfer-Encoding: gzip, chunked", body=CHUNKS), 501),
    "chunked_in_1_0": (post(TE, body=CHUNKS, version=b"1.0"), 400),
    "no_length_in_1_0": (post(version=b"1.0"), 411),
    "connect_with_length": (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 400),
    "length_over_limit": (post(b"Content-Length: 10001"), 413),
    "not_http": (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", 400),
}


@SIZES
@pytest.mark.parametrize(("data", "status"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_request_is_answered_and_ends_the_connection(client, data, status, size):
    client.send(data + get(b"/smuggled"), size)
    answer = client.answers()[0]
    assert (answer.status, answer.closes) == (status, True)
    assert len(client.asked) == 1
    # It lingers: what still comes is read and thrown away, so that the answer can be read.
    assert client.wire.half_closed
    assert client.wire.reads
    client.send(get(b"/smuggled"))
    assert len(client.asked) == 1
    client.wire.end()
    client.lose()
    client.connect()
    client.door.then = on_the_spot
    client.send(get(b"/next"))
    assert client.wire.value().endswith(b"/next")


BROKEN = {
    "chunk_size": (post(TE), b"g\r\n", 400),
    "chunk_end": (post(TE), b"2\r\nabc\r\n", 400),
    "trailers": (post(TE), b"0\r\nA : b\r\n\r\n", 400),
    "over_the_limit": (post(TE), b"2711\r\n" + b"a" * 10_001, 413),
    "over_the_limit_in_chunks": (post(TE), b"1000\r\n" + b"a" * 4096 + b"\r\n", 413),
}


@SIZES
@pytest.mark.parametrize(("head", "body", "status"), BROKEN.values(), ids=BROKEN)
def test_a_broken_body(client, head, body, status, size):
    client.send(head)
    while client.last.broken is None:
        client.send(body, size)
    assert client.last.broken.status == status
    assert len(client.last.body) <= LIMITS.body
    assert client.wire.half_closed
    assert [(answer.status, answer.closes) for answer in client.answers()] == [(status, True)]


def test_a_body_that_breaks_during_the_answer(client):
    client.send(post(TE))
    client.last.start(200, 5, b"ab")
    client.send(b"g\r\n")
    # What was written goes out: its framing shows that some is missing.
    assert client.wire.half_closed
    assert client.wire.value().endswith(b"ab")


def the_end(client: Client) -> None:
    client.wire.end()


def a_bad_chunk(client: Client) -> None:
    client.send(b"g\r\n")


def no_more_bytes(client: Client) -> None:
    client.wait(TIMEOUTS.body + 1)


@pytest.mark.parametrize("breaks", [the_end, a_bad_chunk, no_more_bytes])
def test_an_answer_whose_request_breaks_is_seen_to_be_cut(client, breaks):
    """Its last chunk is not sent (RFC 9112 §8), nor a second answer into its middle."""
    client.send(post(TE, body=b"2\r\nab\r\n"))
    client.last.start(200, None, b"AB")
    breaks(client)
    assert client.last.cut
    assert (client.last.body, client.last.ended) == (b"ab", False)
    [answer] = client.answers()
    assert (answer.status, answer.body, answer.closes) == (200, b"AB", True)
    assert not answer.complete
    assert client.closed or client.wire.half_closed


def test_a_body_at_the_limit(client):
    client.send(post(TE, body=b"2710\r\n" + b"a" * 10_000 + b"\r\n0\r\n\r\n"))
    assert client.last.ended


def test_a_length_at_the_limit(client):
    client.send(post(b"Content-Length: 10000", body=b"a" * 10_000))
    assert (len(client.last.body), client.last.ended) == (10_000, True)


def test_no_limit(client):
    client.terms.limits = Limits(body=0)
    client.send(post(b"Content-Length: 999999999999"))
    client.send(b"a" * 100_000)
    assert len(client.last.body) == 100_000


@SIZES
@pytest.mark.parametrize("framing", [LENGTH, TE])
def test_an_answer_while_the_body_still_comes_ends_the_connection(client, framing, size):
    """413 or 403 before the body: its rest must not be taken for a request."""
    client.send(post(framing), size)
    client.last.answer(403)
    answer = client.answers()[0]
    assert (answer.status, answer.closes) == (403, True)
    assert client.wire.half_closed
    client.send(b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n", size)
    assert len(client.asked) == 1
    client.wire.end()
    client.lose()


def test_an_answer_when_the_body_is_here_already_keeps_the_connection(client):
    client.door.then = lambda asked: asked.answer(403)
    client.send(post(LENGTH, body=b"GET /") + get(b"/2"))
    assert [asked.target for asked in client.asked] == [b"/", b"/2"]
    assert client.asked[0].body == b""
    assert not any(answer.closes for answer in client.answers())


def test_the_same_after_a_pause(client):
    client.door.then = lambda asked: asked.stream.pause_request()
    client.send(post(LENGTH, body=b"GET /") + get(b"/2"))
    client.asked[0].answer(502)
    client.last.answer()
    assert [answer.status for answer in client.answers()] == [502, 200]
    assert client.wire.reads


# -- the client's end ----------------------------------------------------------------------------

HALVES = {
    "in_the_first_line": b"GET / HT",
    "in_the_head": b"GET / HTTP/1.1\r\nHost: a",
    "in_a_sized_body": post(LENGTH, body=b"ab"),
    "in_a_chunk": post(TE, body=b"5\r\nab"),
    "before_the_last_chunk": post(TE, body=b"2\r\nab\r\n"),
    "in_the_trailers": post(TE, body=b"0\r\nA: "),
    "after_another_request": b"GET /0 HTTP/1.1\r\nHost: a\r\n\r\nGET /",
}


@SIZES
@pytest.mark.parametrize("data", HALVES.values(), ids=HALVES)
def test_half_a_request_is_a_bad_one(client, data, size):
    client.door.then = lambda asked: asked.target == b"/0" and asked.answer()
    client.send(data, size)
    client.wire.end()
    client.wire.end()  # a resumed transport tells it again
    assert client.answers()[-1].status == 400
    assert client.closed


def test_a_whole_request_is_answered(client):
    client.send(get(b"/1") + get(b"/2"))
    client.wire.end()
    assert not client.closed
    client.last.answer(200, b"one")
    client.last.answer(200, b"two")
    assert [answer.body for answer in client.answers()] == [b"one", b"two"]
    assert client.closed


def test_a_whole_body_that_waits_is_read_before_the_end(client):
    client.door.then = lambda asked: asked.stream.pause_request()
    client.send(post(LENGTH, body=b"abcde"))
    client.wire.end()
    assert client.last.broken is None
    client.last.stream.resume_request()
    assert (client.last.body, client.last.ended) == (b"abcde", True)
    client.last.answer()
    assert client.closed


def test_half_a_body_that_waits_is_read_before_the_end(client):
    client.door.then = lambda asked: asked.stream.pause_request()
    client.send(post(LENGTH, body=b"abc"))
    client.wire.end()
    assert client.last.broken is None
    client.last.stream.resume_request()
    assert client.last.body == b"abc"
    assert client.answers()[0].status == 400


def test_an_end_is_not_read_again(client):
    """A transport that is resumed after its end tells that again and again."""
    client.send(get())
    client.send(b"x" * LIMITS.head)
    client.wire.end()
    client.last.answer()
    assert client.wire.producerState == "paused"


@pytest.mark.parametrize("data", [b"", b"\r\n", b"\r", get(b"/1")])
def test_an_end_between_requests_is_a_goodbye(echo, data):
    echo.send(data)
    echo.wire.end()
    assert echo.closed
    assert [answer.body for answer in echo.answers()] == [b"/1"] * bool(data.strip())


@pytest.mark.parametrize("reason", [ConnectionDone, ConnectionLost])
def test_an_exchange_is_told_of_the_loss_once(client, reason):
    client.send(post(LENGTH, body=b"a"))
    client.wire.lose(reason)
    assert client.last.lost == 1
    assert (len(client.clients), len(client.sweep)) == (0, 0)


def test_after_the_loss_nothing_is_written_and_nothing_raises(client):
    client.send(post(LENGTH, body=b"a"))
    asked = client.last
    client.lose()
    asked.stream.interim(Response(103, Fields()))
    asked.start(200, None, b"a")
    asked.stream.write(b"b")
    asked.stream.pause_request()
    asked.stream.resume_request()
    asked.stream.finish()
    asked.stream.abort()
    client.leg.drain()
    client.leg.pauseProducing()
    client.leg.resumeProducing()
    client.leg.readConnectionLost()
    client.leg.dataReceived(get())
    assert (len(client.asked), client.wire.writes, asked.lost) == (1, [], 1)


def test_a_loss_in_the_call_that_begins(client):
    """As a transport may that fails within a write."""
    client.door.then = lambda asked: client.wire.lose()
    client.send(get() + get())
    assert [asked.lost for asked in client.asked] == [1]
    assert (len(client.clients), len(client.sweep)) == (0, 0)


@pytest.mark.parametrize("length", [5, None], ids=["length", "chunks"])
def test_a_broken_answer_goes_out_as_far_as_it_came(client, length):
    client.send(get() + get(b"/2"))
    client.last.start(200, length, b"ab")
    client.last.break_off()
    assert b"ab" in client.wire.value()
    assert not client.wire.value().endswith(b"0\r\n\r\n")
    assert not client.wire.aborted
    client.wire.settle()
    client.wire.end()
    client.wire.settle()
    assert len(client.asked) == 1
    assert (len(client.clients), len(client.sweep)) == (0, 0)


def test_a_broken_answer_that_only_the_close_ends_is_reset(client):
    """So that nobody takes the half for the whole."""
    client.send(get(version=b"1.0"))
    client.last.start(200, None, b"ab")
    client.last.break_off()
    assert client.wire.aborted


def test_an_abort_is_the_end(client):
    client.send(get() + get(b"/2"))
    client.last.start(200, 5, b"ab")
    client.last.abort()
    assert client.wire.aborted
    client.last.stream.write(b"cd")
    client.last.stream.finish()
    client.wire.settle()
    assert len(client.asked) == 1
    assert (len(client.clients), len(client.sweep)) == (0, 0)


# -- who does not read ---------------------------------------------------------------------------


def test_a_client_that_does_not_read_pauses_the_exchange(client):
    client.wire.taking = False
    client.send(get())
    client.last.start(200, None, b"a" * 60_000)
    assert not client.last.paused
    client.last.stream.write(b"a" * 10_000)
    client.last.stream.write(b"a")  # which a transport answers with another pause
    assert client.last.paused
    client.wire.take(60_000)
    assert client.last.paused
    client.wire.take()
    assert not client.last.paused


def test_an_exchange_whose_first_write_was_too_much_is_paused(client):
    client.wire.taking = False
    client.door.then = lambda asked: asked.start(200, None, b"a" * 70_000)
    client.send(get())
    assert client.last.paused
    client.wire.take()
    assert not client.last.paused


def test_nothing_is_begun_for_a_client_that_does_not_read(echo):
    """Else a read of pipelined requests would become any amount of answers."""
    echo.terms.limits = Limits(pipelined=10_000)
    echo.door.then = lambda asked: asked.answer(200, b"a" * 10_000)
    echo.wire.taking = False
    echo.send(get() * 100)
    begun = len(echo.asked)
    assert begun < 10
    echo.wire.take()
    assert begun < len(echo.asked) < 3 * begun
    assert not echo.closed
    echo.wire.taking = True
    while echo.wire.unsent:
        echo.wire.take()
    assert len(echo.answers()) == 100


def test_what_waits_for_a_client_that_does_not_read_is_bounded(echo):
    echo.door.then = lambda asked: asked.answer(200, b"a" * 70_000)
    echo.wire.taking = False
    echo.send(get())
    for _ in range(LIMITS.pipelined):
        assert echo.wire.reads
        echo.send(get())
    assert not echo.wire.reads
    echo.wire.end()
    echo.wire.taking = True
    echo.wire.take()
    assert len(echo.answers()) == 5
    assert echo.closed


def test_a_client_that_stops_reading_is_ended(client):
    client.wire.taking = False
    client.send(get())
    client.last.start(200, None, b"a" * 70_000)
    client.wait(29.5)
    assert not client.closed
    client.wait(1)
    assert client.wire.aborted


def test_a_client_that_reads_a_little_is_not(client):
    client.wire.taking = False
    client.send(get())
    client.last.start(200, None, b"a" * 70_000)
    for _ in range(20):
        client.wire.take(1)
        client.wait(29)
    assert not client.closed
    client.wait(61)
    assert client.wire.aborted


def test_sending_is_no_excuse_for_not_reading(client):
    client.wire.taking = False
    client.send(post(TE))
    client.last.start(200, None, b"a" * 70_000)
    for _ in range(4):
        client.send(b"1\r\na\r\n")
        client.last.stream.pause_request()
        client.last.stream.resume_request()
        client.wait(10)
    assert client.wire.aborted


def test_a_request_that_ends_is_no_excuse_either(client):
    client.wire.taking = False
    client.send(post(LENGTH))
    client.last.start(200, None, b"a" * 70_000)
    client.send(b"abcde")
    client.wait(31)
    assert client.wire.aborted


def test_a_last_answer_is_sent_in_full_to_who_reads_slowly(client):
    client.wire.taking = False
    client.send(get(b"/", b"Connection: close"))
    client.last.answer(200, b"a" * 70_000)
    for _ in range(10):
        client.wire.take(1)
        client.wait(29)
    assert not client.wire.aborted
    client.wait(61)
    assert client.wire.aborted


# -- time-outs -----------------------------------------------------------------------------------


def nothing(client: Client) -> None:
    pass


def half_a_head(client: Client) -> None:
    client.send(b"GET / HTTP/1.1\r\n")


def a_head_after_another(client: Client) -> None:
    client.send(get())
    client.last.answer()
    client.send(b"GET /")


def half_a_body(client: Client) -> None:
    client.send(post(LENGTH, body=b"ab"))


def idle(client: Client) -> None:
    client.send(get())
    client.last.answer()


def lingering(client: Client) -> None:
    client.send(b"\0")


TIMEOUT = {
    "nothing": (nothing, TIMEOUTS.head, None, "lost"),
    "head": (half_a_head, TIMEOUTS.head, 408, "half"),
    "second_head": (a_head_after_another, TIMEOUTS.head, 408, "half"),
    "body": (half_a_body, TIMEOUTS.body, 408, "half"),
    "idle": (idle, TIMEOUTS.keepalive, 200, "lost"),
    "lingering": (lingering, TIMEOUTS.body, 400, "aborted"),
}


@pytest.mark.parametrize(("before", "seconds", "status", "end"), TIMEOUT.values(), ids=TIMEOUT)
def test_timeouts(client, before, seconds, status, end):
    before(client)
    client.wait(seconds - 0.5)
    assert not client.closed
    client.wait(1)
    assert client.wire.half_closed is (end == "half" or before is lingering)
    assert client.wire.aborted is (end == "aborted")
    assert client.closed is (end != "half")
    answers = client.answers()
    assert (answers[-1].status if answers else None) == status


def test_a_head_has_its_time_in_all(client):
    for byte in get()[:20]:
        client.send(bytes([byte]))
        client.wait(0.5)
    assert client.answers()[0].status == 408


def test_a_body_has_its_time_between_bytes(client):
    client.send(post(b"Content-Length: 10"))
    for byte in b"abcdefghi":
        client.wait(29)
        client.send(bytes([byte]))
    assert client.last.broken is None
    assert len(client.last.body) == 9


NO_TIMEOUT = {
    "exchange": lambda client: client.send(get()),
    "paused_body": lambda client: (
        client.send(post(LENGTH, body=b"a")),
        client.last.stream.pause_request(),
    ),
    "body_begun_paused": lambda client: (
        setattr(client.door, "then", lambda asked: asked.stream.pause_request()),
        client.send(post(LENGTH, body=b"a")),
    ),
}


@pytest.mark.parametrize("before", NO_TIMEOUT.values(), ids=NO_TIMEOUT)
def test_a_client_is_not_blamed_for_others(client, before):
    before(client)
    client.wait(200)
    assert not client.closed
    assert client.last.broken is None


def test_a_paused_body_has_its_time_again_when_it_goes_on(client):
    client.send(post(LENGTH, body=b"a"))
    client.last.stream.pause_request()
    client.wait(100)
    client.last.stream.resume_request()
    client.wait(29)
    assert not client.wire.half_closed
    client.wait(2)
    assert client.answers()[0].status == 408


# -- tunnels --------------------------------------------------------------------------------------


@implementer(IHalfCloseableProtocol)
class Tunnel(Protocol):
    def __init__(self) -> None:
        self.told: list[object] = []

    def connectionMade(self) -> None:
        self.told.append("made")

    def dataReceived(self, data: bytes) -> None:
        self.told.append(data)

    def readConnectionLost(self) -> None:
        self.told.append("end")

    def writeConnectionLost(self) -> None:
        self.told.append("write end")

    def connectionLost(self, reason: Any) -> None:
        self.told.append("lost")


SWITCHING = Response(
    101, Fields([(b"Upgrade", b"x"), (b"Connection", b"Upgrade"), (b"Content-Length", b"5")])
)
CONNECT = b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n"


@SIZES
def test_a_tunnel_gets_what_came_early_and_what_comes(client, size):
    client.send(CONNECT, size)
    client.send(b"early", size)
    tunnel = Tunnel()
    client.last.stream.hand_over(Response(200, Fields([(b"Content-Length", b"5")])), tunnel)
    assert client.wire.writes == [b"HTTP/1.1 200 OK\r\n\r\n"]
    assert tunnel.told == ["made", b"early"]
    assert client.wire.producer is None  # it may register its own
    client.send(b"late")
    client.leg.writeConnectionLost()
    client.wire.end()
    client.wait(1000)
    assert client.leg.state == "tunnel"
    assert len(client.clients) == 1
    client.lose()
    assert tunnel.told == ["made", b"early", b"late", "write end", "end", "lost"]
    assert client.last.lost == 0


def test_a_tunnel_on_the_spot(client):
    tunnel = Tunnel()
    client.door.then = lambda asked: asked.stream.hand_over(SWITCHING, tunnel)
    client.send(get(b"/", b"Connection: upgrade", b"Upgrade: x") + b"early")
    assert tunnel.told == ["made", b"early"]
    assert client.wire.value() == (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"
    )


def test_a_tunnel_of_a_client_that_has_ended(client):
    client.send(CONNECT + b"early")
    client.wire.end()
    tunnel = Tunnel()
    client.last.stream.hand_over(Response(200, Fields()), tunnel)
    assert tunnel.told == ["made", b"early", "end"]


def test_what_comes_before_a_tunnel_is_bounded_and_read_on_then(client):
    client.send(CONNECT)
    client.send(b"x" * LIMITS.head)
    assert not client.wire.reads
    tunnel = Tunnel()
    client.last.stream.hand_over(Response(200, Fields()), tunnel)
    assert client.wire.reads


def test_a_tunnel_for_a_client_that_is_gone(client):
    client.send(CONNECT)
    client.leg.abort()
    tunnel = Tunnel()
    client.last.stream.hand_over(Response(200, Fields()), tunnel)
    client.wire.settle()
    assert tunnel.told == []
    assert client.last.lost == 1


def test_a_tunnel_can_be_aborted(client):
    client.send(CONNECT)
    tunnel = Tunnel()
    client.last.stream.hand_over(Response(200, Fields()), tunnel)
    client.clients.abort()
    client.wire.settle()
    assert tunnel.told == ["made", "lost"]


# -- who comes ------------------------------------------------------------------------------------

PEERS = {
    "ipv4": (IPv4Address("TCP", "192.0.2.1", 5), "192.0.2.1", 5),
    "ipv6": (IPv6Address("TCP", "2001:db8::1", 5), "2001:db8::1", 5),
    "mapped": (IPv6Address("TCP", "::ffff:192.0.2.1", 5), "192.0.2.1", 5),
    "unix": (UNIXAddress("/run/a"), "", 0),
}


@pytest.mark.parametrize(("address", "text", "port"), PEERS.values(), ids=PEERS)
def test_peers(wire, address, text, port):
    client = Client(wire, peerAddress=address, hostAddress=IPv4Address("TCP", "192.0.2.9", 80))
    peer = client.leg.peer
    assert (client.leg.address, peer.address, peer.port) == (text, text, port)
    assert (peer.local_port, peer.tls, peer.sni, client.leg.side) == (80, False, None, "forward")
    client.lose()
    assert client.leg.peer is peer


def test_one_too_many_is_told_and_closed_at_once(wire):
    client = Client(wire)
    client.terms.limits = Limits(connections=1)
    first = client.leg
    client.connect()
    assert client.answers()[0].status == 503
    assert client.closed
    assert not client.wire.half_closed  # it takes nobody's time
    assert len(client.clients) == 1
    client.wire.settle()
    assert len(client.clients) == 1
    assert len(client.sweep) == 1
    client.send(get())
    assert first.state == "idle"


def test_one_too_many_gets_no_handshake(wire):
    client = Client(wire, tls=True)
    client.terms.limits = Limits(connections=1)
    client.connect()
    assert client.wire.aborted
    client.wire.settle()
    assert (len(client.clients), len(client.sweep)) == (1, 1)


def test_under_tls_a_refusal_is_closed_whole(wire):
    """TLS has no half-close; its goodbye waits for the client's."""
    client = Client(wire, tls=True)
    client.send(b"GET /\r\n\r\n")
    assert client.answers()[0].status == 400
    assert client.closed
    assert not client.wire.half_closed


def test_under_tls_a_goodbye_is_heard(wire):
    client = Client(wire, tls=True)
    client.send(get(b"/", b"Connection: close"))
    client.leg.dataReceived(b"x" * LIMITS.head)
    assert not client.wire.reads
    client.last.answer()
    assert client.wire.producerState == "producing"


def test_interfaces(client):
    assert verifyObject(IHalfCloseableProtocol, client.leg)


# -- draining --------------------------------------------------------------------------------------


def test_draining_ends_who_is_idle_at_once(client):
    client.terms.draining = True
    client.clients.drain()
    assert client.closed


def test_draining_ends_others_after_their_answer(client):
    client.send(get() + get(b"/2"))
    client.terms.draining = True
    client.clients.drain()
    assert not client.closed
    client.last.answer()
    assert [answer.closes for answer in client.answers()] == [True]
    assert len(client.asked) == 1


def test_draining_during_an_answer(client):
    client.send(get())
    client.last.start(200, 4, b"ab")
    client.terms.draining = True
    client.clients.drain()
    client.last.stream.write(b"cd")
    client.last.finish()
    assert client.answers()[0].complete
    assert client.closed


# -- what is left ----------------------------------------------------------------------------------


def served(client: Client) -> None:
    client.send(get())
    client.last.answer()


def in_a_body(client: Client) -> None:
    client.send(post(TE, body=b"2\r\na"))


def paused_and_stalled(client: Client) -> None:
    client.wire.taking = False
    client.send(post(LENGTH, body=b"a"))
    client.last.stream.pause_request()
    client.last.start(200, None, b"a" * 70_000)


def in_a_tunnel(client: Client) -> None:
    client.send(CONNECT)
    client.last.stream.hand_over(Response(200, Fields()), Tunnel())


def aborted(client: Client) -> None:
    client.send(get())
    client.last.abort()


LIVES = [
    nothing,
    half_a_head,
    served,
    in_a_body,
    paused_and_stalled,
    in_a_tunnel,
    aborted,
    lingering,
]


@pytest.mark.parametrize("live", LIVES)
def test_a_leg_and_its_exchange_leave_no_cycle(wire, live):
    client = Client(wire)
    live(client)
    client.lose()
    gone = [weakref.ref(client.leg), *(weakref.ref(asked) for asked in client.asked)]
    gc.collect()
    gc.disable()
    try:
        client.asked.clear()  # it is the test that keeps them
        del client
        assert [ref() for ref in gone] == [None] * len(gone)
    finally:
        gc.enable()


# -- whatever comes --------------------------------------------------------------------------------


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


MESSAGES = st.lists(
    st.one_of(
        st.binary(max_size=12).map(
            lambda data: (
                post(b"Content-Length: %d" % len(data), body=data), data if data else b""
            )
        ),
        st.lists(st.binary(min_size=1, max_size=6), max_size=4).map(
            lambda chunks: (
                post(TE, body=b"".join(map(chunk, chunks)) + b"0\r\n\r\n"),
                b"".join(chunks),
            )
        ),
        st.sampled_from([(get(b"/x"), b""), (b"\r\n" + get(b"/y"), b"")]),
    ),
    min_size=1,
    max_size=5,
)  # fmt: skip


@given(st.data())
def test_however_it_is_cut_it_is_the_same(wire, data):
    """Whether answered at once or later, and wherever the reads end."""
    messages = data.draw(MESSAGES)
    stream = b"".join(message for message, _ in messages)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=8))
    later = data.draw(st.booleans())
    client = Client(wire, Door() if later else Door(lambda asked: asked.ended and asked.answer()))
    client.terms.limits = Limits()
    start = 0
    for cut in [*sorted(cuts), len(stream)]:
        if start < cut:
            client.send(stream[start:cut])
        start = cut
    while len(client.asked) < len(messages) or not client.last.over:
        client.last.answer()
    assert [asked.body for asked in client.asked] == [
        body if later or body else b"" for _, body in messages
    ]
    assert all(asked.ended for asked in client.asked)
    assert [answer.status for answer in client.answers()] == [200] * len(messages)


FRAGMENTS = st.lists(
    st.sampled_from([
        get(), post(LENGTH), post(TE), b"abcde", CHUNKS, b"GET", b" / ", b"HTTP/1.1\r\n",
        b"Host: a\r\n", b"\r\n", b"\n", b"5\r\n", b"\0", CONNECT, b"x" * 2500,
        post(LENGTH, b"Expect: 100-continue"), get(version=b"1.0"),
    ])
    | st.binary(max_size=30),
    max_size=12,
)  # fmt: skip


@given(FRAGMENTS, st.booleans())
def test_arbitrary_bytes_end_in_answers_and_a_close(wire, fragments, at_once):
    client = Client(wire, Door(on_the_spot) if at_once else None)
    for fragment in fragments:
        client.send(fragment)
        if not at_once and client.asked and not client.last.over and client.last.ended:
            client.last.answer()
    client.wire.end()
    while client.asked and not client.last.over:
        client.last.answer()
    assert all(answer.complete for answer in client.answers())
    assert len(client.answers()) == len(client.asked)
    assert client.closed
    client.wire.settle()
    client.lose()


WHOLE = [
    get(), get(), get(version=b"1.0"), get(b"/", b"Connection: close"), b"\r\n" + get(),
    get().replace(b"GET", b"HEAD"), post(LENGTH, body=b"abcde"), post(TE, body=CHUNKS), CONNECT,
]  # fmt: skip
BODIES_BEGUN = [
    (post(LENGTH, body=b"ab"), b"cde"), (post(TE, body=b"5\r\nab"), b"cde\r\n0\r\n\r\n"),
    (post(LENGTH, b"Expect: 100-continue"), b"abcde" + get()),
]  # fmt: skip
BEGUN = [get()[:9], get()[:-2], post(LENGTH, body=b"ab"), post(TE, body=b"5\r\n"), b"\r\n"]


class Walk(RuleBasedStateMachine):
    """A client, an exchange and the clock do what they may, in any order."""

    wire: type

    def __init__(self) -> None:
        super().__init__()
        self.client = Client(self.wire)
        self.steps = 0
        self.rest = b""  # of a body
        self.tunnel = False

    @property
    def open(self) -> Asked | None:
        """The exchange that has not answered yet, as far as it knows."""
        asked = self.client.asked
        return asked[-1] if asked and not asked[-1].over else None

    @property
    def late(self) -> bool:
        """What ends it all comes late, or walks would be short."""
        return self.steps > 15

    @rule(messages=st.lists(st.sampled_from(WHOLE), min_size=1, max_size=3))
    def send(self, messages: list[bytes]) -> None:
        self.client.send(b"".join(messages))

    @rule(data=st.sampled_from(WHOLE), size=st.integers(1, 40))
    def send_in_pieces(self, data: bytes, size: int) -> None:
        self.client.send(data, size)

    @precondition(lambda self: self.client.leg.state == "idle")
    @rule(begin=st.sampled_from(BODIES_BEGUN))
    def send_the_beginning(self, begin: tuple[bytes, bytes]) -> None:
        data, self.rest = begin
        self.client.send(data)

    @precondition(lambda self: self.rest and self.client.leg.state == "body")
    @rule()
    def send_the_rest(self) -> None:
        self.client.send(self.rest)

    @precondition(lambda self: self.late)
    @rule(data=st.sampled_from(BEGUN))
    def send_half(self, data: bytes) -> None:
        self.client.send(data)

    @precondition(lambda self: self.late)
    @rule(data=st.binary(min_size=1, max_size=9))
    def send_junk(self, data: bytes) -> None:
        self.client.send(data)

    @precondition(lambda self: self.late)
    @rule()
    def end(self) -> None:
        self.client.wire.end()

    @rule(taking=st.booleans(), count=st.sampled_from([1, 1000, 10**9]))
    def take(self, taking: bool, count: int) -> None:
        self.client.wire.taking = taking
        self.client.wire.take(count)

    @rule()
    def wait(self) -> None:
        self.client.wait(1)

    @precondition(lambda self: self.late)
    @rule(seconds=st.sampled_from([11, 31, 61]))
    def wait_long(self, seconds: int) -> None:
        self.client.wait(seconds)

    @rule()
    def settle(self) -> None:
        self.client.wire.settle()

    @precondition(lambda self: self.late)
    @rule(reason=st.sampled_from([ConnectionDone, ConnectionLost]))
    def lose(self, reason: type[Exception]) -> None:
        self.client.wire.lose(reason)

    @precondition(lambda self: self.late)
    @rule(abort=st.booleans())
    def end_all(self, abort: bool) -> None:
        if abort:
            self.client.clients.abort()
        else:
            self.client.terms.draining = True
            self.client.clients.drain()

    @precondition(lambda self: self.open)
    @rule(size=st.sampled_from([1, 70_000]))
    def answer(self, size: int) -> None:
        asked = self.open
        assert asked
        if asked.started:
            asked.finish()
        else:
            asked.answer(200, b"a" * size)

    @precondition(lambda self: self.open and not self.open.started)
    @rule(size=st.sampled_from([0, 1, 70_000]))
    def start(self, size: int) -> None:
        assert self.open
        self.open.start(200, None, b"a" * size)

    @precondition(lambda self: self.open and self.open.started)
    @rule(size=st.sampled_from([1, 70_000]))
    def write(self, size: int) -> None:
        assert self.open
        self.open.stream.write(b"a" * size)

    @precondition(lambda self: self.open and not self.open.started)
    @rule()
    def interim(self) -> None:
        assert self.open
        self.open.stream.interim(Response(103, Fields()))

    @precondition(lambda self: self.open)
    @rule(what=st.sampled_from(["pause_request", "resume_request"]))
    def tell(self, what: str) -> None:
        assert self.open
        getattr(self.open.stream, what)()

    @precondition(lambda self: self.open and self.late)
    @rule()
    def abort(self) -> None:
        assert self.open
        self.open.abort()

    @precondition(
        lambda self: self.steps > 5 and self.open and self.open.ended and not self.open.started
    )
    @rule()
    def hand_over(self) -> None:
        asked = self.open
        assert asked
        asked.over = self.tunnel = True
        asked.stream.hand_over(Response(200, Fields()), Tunnel())

    @invariant()
    def a_step(self) -> None:
        self.steps += 1

    @invariant()
    def a_lost_leg_is_nowhere(self) -> None:
        client = self.client
        assert len(client.clients) == (not client.wire.lost)
        if client.wire.lost:
            assert len(client.sweep) == 0
            assert client.leg._buffer == b""

    @invariant()
    def somebody_is_always_waited_for(self) -> None:
        """A leg without a deadline waits for its exchange, or is no longer ours."""
        leg, wire = self.client.leg, self.client.wire
        if wire.lost or wire.aborted or leg.state == "tunnel":
            return
        if leg.deadline == inf:
            assert self.open
            assert leg.state == "answered" or leg._paused
            assert not wire.full
        assert wire.lost or wire.disconnecting or wire.unsent < 400_000

    @invariant()
    def each_is_told_once(self) -> None:
        for asked in self.client.asked:
            assert asked.lost <= 1
            if self.client.wire.lost:
                assert asked.over

    def teardown(self) -> None:
        client = self.client
        client.wire.taking = True
        client.wire.take()
        client.wire.lose()
        self.a_lost_leg_is_nowhere()
        self.each_is_told_once()
        if self.tunnel or client.wire.aborted or any(a.lost for a in client.asked):
            return
        answers = client.answers()
        # What is broken off, as its request's body broke, must not look whole.
        assert [answer.complete for answer in answers] == [not a.cut for a in client.asked]


def test_a_walk(wire):
    class OnThisWire(Walk):
        pass

    OnThisWire.wire = wire
    run_state_machine_as_test(
        OnThisWire, settings=settings(max_examples=80, stateful_step_count=40, deadline=None)
    )
