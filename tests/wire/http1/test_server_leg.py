"""server_leg: an answer belongs to who asked, and to nobody after."""

from __future__ import annotations

import gc
import weakref
from math import inf
from typing import Any

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
from twistproxy.wire.http1.server_leg import ServerLeg

TIMEOUTS = Timeouts(server=30.0, keepalive=60.0)
LIMITS = Limits(head=1024, fields=10)
TIMEOUT = 20.0  # of the exchange; the connection's own is `timeouts.server`


class Asking:
    """A `ServerSide` that writes down what it is told."""

    def __init__(self) -> None:
        self.interim: list[int] = []
        self.response: Response | None = None
        self.length: int | None = None
        self.body = b""
        self.trailers: Fields | None = None
        self.ended = False
        self.problem: Problem | None = None
        self.switching: Response | None = None
        self.paused = False

    @property
    def over(self) -> bool:
        return self.ended or self.problem is not None or self.switching is not None

    def interim_received(self, response: Response) -> None:
        assert not self.over
        assert not self.response
        self.interim.append(response.status)

    def response_received(self, response: Response, length: int | None, data: bytes) -> None:
        assert not self.over
        assert not self.response
        self.response, self.length, self.body = response, length, data

    def data_received(self, data: bytes) -> None:
        assert not self.over
        assert self.response
        assert data
        self.body += data

    def response_ended(self, trailers: Fields | None) -> None:
        assert not self.over
        assert self.response
        self.ended, self.trailers = True, trailers

    def switched(self, response: Response) -> None:
        assert not self.over
        self.switching = response

    def server_failed(self, problem: Problem) -> None:
        assert not self.over
        self.problem = problem

    def pause_request(self) -> None:
        assert not self.paused
        self.paused = True

    def resume_request(self) -> None:
        assert self.paused
        self.paused = False


class Server:
    """A connection to a server, its leg, and who has it."""

    def __init__(self, wire: type) -> None:
        self.clock = Clock()
        self.sweep = Sweep(self.clock)
        self.sweep.start()
        self.terms = Terms(LIMITS, TIMEOUTS)
        self.freed: list[ServerLeg] = []
        self.lost: list[ServerLeg] = []
        freed, lost = self.freed.append, self.lost.append
        self.leg = ServerLeg("http://s", self.terms, self.sweep, freed, lost)
        self.wire = wire(self.leg)
        self.leg.makeConnection(self.wire)
        self.side = Asking()

    def ask(self, method: bytes = b"GET", framing: int = 0, switch: bool = False) -> Asking:
        fields = Fields([(b"Host", b"s")])
        if framing > 0:
            fields.add(b"Content-Length", b"%d" % framing)
        self.side = Asking()
        self.leg.send(self.side, Request(method, b"/a", fields), framing, TIMEOUT, switch)
        return self.side

    def send(self, data: bytes, size: int = 1 << 20) -> None:
        for start in range(0, len(data), size):
            self.wire.send(data[start : start + size])

    def wait(self, seconds: float) -> None:
        self.clock.pump([0.25] * int(seconds * 4))

    @property
    def closed(self) -> bool:
        return bool(self.wire.disconnecting)

    @property
    def reusable(self) -> bool:
        """Whether another request may go out on it; it was told so once, or not at all."""
        assert self.freed == [self.leg] * len(self.freed)
        return self.leg.usable and bool(self.freed) and not self.closed


@pytest.fixture
def server(wire) -> Server:
    return Server(wire)


