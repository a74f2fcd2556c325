"""slowed: to each leg it looks as if the other was slow; every byte comes, in order, in time."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from twisted.internet.task import Clock

from twistproxy.http.fields import Fields
from twistproxy.http.message import Response
from twistproxy.net.relay import Relay
from twistproxy.net.sendfile import Sender
from twistproxy.net.splice import Splicer
from twistproxy.net.sweep import Sweep
from twistproxy.net.throttle import LEAST, SAVED, Shaper
from twistproxy.wire import ClientStream, Peer
from twistproxy.wire.slowed import SlowedStream

RATE = 1 << 20
BODY = bytes(range(251)) * 4000  # 1 MB
OK = Response(200, Fields())


class Stream:
    """A client that takes everything, and notes it."""

    peer = Peer("192.0.2.1", 1, 2)
    stalled = False

    def __init__(self) -> None:
        self.did: list[str] = []
        self.body = b""
        self.paused = False
        self.given: Any = None

    def interim(self, response: Response) -> None:
        self.did.append("interim")

    def start(self, response: Response, length: int | None, body: bytes = b"") -> None:
        self.did.append("start")
        self.body += body

    def reply(self, lines: bytes, content: bytes) -> None:
        self.did.append("reply")
        self.body += content

    def write(self, data: bytes) -> None:
        assert data
        assert "finish" not in self.did
        self.body += data

    def send_file(self, sender: Any, *what: Any) -> None:
        self.did.append("send_file")
        self.given = sender

    def finish(self, trailers: Fields | None = None) -> None:
        self.did.append("finish")

    def break_off(self) -> None:
        self.did.append("break_off")

    def abort(self) -> None:
        self.did.append("abort")

    def hand_over(self, response: Response, protocol: Any) -> None:
        self.did.append("hand_over")

    def pause_request(self) -> None:
        self.paused = True

    def resume_request(self) -> None:
        self.paused = False

    def sink(self) -> Any:
        return self

    def pass_on(self, splicer: Any, leg: Any) -> bool:
        self.given = splicer
        return True


class Side:
    """An exchange, as far as the stream knows it. paused: whether the answer is."""

    paused = False

    def pause_response(self) -> None:
        self.paused = True

    def resume_response(self) -> None:
        self.paused = False


class Case:
    def __init__(self, asks: bool = False) -> None:
        self.clock = Clock()
        self.shaper = Shaper(self.clock)
        self.up, self.down = self.shaper.bucket(RATE), self.shaper.bucket(RATE)
        self.stream, self.side = Stream(), Side()
        self.slowed = self.another(asks)

    def another(self, asks: bool = False, stream: Any = None) -> SlowedStream:
        """Of the same key."""
        slowed = SlowedStream(stream or self.stream, self.side, asks)  # type: ignore[arg-type]
        slowed.add(self.up, self.down)
        return slowed

    def run(self, seconds: float) -> None:
        self.clock.pump([0.01] * round(seconds * 100))


@pytest.fixture
def case() -> Case:
    return Case()


def test_it_can_be_answered_like_a_client(case: Case) -> None:
    wanted = {name for name, _ in inspect.getmembers(ClientStream) if not name.startswith("_")}
    assert wanted <= set(dir(case.slowed))
    assert case.slowed.peer is case.stream.peer


def test_the_answer_comes_as_fast_as_it_may(case: Case) -> None:
    case.slowed.start(OK, len(BODY), BODY[:1000])
    assert case.stream.body == BODY[:1000], "with the head, while it may"
    case.slowed.write(BODY[1000:])
    assert case.side.paused
    assert case.slowed.stalled
    for second in (0.3, 0.6):
        case.run(0.3)
        assert len(case.stream.body) == pytest.approx(RATE * (second + SAVED), rel=0.1)
    case.run(0.5)
    assert case.stream.body == BODY
    assert not case.side.paused
    assert not case.slowed.stalled
    case.slowed.finish()
    assert case.stream.did == ["start", "finish"]
    assert len(case.shaper) == 0


def test_what_is_said_behind_what_is_held(case: Case) -> None:
    case.slowed.start(OK, len(BODY), BODY[:500_000])
    case.slowed.write(BODY[500_000:])  # it was on its way
    case.slowed.finish()
    case.slowed.over()
    assert case.stream.did == ["start"]
    case.run(0.7)
    assert case.stream.did == ["start"]
    case.run(0.5)
    assert case.stream.did == ["start", "finish"]
    assert case.stream.body == BODY
    assert len(case.shaper) == 0


def test_a_head_is_not_waited_for(case: Case) -> None:
    case.slowed.start(OK, None, BODY)
    other = Stream()
    late = case.another(stream=other)
    late.interim(Response(103, Fields()))
    late.start(OK, 5, b"hello")
    late.finish()
    assert (other.did, other.body) == (["interim", "start"], b"")
    case.run(0.1)
    assert (other.did, other.body) == (["interim", "start", "finish"], b"hello"), "in its turn"
    assert len(case.stream.body) < len(BODY)


def test_answers_in_one_piece_wait_for_each_other(case: Case) -> None:
    """One that is all at hand goes in a piece; the next when that is paid."""
    content = BODY[: 256 << 10]
    streams = [Stream() for _ in range(9)]
    for stream in streams:
        slowed = case.another(stream=stream)
        slowed.reply(b"HTTP/1.1 200 OK\r\n", content)
        slowed.over()
    assert [len(stream.body) for stream in streams] == [len(content)] + [0] * 8
    case.run(1)
    assert sum(len(stream.body) for stream in streams) == pytest.approx(5 * len(content))
    case.run(1)
    assert all(stream.did == ["reply"] for stream in streams)
    assert len(case.shaper) == 0


def test_without_content_nothing_is_waited_for(case: Case) -> None:
    case.slowed.start(OK, None, BODY)
    other = Stream()
    late = case.another(stream=other)
    late.reply(b"HTTP/1.1 304 Not Modified\r\n", b"")
    assert other.did == ["reply"]


def test_a_slow_client_is_not_resumed_for(case: Case) -> None:
    case.slowed.start(OK, len(BODY), BODY)
    case.stream.stalled = True
    case.run(1.5)
    assert case.slowed.stalled, "which the exchange asks before it goes on"


def test_the_client_is_lost(case: Case) -> None:
    case.slowed.start(OK, len(BODY), BODY)
    before = case.stream.body
    case.slowed.over()
    assert len(case.shaper) == 0
    assert case.clock.getDelayedCalls() == []
    case.run(2)
    assert case.stream.body == before


def test_the_client_is_lost_after_all_was_said(case: Case) -> None:
    case.slowed.start(OK, len(BODY), BODY)
    case.slowed.finish()
    case.slowed.over()
    case.slowed.lost()
    assert len(case.shaper) == 0
    case.run(2)
    assert case.stream.did == ["start"]


def test_an_abort_waits_for_nothing(case: Case) -> None:
    case.slowed.start(OK, len(BODY), BODY)
    case.slowed.finish()
    case.slowed.abort()
    assert case.stream.did == ["start", "abort"]
    case.run(2)
    assert case.stream.did == ["start", "abort"]
    assert len(case.shaper) == 0


def test_what_breaks_off_does_so_after_what_came(case: Case) -> None:
    case.slowed.start(OK, len(BODY), BODY)
    case.slowed.break_off()
    case.run(1.5)
    assert case.stream.did == ["start", "break_off"]
    assert case.stream.body == BODY


def test_the_request_is_read_as_fast_as_it_may() -> None:
    case = Case(asks=True)
    got = 0
    for _ in range(300):
        if not case.stream.paused:
            got += 64 << 10
            case.slowed.took(64 << 10)
        case.clock.advance(0.01)
    assert got == pytest.approx(3 * RATE, rel=0.1)
    case.slowed.over()
    assert len(case.shaper) == 0


def test_a_request_waits_for_those_before() -> None:
    """Else short ones, each of which comes in one read, would wait for nothing."""
    case = Case(asks=True)
    case.slowed.took(RATE // 2)
    other = Stream()
    case.another(asks=True, stream=other)
    assert other.paused
    case.another(asks=False, stream=Stream())
    assert case.up.waiting == 2
    case.run(0.6)
    assert not other.paused


def test_both_the_limit_and_the_exchange_have_to_want_it() -> None:
    case = Case(asks=True)
    case.slowed.pause_request()
    case.slowed.took(RATE // 2)
    case.run(1)
    assert case.stream.paused, "the exchange doesn't"
    case.slowed.resume_request()
    assert not case.stream.paused
    case.slowed.took(RATE // 2)
    case.slowed.pause_request()
    case.slowed.resume_request()
    assert case.stream.paused, "the limit doesn't"
    case.run(1)
    assert not case.stream.paused


def test_a_limit_that_is_named_twice_counts_once(case: Case) -> None:
    case.slowed.add(case.up, case.down)
    case.slowed.start(OK, 1000, bytes(1000))
    assert case.down.passed == 1000


def test_under_two_limits(case: Case) -> None:
    case.slowed.add(case.shaper.bucket(RATE), case.shaper.bucket(RATE // 4))
    case.slowed.start(OK, len(BODY), BODY)
    case.run(2)
    assert len(case.stream.body) == pytest.approx(RATE // 4 * (2 + SAVED), rel=0.1)


def test_past_it_in_the_kernel_they_hold_too(case: Case) -> None:
    splicer, sender = Splicer(case.clock), Sender(case.clock)
    assert case.slowed.sink() is case.stream
    under = case.slowed.under(splicer)
    assert under is not splicer
    assert isinstance(under, Splicer)
    assert case.slowed.pass_on(splicer, None)
    assert isinstance(case.stream.given, Splicer)
    assert case.stream.given is not splicer
    case.slowed.send_file(sender, None, 0, 1, print, print)  # type: ignore[arg-type]
    assert isinstance(case.stream.given, Sender)
    assert case.stream.given is not sender


def test_what_is_held_does_not_let_others_past(case: Case) -> None:
    case.slowed.start(OK, len(BODY), BODY[:-10])
    assert case.slowed.sink() is None
    case.slowed.send_file(Sender(case.clock), None, 0, 10, print, print)  # type: ignore[arg-type]
    assert "send_file" not in case.stream.did
    case.run(1.2)
    assert case.stream.did == ["start", "send_file"]
    assert case.slowed.sink() is case.stream


def test_a_tunnel_has_the_same_limits(case: Case) -> None:
    relay = Relay(Sweep(case.clock), 60, lambda relay: None)
    case.slowed.slow_down(relay)
    case.slowed.hand_over(OK, relay.left)
    assert case.stream.did == ["hand_over"]
    assert relay.left.throttle is not None
    assert relay.right.throttle is not None
    assert relay.left.throttle.buckets == (case.up,)
    assert relay.right.throttle.buckets == (case.down,)


def test_pieces_are_worth_a_write(case: Case) -> None:
    writes: list[int] = []
    write = case.stream.write
    case.stream.write = lambda data: (writes.append(len(data)), write(data))[1]  # type: ignore
    case.slowed.start(OK, len(BODY), b"")
    case.slowed.write(BODY)
    case.run(1.2)
    assert case.stream.body == BODY
    assert len(BODY) / len(writes) >= LEAST