def ok(*lines: bytes, body: bytes = b"", start: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return b"\r\n".join([start, *lines, b"", b""]) + body


TWO = b"Content-Length: 2"
TE = b"Transfer-Encoding: chunked"
CHUNKS = b"2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n"
SIZES = pytest.mark.parametrize("size", [1, 7, 1 << 20], ids=["byte_by_byte", "by_seven", "whole"])


# -- asking ---------------------------------------------------------------------------------------


def test_a_request_leaves_in_one_write(server):
    server.ask()
    assert server.wire.writes == [b"GET /a HTTP/1.1\r\nHost: s\r\n\r\n"]


def test_a_body_of_a_length(server):
    server.ask(b"PUT", 4)
    for data in (b"ab", b"", b"cd"):
        server.leg.write(data)
    server.leg.finish()
    assert server.wire.value() == (b"PUT /a HTTP/1.1\r\nHost: s\r\nContent-Length: 4\r\n\r\nabcd")


def test_a_body_in_chunks(server):
    server.ask(b"POST", CHUNKED)
    for data in (b"ab", b"", b"c" * 16):
        server.leg.write(data)
    server.leg.finish(Fields([(b"X-Sum", b"1")]))
    assert server.wire.value() == (
        b"POST /a HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"2\r\nab\r\n10\r\ncccccccccccccccc\r\n0\r\nX-Sum: 1\r\n\r\n"
    )


def test_a_server_that_does_not_read_pauses_the_request(server):
    server.wire.taking = False
    side = server.ask(b"POST", CHUNKED)
    server.leg.write(b"a" * 70_000)
    server.leg.write(b"a")  # which a transport answers with another pause
    assert side.paused
    server.wire.take()
    assert not side.paused


# -- answers --------------------------------------------------------------------------------------

ANSWERS = {
    "length": (ok(TWO, body=b"ok"), b"GET", 2, b"ok"),
    "empty": (ok(b"Content-Length: 0"), b"GET", 0, b""),
    "chunked": (ok(TE, body=CHUNKS), b"GET", None, b"ok"),
    "head": (ok(TWO), b"HEAD", 0, b""),
    "head_chunked": (ok(TE), b"HEAD", 0, b""),
    "no_content": (ok(start=b"HTTP/1.1 204 No Content"), b"GET", 0, b""),
    "not_modified": (ok(b"Content-Length: 9", start=b"HTTP/1.1 304 -"), b"GET", 0, b""),
    "connect_refused": (ok(TWO, body=b"no", start=b"HTTP/1.1 403 -"), b"CONNECT", 2, b"no"),
    "old_kept": (ok(TWO, b"Connection: keep-alive", body=b"ok", start=b"HTTP/1.0 200 OK"),
                 b"GET", 2, b"ok"),
}  # fmt: skip


@SIZES
@pytest.mark.parametrize(("data", "method", "length", "body"), ANSWERS.values(), ids=ANSWERS)
def test_answers_after_which_it_is_used_again(server, data, method, length, body, size):
    for number in (1, 2):
        side = server.ask(method)
        server.send(data, size)
        assert side.response is not None
        assert (side.length, side.body, side.ended) == (length, body, True)
        assert len(server.freed) == number
        assert server.reusable
    assert server.leg.exchanges == 2


ODD = {
    "more_than_the_length": (ok(TWO, body=b"ok" + ok(TWO, body=b"no")), b"GET", b"ok"),
    "more_than_the_chunks": (ok(TE, body=CHUNKS + b"\r\n"), b"GET", b"ok"),
    "body_of_head": (ok(TWO, body=b"ok"), b"HEAD", b""),
    "body_of_no_content": (ok(TWO, start=b"HTTP/1.1 204 -", body=b"ok"), b"GET", b""),
    "body_of_not_modified": (ok(TE, start=b"HTTP/1.1 304 -", body=CHUNKS), b"GET", b""),
    "asks_for_the_close": (ok(TWO, b"Connection: close", body=b"ok"), b"GET", b"ok"),
    "asks_for_it_in_a_list": (ok(TWO, b"Connection: x, Close", body=b"ok"), b"GET", b"ok"),
    "old": (ok(TWO, start=b"HTTP/1.0 200 OK", body=b"ok"), b"GET", b"ok"),
}


@SIZES
@pytest.mark.parametrize(("data", "method", "body"), ODD.values(), ids=ODD)
def test_answers_after_which_it_is_not(server, data, method, body, size):
    """RFC 9112 §6.3, §9.3: what hides behind an answer must not be the next one."""
    side = server.ask(method)
    server.send(data, size)
    assert (side.body, side.ended) == (body, True)
    assert not server.reusable
    assert server.closed


def test_bytes_that_nobody_asked_for_end_an_idle_connection(server):
    server.ask()
    server.send(ok(TWO, body=b"ok"))
    server.send(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
    assert not server.reusable
    assert server.wire.aborted
    server.wire.settle()
    assert server.lost == [server.leg]


def test_an_end_ends_an_idle_connection(server):
    server.ask()
    server.send(ok(TWO, body=b"ok"))
    server.wire.end()
    assert not server.reusable
    assert server.closed


def test_the_leg_is_free_before_the_end_is_told(server):
    """So that the next exchange of the same call can have it."""
    told = []

    class Next(Asking):
        def response_ended(self, trailers: Fields | None) -> None:
            told.append(server.reusable)
            server.ask()

    side = Next()
    server.leg.send(side, Request(b"GET", b"/", Fields()), 0, TIMEOUT)
    server.send(ok(TWO, body=b"ok"))
    assert told == [True]
    server.send(ok(TWO, body=b"no"))
    assert server.side.body == b"no"
    assert len(server.freed) == 2


@SIZES
def test_a_body_until_the_close(server, size):
    side = server.ask()
    server.send(ok(body=b"a" * 20), size)
    assert (side.length, side.body, side.ended) == (None, b"a" * 20, False)
    server.wire.end()
    assert side.ended
    assert not server.reusable
    assert server.closed
    server.wire.settle()
    assert server.lost == [server.leg]


def test_a_close_without_a_half_close(server):
    """As a TLS connection ends in good order."""
    side = server.ask()
    server.send(ok(body=b"ok"))
    server.wire.lose(ConnectionDone)
    assert side.ended


def test_a_body_until_a_reset_is_not_complete(server):
    side = server.ask()
    server.send(ok(body=b"ok"))
    server.wire.lose(ConnectionLost)
    assert side.problem.name == "http_response_incomplete"


@SIZES
def test_interim_answers(server, size):
    side = server.ask()
    server.send(
        ok(start=b"HTTP/1.1 100 Continue") + ok(b"Link: </a>", start=b"HTTP/1.1 103 -")
        + ok(TWO, body=b"ok"),
        size,
    )  # fmt: skip
    assert (side.interim, side.body, side.ended) == ([100, 103], b"ok", True)
    assert server.reusable


@SIZES
def test_trailers(server, size):
    side = server.ask()
    server.send(ok(TE, body=CHUNKS), size)
    assert side.trailers == Fields([(b"X-Sum", b"1")])


def test_a_body_is_told_as_it_comes(server):
    side = server.ask()
    server.send(ok(b"Content-Length: 9"))
    assert side.response is not None
    for byte in (b"a", b"b", b"c"):
        server.send(byte)
        assert side.body.endswith(byte)
    assert not side.ended


def test_an_answer_while_the_request_still_goes_out(server):
    """A streaming echo."""
    side = server.ask(b"POST", CHUNKED)
    server.leg.write(b"ab")
    server.send(ok(TE, body=b"2\r\nAB\r\n"))
    assert side.body == b"AB"
    server.leg.write(b"cd")
    server.leg.finish()
    server.send(b"2\r\nCD\r\n0\r\n\r\n")
    assert (side.body, side.ended) == (b"ABCD", True)
    assert server.reusable


def test_an_answer_before_the_whole_request_ends_the_connection(server):
    """What the server would still read is half a request."""
    side = server.ask(b"POST", 9)
    server.leg.write(b"abc")
    server.send(ok(b"Content-Length: 0", start=b"HTTP/1.1 413 -"))
    assert side.ended
    assert not server.reusable
    assert server.wire.aborted
    server.leg.write(b"def")
    server.leg.finish()
    assert server.freed == []


def test_an_answer_before_the_server_has_read_the_request(server):
    server.wire.taking = False
    side = server.ask(b"POST", 70_000)
    server.leg.write(b"a" * 70_000)
    server.leg.finish()
    server.send(ok(b"Content-Length: 0"))
    assert side.ended
    assert not server.reusable
    assert not server.wire.aborted  # what it still reads may matter
    server.wait(31)
    assert server.wire.aborted


# -- failures -------------------------------------------------------------------------------------

REFUSED = {
    "not_http": b"<p>hello</p>",
    "http_2": ok(start=b"HTTP/2.0 200 OK"),
    "no_status": ok(start=b"HTTP/1.1 OK"),
    "bare_lf": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "empty_line_before": b"\r\n" + ok(TWO, body=b"ok"),
    "space_before_colon": ok(b"A : b", TWO, body=b"ok"),
    "fold": ok(b"A: b", b" c", TWO, body=b"ok"),
    "both_lengths": ok(TWO, TE, body=CHUNKS),
    "two_lengths": ok(TWO, b"Content-Length: 3", body=b"ok!"),
    "bad_length": ok(b"Content-Length: +2", body=b"ok"),
    "coding": ok(b"Transfer-Encoding: gzip, chunked", body=CHUNKS),
    "chunked_in_1_0": ok(TE, body=CHUNKS, start=b"HTTP/1.0 200 OK"),
    "large_head": ok(b"A: " + b"b" * 1024, TWO, body=b"ok"),
    "endless_head": b"HTTP/1.1 200 OK\r\nA: " + b"b" * 2000,
    "too_many_fields": ok(*[b"A: b"] * 11, TWO, body=b"ok"),
    "too_many_fields_without_end": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 12,
    "endless_interim": ok(b"Link: </a>", start=b"HTTP/1.1 103 -") * 50,
    "large_interim": ok(b"A: " + b"b" * 900, start=b"HTTP/1.1 103 -") + ok(b"A: " + b"b" * 200),
    "switching_unasked": ok(b"Upgrade: x", start=b"HTTP/1.1 101 -"),
}


@SIZES
@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
def test_what_is_no_answer(server, data, size):
    side = server.ask()
    server.send(data, size)
    assert side.response is None
    assert side.problem.status == 502
    assert not side.problem.retry  # a byte of it has come
    assert "{" not in side.problem.text
    assert server.wire.aborted
    assert not server.reusable
    server.wire.settle()
    assert (server.lost, len(server.sweep)) == ([server.leg], 0)


BROKEN = {
    "chunk_size": ok(TE, body=b"2\r\nok\r\ng\r\n"),
    "chunk_end": ok(TE, body=b"2\r\nok\r\n2\r\nok!"),
    "trailers": ok(TE, body=b"2\r\nok\r\n0\r\nA : b\r\n\r\n"),
    "large_trailers": ok(TE, body=b"2\r\nok\r\n0\r\nA: " + b"b" * 1100 + b"\r\n\r\n"),
}


@SIZES
@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_a_broken_body(server, data, size):
    side = server.ask()
    server.send(data, size)
    assert side.problem.name == "http_response_transfer_coding"
    assert not side.ended
    assert server.wire.aborted


ENDS = {
    "before_anything": (b"", "connection_terminated", True),
    "in_the_status_line": (b"HTTP/1.1 2", "http_response_incomplete", False),
    "in_the_head": (b"HTTP/1.1 200 OK\r\nA: ", "http_response_incomplete", False),
    "after_interim": (ok(start=b"HTTP/1.1 103 -"), "http_response_incomplete", False),
    "in_a_sized_body": (ok(TWO, body=b"o"), "http_response_incomplete", False),
    "before_a_body": (ok(TWO), "http_response_incomplete", False),
    "in_a_chunk": (ok(TE, body=b"2\r\no"), "http_response_incomplete", False),
    "before_the_last_chunk": (ok(TE, body=b"2\r\nok\r\n"), "http_response_incomplete", False),
    "in_the_trailers": (ok(TE, body=b"0\r\nA"), "http_response_incomplete", False),
}


@pytest.mark.parametrize("half", [False, True], ids=["close", "half_close"])
@pytest.mark.parametrize(("data", "name", "retry"), ENDS.values(), ids=ENDS)
def test_an_end_within_an_answer(server, data, name, retry, half):
    side = server.ask()
    server.send(data)
    if half:
        server.wire.end()
        assert server.closed
    else:
        server.wire.lose(ConnectionDone)
    assert (side.problem.name, side.problem.retry) == (name, retry)
    assert "http://s" in side.problem.text
    server.wire.settle()
    assert (server.lost, len(server.sweep)) == ([server.leg], 0)


def test_each_exchange_is_judged_by_its_own_bytes(server):
    """An idle connection that the server closes as we send: that answer never began."""
    server.ask()
    server.send(ok(start=b"HTTP/1.1 103 -") + ok(TWO, body=b"ok"))
    side = server.ask()
    server.wire.end()
    assert (side.problem.name, side.problem.retry) == ("connection_terminated", True)


def test_an_end_while_the_request_still_goes_out(server):
    """The server may not read on either: what is unsent has its time, not more."""
    server.wire.taking = False
    side = server.ask(b"POST", CHUNKED)
    server.leg.write(b"a" * 70_000)
    server.wire.end()
    assert side.problem.retry
    server.leg.write(b"b")
    server.wait(31)
    assert server.wire.aborted


def test_an_abort(server):
    side = server.ask()
    server.send(ok(TWO, body=b"o"))
    server.leg.abort()
    assert server.wire.aborted
    server.leg.dataReceived(b"k")
    server.leg.resumeProducing()
    server.wire.settle()
    assert not side.over
    assert (server.lost, server.freed) == ([server.leg], [])


def test_an_abort_by_what_is_told(server):
    class Leaving(Asking):
        def interim_received(self, response: Response) -> None:
            server.leg.abort()

        def response_received(self, *args: Any) -> None:
            server.leg.abort()

    interim = ok(start=b"HTTP/1.1 103 -")
    for data in (interim + interim + ok(TWO, body=b"ok"), ok(TWO, body=b"ok"), ok(TE, body=CHUNKS)):
        server.__init__(type(server.wire))
        server.leg.send(Leaving(), Request(b"GET", b"/", Fields()), 0, TIMEOUT)
        server.send(data)
        assert server.wire.aborted
        assert not server.reusable


def test_after_the_loss_nothing_is_written_and_nothing_raises(server):
    side = server.ask(b"POST", CHUNKED)
    server.wire.lose(ConnectionLost)
    assert side.problem.name == "connection_terminated"
    written = len(server.wire.writes)
    server.leg.write(b"a")
    server.leg.finish()
    server.leg.pause_response()
    server.leg.resume_response()
    server.leg.abort()
    server.leg.close()
    assert not server.leg.usable
    assert len(server.wire.writes) == written


# -- backpressure and time -----------------------------------------------------------------------


def test_a_client_that_does_not_read_pauses_the_server(server):
    side = server.ask()
    server.send(ok(b"Content-Length: 4", body=b"ab"))
    server.leg.pause_response()
    server.leg.pause_response()
    assert not server.wire.reads
    server.wait(200)  # it is not the server that is slow
    assert not server.closed
    server.leg.resume_response()
    assert server.wire.reads
    server.send(b"cd")
    assert side.ended
    assert server.reusable


def test_a_pause_by_the_last_bytes_is_not_kept(server):
    class Slow(Asking):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            server.leg.pause_response()

    side = Slow()
    server.leg.send(side, Request(b"GET", b"/", Fields()), 0, TIMEOUT)
    server.send(ok(TWO))
    server.send(b"ok")
    assert side.ended
    assert server.wire.reads
    assert server.reusable


def never_answers(server: Server) -> None:
    server.ask()


def stops_in_the_head(server: Server) -> None:
    server.ask()
    server.send(b"HTTP/1.1 200")


def stops_after_interim(server: Server) -> None:
    server.ask()
    server.send(ok(start=b"HTTP/1.1 103 -"))


def stops_in_the_body(server: Server) -> None:
    server.ask()
    server.send(ok(TWO, body=b"o"))


def does_not_read(server: Server) -> None:
    server.wire.taking = False
    server.ask(b"POST", CHUNKED)
    server.leg.write(b"a" * 70_000)


def answers_and_does_not_read(server: Server) -> None:
    does_not_read(server)
    server.send(ok(TE, body=b"2\r\nok\r\n"))


TIMED_OUT = {
    "answer": (never_answers, "http_response_timeout", True),
    "head": (stops_in_the_head, "connection_read_timeout", False),
    "interim": (stops_after_interim, "connection_read_timeout", False),
    "body": (stops_in_the_body, "connection_read_timeout", False),
    "request": (does_not_read, "connection_write_timeout", False),
    "both": (answers_and_does_not_read, "connection_write_timeout", False),
}


@pytest.mark.parametrize(("stall", "name", "retry"), TIMED_OUT.values(), ids=TIMED_OUT)
def test_timeouts(server, stall, name, retry):
    stall(server)
    server.wait(TIMEOUT - 0.5)
    assert not server.closed
    server.wait(1)
    assert (server.side.problem.name, server.side.problem.retry) == (name, retry)
    assert server.side.problem.status == 504 or name == "connection_write_timeout"
    assert server.wire.aborted


def test_a_server_has_its_time_between_bytes(server):
    side = server.ask()
    for byte in ok(b"Content-Length: 3", body=b"abc"):
        server.wait(19)
        server.send(bytes([byte]))
    assert side.ended


def test_a_server_that_reads_a_little_is_waited_for(server):
    does_not_read(server)
    for _ in range(10):
        server.wire.take(1)
        server.wait(19)
    assert not server.closed


def test_a_server_is_not_blamed_for_a_slow_request(server):
    server.ask(b"POST", CHUNKED)
    server.wait(200)
    server.leg.write(b"a")
    server.wait(200)
    assert not server.closed
    server.leg.finish()
    server.wait(21)
    assert server.side.problem.name == "http_response_timeout"


def test_a_paused_server_is_not_blamed_when_it_reads_on(server):
    server.wire.taking = False
    server.ask(b"POST", CHUNKED)
    server.leg.pause_response()
    server.leg.write(b"a" * 70_000)
    server.leg.finish()
    server.wire.take()
    server.wait(200)
    assert not server.closed


def test_an_idle_connection_is_closed_in_good_order(server):
    server.ask()
    server.send(ok(TWO, body=b"ok"))
    server.wait(59)
    assert server.reusable
    server.wait(2)
    assert not server.reusable
    assert server.closed
    assert not server.wire.aborted


def test_a_close_has_its_time(server):
    server.wire.taking = False
    server.leg.close()
    server.leg.close()
    assert server.closed
    server.wait(31)
    assert server.wire.aborted


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


class Switching(Asking):
    """Hands over at once, as an exchange does."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self.leg = server.leg
        self.tunnel = Tunnel()

    def switched(self, response: Response) -> None:
        super().switched(response)
        self.leg.hand_over(self.tunnel)


SWITCHES = {
    "upgrade": (b"GET", b"HTTP/1.1 101 Switching Protocols", True),
    "connect": (b"CONNECT", b"HTTP/1.1 200 OK", True),
    "connect_2xx": (b"CONNECT", b"HTTP/1.0 299 -", True),
    "upgrade_not_taken": (b"GET", b"HTTP/1.1 200 OK", False),
    "connect_refused": (b"CONNECT", b"HTTP/1.1 403 -", False),
}


@SIZES
@pytest.mark.parametrize(("method", "start", "taken"), SWITCHES.values(), ids=SWITCHES)
def test_switches(server, method, start, taken, size):
    """RFC 9110 §7.8, §9.3.6"""
    side = server.ask(method, switch=True)
    server.send(ok(TWO, start=start) + (b"" if taken else b"no"), size)
    assert (side.switching is not None) is taken
    assert (side.response is not None) is not taken
    assert side.ended is not taken


def test_a_parent_that_switches_at_connect_is_odd(server):
    side = server.ask(b"CONNECT", switch=True)
    server.send(ok(start=b"HTTP/1.1 101 -"))
    assert side.problem.name == "http_upgrade_failed"


def test_a_tunnel_gets_what_came_early_and_what_comes(server):
    side = Switching(server)
    server.leg.send(side, Request(b"GET", b"/", Fields()), 0, TIMEOUT, switch=True)
    server.send(ok(b"Upgrade: x", start=b"HTTP/1.1 101 -") + b"early")
    assert side.tunnel.told == ["made", b"early"]
    assert server.wire.producer is None
    server.send(b"late")
    server.wait(1000)
    server.leg.writeConnectionLost()
    server.wire.end()
    assert not server.closed
    server.wire.lose()
    assert side.tunnel.told == ["made", b"early", b"late", "write end", "end", "lost"]
    assert (server.lost, server.freed, len(server.sweep)) == ([server.leg], [], 0)
    assert side.problem is None


def test_interfaces(server):
    assert verifyObject(IHalfCloseableProtocol, server.leg)


# -- what is left ---------------------------------------------------------------------------------


def served(server: Server) -> None:
    server.ask()
    server.send(ok(TWO, body=b"ok"))


def tunnelled(server: Server) -> None:
    side = Switching(server)
    server.leg.send(side, Request(b"GET", b"/", Fields()), 0, TIMEOUT, switch=True)
    server.send(ok(start=b"HTTP/1.1 101 -"))


def failed(server: Server) -> None:
    server.ask()
    server.send(b"\0")


LIVES = [never_answers, served, stops_in_the_body, does_not_read, tunnelled, failed]


@pytest.mark.parametrize("live", LIVES)
def test_a_leg_leaves_no_cycle(wire, live):
    server = Server(wire)
    live(server)
    server.wire.lose()
    gone = [weakref.ref(server.leg), weakref.ref(server.side)]
    leg, side = server.leg, server.side
    server.freed.clear()
    server.lost.clear()
    gc.collect()
    gc.disable()
    try:
        del server, leg, side
        assert [ref() for ref in gone] == [None, None]
    finally:
        gc.enable()


# -- whatever comes -------------------------------------------------------------------------------

MESSAGES = st.lists(
    st.one_of(
        st.binary(max_size=10).map(
            lambda data: (ok(b"Content-Length: %d" % len(data), body=data), data)
        ),
        st.lists(st.binary(min_size=1, max_size=6), max_size=3).map(
            lambda chunks: (
                ok(TE, body=b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in chunks) + b"0\r\n\r\n"),
                b"".join(chunks),
            )
        ),
        st.just((ok(start=b"HTTP/1.1 103 -") + ok(TWO, body=b"ok"), b"ok")),
    ),
    min_size=1,
    max_size=4,
)


@given(st.data())
def test_however_it_is_cut_it_is_the_same(wire, data):
    server = Server(wire)
    for message, body in data.draw(MESSAGES):
        side = server.ask()
        cuts = data.draw(st.lists(st.integers(0, len(message)), max_size=6))
        start = 0
        for cut in [*sorted(cuts), len(message)]:
            if start < cut:
                server.send(message[start:cut])
            start = cut
        assert (side.body, side.ended) == (body, True)
        assert server.reusable


ANYTHING = st.lists(
    st.sampled_from([
        b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 103 -\r\n", b"HTTP/1.0 200 OK\r\n",
        b"HTTP/1.1 204 -\r\n", b"\r\n", b"\r\n", TWO + b"\r\n", TE + b"\r\n", b"ok", CHUNKS,
        b"2\r\n", b"A: b\r\n", b"\n", b"\0", b"HTTP/1.1 101 -\r\n\r\n",
    ])
    | st.binary(max_size=9),
    max_size=10,
)  # fmt: skip


@given(ANYTHING, st.sampled_from([b"GET", b"HEAD", b"CONNECT"]), st.booleans())
def test_arbitrary_bytes_end_in_an_answer_or_a_problem(wire, pieces, method, switch):
    server = Server(wire)
    side = Switching(server)
    server.leg.send(side, Request(method, b"/", Fields()), 0, TIMEOUT, switch)
    for piece in pieces:
        server.send(piece)
    server.wire.end()
    assert side.over
    server.wire.settle()
    server.wire.lose()
    assert (server.lost, len(server.sweep)) == ([server.leg], 0)


class Walk(RuleBasedStateMachine):
    """A server, an exchange and the clock do what they may, in any order."""

    wire: type

    def __init__(self) -> None:
        super().__init__()
        self.server = Server(self.wire)
        self.steps = 0
        self.sent = True
        self.told: list[Asking] = []
        self.left = False

    @property
    def late(self) -> bool:
        """What ends it all comes late, or walks would be short."""
        return self.steps > 15

    @property
    def asking(self) -> Asking | None:
        side = self.server.side
        return side if side in self.told and not side.over and not self.left else None

    @precondition(lambda self: not self.asking and self.server.leg.usable)
    @rule(framing=st.sampled_from([0, 0, 9, CHUNKED]), method=st.sampled_from([b"GET", b"HEAD"]))
    def ask(self, framing: int, method: bytes) -> None:
        self.told.append(self.server.ask(method, framing))
        self.sent = framing == 0
        self.left = False

    @precondition(lambda self: self.asking and not self.sent)
    @rule(size=st.sampled_from([1, 70_000]))
    def write(self, size: int) -> None:
        self.server.leg.write(b"a" * size)

    @precondition(lambda self: self.asking and not self.sent)
    @rule()
    def finish(self) -> None:
        self.sent = True
        self.server.leg.finish()

    @precondition(lambda self: self.asking)
    @rule(what=st.sampled_from(["pause_response", "resume_response"]))
    def tell(self, what: str) -> None:
        getattr(self.server.leg, what)()

    @precondition(lambda self: self.asking and self.late)
    @rule()
    def abort(self) -> None:
        self.left = True
        self.server.leg.abort()

    @precondition(lambda self: self.asking)
    @rule(
        data=st.sampled_from([
            ok(TWO, body=b"ok"), ok(TE, body=CHUNKS), ok(b"Content-Length: 0"),
            ok(start=b"HTTP/1.1 103 -"), ok(start=b"HTTP/1.1 204 -"),
        ]),
        size=st.integers(1, 90),
    )  # fmt: skip
    def send(self, data: bytes, size: int) -> None:
        self.server.send(data, size)

    @precondition(lambda self: self.asking)
    @rule(data=st.sampled_from([ok(TWO), ok(TE), b"ok", b"2\r\nok\r\n", b"0\r\n\r\n", b"HTTP/1"]))
    def send_some(self, data: bytes) -> None:
        self.server.send(data)

    @precondition(lambda self: self.late)
    @rule(data=st.sampled_from([b"\0", ok(TWO, body=b"ok"), ok(), ok(b"Connection: close")]))
    def send_odd(self, data: bytes) -> None:
        self.server.send(data)

    @precondition(lambda self: self.late)
    @rule()
    def end(self) -> None:
        self.server.wire.end()

    @precondition(lambda self: self.late)
    @rule(reason=st.sampled_from([ConnectionDone, ConnectionLost]))
    def lose(self, reason: type[Exception]) -> None:
        self.server.wire.lose(reason)

    @rule(taking=st.booleans(), count=st.sampled_from([1, 10**9]))
    def take(self, taking: bool, count: int) -> None:
        self.server.wire.taking = taking
        self.server.wire.take(count)

    @rule()
    def wait(self) -> None:
        self.server.wait(1)

    @precondition(lambda self: self.late)
    @rule(seconds=st.sampled_from([21, 61]))
    def wait_long(self, seconds: int) -> None:
        self.server.wait(seconds)

    @rule()
    def settle(self) -> None:
        self.server.wire.settle()

    @invariant()
    def a_step(self) -> None:
        self.steps += 1

    @invariant()
    def a_lost_leg_is_nowhere(self) -> None:
        server = self.server
        assert server.lost == [server.leg] * server.wire.lost
        assert len(server.sweep) == (not server.wire.lost)
        if server.wire.lost:
            assert not server.leg.usable
            assert self.asking is None

    @invariant()
    def only_a_clean_leg_is_used_again(self) -> None:
        server = self.server
        if self.told and server.leg.usable and not self.asking:
            assert server.freed
            assert self.told[-1].ended
            assert self.sent
            assert not server.wire.full
            assert not server.closed
            assert server.wire.reads

    @invariant()
    def somebody_is_always_waited_for(self) -> None:
        """Without a deadline it is the client's turn, to send or to read."""
        leg, wire = self.server.leg, self.server.wire
        if wire.lost or wire.aborted or not self.told:
            return
        if leg.deadline == inf:
            assert self.asking
            assert not wire.full
            assert not self.sent or not wire.reads

    def teardown(self) -> None:
        self.server.wire.lose()
        self.a_lost_leg_is_nowhere()
        for side in self.told:
            assert side.over or self.left


def test_a_walk(wire):
    class OnThisWire(Walk):
        pass

    OnThisWire.wire = wire
    run_state_machine_as_test(
        OnThisWire, settings=settings(max_examples=80, stateful_step_count=40, deadline=None)
    )
