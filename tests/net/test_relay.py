from __future__ import annotations

import gc
import math
import os
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    INegotiated,
    IProtocol,
    IPushProducer,
    ITCPTransport,
)
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import alsoProvides, implementer
from zope.interface.verify import verifyObject

from sockets import FAMILIES, KINDS, Machine, Ours, Peer, open_files
from twistproxy.net import relay as relays
from twistproxy.net.relay import HELD, LINGER, SPLICED, Relay
from twistproxy.net.splice import Plug, Splicer
from twistproxy.net.sweep import Sweep
from twistproxy.net.throttle import SAVED, Bucket, Shaper, Throttle

BUFFER = 1000


@implementer(ITCPTransport)
class Wire:  # type: ignore[misc]
    """A TCP transport whose peer reads when it is told to, and which asserts good conduct."""

    def __init__(self) -> None:
        self.end: Any = None
        self.pending = b""  # written, not yet read by the peer
        self.read = b""  # by the peer
        self.producer: Any = None
        self.paused = False
        self.full = False
        self.shut: str | None = None  # "half", "whole" or "abort": asked for
        self.eof = False  # sent to the peer
        self.lost = False
        self.ended_reading = False

    # ITransport and its kin

    def write(self, data: bytes) -> None:
        assert self.shut is None, "written after the end"
        if self.lost:
            return
        self.pending += data
        if len(self.pending) > BUFFER and self.producer is not None:
            self.full = True
            self.producer.pauseProducing()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert self.producer is None
        assert streaming
        verifyObject(IPushProducer, producer)
        self.producer = producer

    def unregisterProducer(self) -> None:
        assert self.producer is not None
        self.producer = None

    def loseConnection(self) -> None:
        assert self.producer is None, "it would wait for its producer for ever"
        if self.shut != "abort":
            self.shut = "whole"

    def loseWriteConnection(self) -> None:
        assert self.producer is None
        assert self.shut is None
        self.shut = "half"

    def abortConnection(self) -> None:
        self.shut = "abort"
        self.pending = b""

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        assert not self.ended_reading, "it would read its EOF again"
        self.paused = False

    # The peer

    def drain(self) -> None:
        """The peer reads all there is; then what was asked for happens."""
        self.read += self.pending
        self.pending = b""
        if self.full and self.producer is not None:
            self.full = False
            self.producer.resumeProducing()
        if self.shut == "half":
            self.eof = True
        elif self.shut in ("whole", "abort"):
            why = ConnectionDone() if self.shut == "whole" else ConnectionAborted()
            self.lose(why)

    def send(self, data: bytes) -> None:
        assert not self.ended_reading
        self.end.dataReceived(data)

    def send_eof(self) -> None:
        self.ended_reading = True
        self.end.readConnectionLost()

    def lose(self, why: Exception) -> None:
        if not self.lost:
            self.lost = True
            if self.producer is not None:
                self.producer.stopProducing()
                self.producer = None
            self.end.connectionLost(Failure(why))


class Tunnel:
    def __init__(self, idle: float = 60.0) -> None:
        self.clock = Clock()
        self.sweep = Sweep(self.clock)
        self.sweep.start()
        self.ended: list[Relay] = []
        self.relay = Relay(self.sweep, idle, self.ended.append)
        self.left, self.right = Wire(), Wire()
        self.left.end, self.right.end = self.relay.left, self.relay.right

    def connect(self, *wires: Wire) -> None:
        for wire in wires or (self.left, self.right):
            wire.end.makeConnection(wire)

    def settle(self) -> None:
        """Both peers read until nothing changes."""
        for _ in range(4):
            self.left.drain()
            self.right.drain()


@pytest.fixture
def tunnel() -> Tunnel:
    tunnel = Tunnel()
    tunnel.connect()
    return tunnel


def ended(tunnel: Tunnel) -> str:
    assert tunnel.ended == [tunnel.relay]
    assert len(tunnel.sweep) == 0
    return tunnel.relay.reason


def test_the_interfaces_are_kept() -> None:
    end = Tunnel().relay.left
    for interface in (IProtocol, IHalfCloseableProtocol, IPushProducer):
        verifyObject(interface, end)


def test_bytes_go_both_ways_and_are_counted(tunnel: Tunnel) -> None:
    tunnel.left.send(b"question")
    tunnel.right.send(b"an answer")
    tunnel.settle()
    assert tunnel.right.read == b"question"
    assert tunnel.left.read == b"an answer"
    assert (tunnel.relay.sent_right, tunnel.relay.sent_left) == (8, 9)
    assert tunnel.ended == []


def test_a_half_close_is_passed_on_after_all_before_it(tunnel: Tunnel) -> None:
    tunnel.left.send(b"question")
    tunnel.left.send_eof()
    assert not tunnel.right.eof
    tunnel.right.drain()
    assert (tunnel.right.read, tunnel.right.eof) == (b"question", True)
    assert tunnel.ended == []
    tunnel.right.send(b"a late answer")
    tunnel.left.drain()
    assert tunnel.left.read == b"a late answer"


@pytest.mark.parametrize("first", ["left", "right"])
def test_the_eof_of_both_closes_both_after_all_before_it(tunnel: Tunnel, first: str) -> None:
    wires = [tunnel.left, tunnel.right]
    if first == "right":
        wires.reverse()
    for wire in wires:
        wire.send(b"last words")
        wire.send_eof()
    assert [wire.shut for wire in wires] == ["whole", "whole"]
    tunnel.settle()
    assert [wire.read for wire in wires] == [b"last words", b"last words"]
    assert ended(tunnel) == "closed"


def test_a_close_is_passed_on_after_all_before_it(tunnel: Tunnel) -> None:
    tunnel.left.send(b"bye")
    tunnel.left.lose(ConnectionDone())
    assert tunnel.right.shut == "whole"
    assert tunnel.ended == []
    tunnel.settle()
    assert tunnel.right.read == b"bye"
    assert ended(tunnel) == "closed"


def test_a_reset_is_passed_on_as_one(tunnel: Tunnel) -> None:
    tunnel.left.lose(ConnectionLost())
    assert tunnel.right.shut == "abort"
    tunnel.settle()
    assert ended(tunnel) == "reset"


def test_a_reset_after_a_half_close(tunnel: Tunnel) -> None:
    tunnel.left.send_eof()
    tunnel.settle()
    tunnel.left.lose(ConnectionLost())
    assert tunnel.right.shut == "abort"
    tunnel.settle()
    assert ended(tunnel) == "reset"


def test_a_transport_that_cannot_half_close_is_closed(tunnel: Tunnel) -> None:
    alsoProvides(tunnel.right, INegotiated)  # as TLS does
    tunnel.left.send(b"question")
    tunnel.left.send_eof()
    assert tunnel.right.shut == "whole"
    assert tunnel.right.pending == b"question"
    tunnel.right.send(b"what was on its way")
    tunnel.settle()
    assert tunnel.left.read == b"what was on its way"
    assert ended(tunnel) == "closed"


def test_abort_loses_what_is_pending(tunnel: Tunnel) -> None:
    tunnel.left.send(b"unread")
    tunnel.relay.abort()
    tunnel.relay.abort()
    assert (tunnel.left.shut, tunnel.right.shut) == ("abort", "abort")
    tunnel.settle()
    assert tunnel.right.read == b""
    assert ended(tunnel) == "aborted"


# Backpressure


def test_a_slow_reader_pauses_its_source_only(tunnel: Tunnel) -> None:
    tunnel.left.send(b"x" * (BUFFER + 1))
    assert tunnel.left.paused
    assert not tunnel.right.paused
    tunnel.right.drain()
    assert not tunnel.left.paused


def test_a_source_is_not_resumed_after_its_eof(tunnel: Tunnel) -> None:
    tunnel.left.send(b"x" * (BUFFER + 1))
    tunnel.left.send_eof()
    tunnel.settle()
    assert len(tunnel.right.read) == BUFFER + 1
    assert tunnel.right.eof


def test_a_paused_transport_is_handed_over_running() -> None:
    tunnel = Tunnel()
    tunnel.left.paused = True
    tunnel.connect()
    assert not tunnel.left.paused


# Before both are connected


def test_bytes_wait_for_the_other_connection() -> None:
    tunnel = Tunnel()
    tunnel.connect(tunnel.left)
    tunnel.left.send(b"early ")
    tunnel.left.send(b"words")
    tunnel.connect(tunnel.right)
    assert tunnel.right.pending == b"early words"
    assert tunnel.relay.sent_right == 11


def test_no_more_than_so_many_bytes_wait() -> None:
    tunnel = Tunnel()
    tunnel.connect(tunnel.left)
    tunnel.left.send(b"x" * HELD)
    assert not tunnel.left.paused
    tunnel.left.send(b"x")
    assert tunnel.left.paused
    tunnel.connect(tunnel.right)
    assert tunnel.left.paused  # now since the new connection's buffer is full
    tunnel.right.drain()
    assert not tunnel.left.paused
    assert len(tunnel.right.read) == HELD + 1


def test_an_eof_waits_too() -> None:
    tunnel = Tunnel()
    tunnel.connect(tunnel.left)
    tunnel.left.send(b"question")
    tunnel.left.send_eof()
    tunnel.connect(tunnel.right)
    tunnel.right.drain()
    assert (tunnel.right.read, tunnel.right.eof) == (b"question", True)
    tunnel.right.send(b"answer")
    tunnel.right.send_eof()
    tunnel.settle()
    assert tunnel.left.read == b"answer"
    assert ended(tunnel) == "closed"


def test_a_close_waits_too() -> None:
    tunnel = Tunnel()
    tunnel.connect(tunnel.left)
    tunnel.left.send(b"bye")
    tunnel.left.lose(ConnectionDone())
    tunnel.connect(tunnel.right)
    tunnel.settle()
    assert tunnel.right.read == b"bye"
    assert ended(tunnel) == "closed"


@pytest.mark.parametrize("how", ["reset", "aborted"])
def test_a_connection_that_comes_after_the_end_is_dropped(how: str) -> None:
    tunnel = Tunnel()
    tunnel.connect(tunnel.left)
    tunnel.left.send(b"x" * HELD * 2)
    if how == "reset":
        tunnel.left.lose(ConnectionLost())
    else:
        tunnel.relay.abort()
        tunnel.left.drain()
    assert ended(tunnel) == how
    tunnel.connect(tunnel.right)
    assert tunnel.right.shut == "abort"
    tunnel.right.lose(ConnectionAborted())
    assert ended(tunnel) == how


def test_a_relay_that_never_was_connected_can_be_aborted() -> None:
    tunnel = Tunnel()
    tunnel.relay.abort()
    assert ended(tunnel) == "aborted"


# Idle


def test_an_idle_tunnel_ends(tunnel: Tunnel) -> None:
    tunnel.clock.pump([0.25] * 240)
    assert (tunnel.left.shut, tunnel.right.shut) == ("whole", "whole")
    tunnel.settle()
    assert ended(tunnel) == "idle"
    assert tunnel.relay.deadline == math.inf


def test_an_idle_tunnel_whose_peers_do_not_read_is_reset(tunnel: Tunnel) -> None:
    tunnel.left.send(b"unread")
    tunnel.clock.pump([0.25] * 240)
    assert tunnel.right.shut == "whole"
    tunnel.clock.pump([0.25] * 120)
    assert (tunnel.left.shut, tunnel.right.shut) == ("abort", "abort")
    tunnel.settle()
    assert ended(tunnel) == "idle"


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_byte_in_either_direction_keeps_it(tunnel: Tunnel, side: str) -> None:
    for _ in range(10):
        tunnel.clock.pump([10.0] * 5)
        getattr(tunnel, side).send(b".")
    assert tunnel.left.shut is None


def test_a_slow_reader_keeps_it(tunnel: Tunnel) -> None:
    tunnel.left.send(b"x" * (BUFFER + 1))
    tunnel.clock.pump([10.0] * 5)
    tunnel.right.drain()
    tunnel.clock.pump([10.0] * 5)
    assert tunnel.left.shut is None


def test_a_peer_that_never_reads_the_rest_ends_it(tunnel: Tunnel) -> None:
    tunnel.left.send(b"unread")
    tunnel.left.lose(ConnectionDone())
    tunnel.clock.pump([10.0] * 7)
    assert tunnel.right.shut == "abort"
    tunnel.right.drain()
    assert ended(tunnel) == "idle"


def test_no_cycle_stays(tunnel: Tunnel) -> None:
    gc.collect()
    gc.disable()
    try:
        tunnel.left.lose(ConnectionLost())
        tunnel.settle()
        ends = [weakref.ref(w) for w in (tunnel.left, tunnel.right)]
        tunnel.left.end = tunnel.right.end = None
        del tunnel.left, tunnel.right
        assert [end() for end in ends] == [None, None]
    finally:
        gc.enable()


STEPS = ["send", "eof", "drain", "done", "reset", "connect"]


@settings(max_examples=300)
@given(
    st.lists(st.tuples(st.sampled_from(STEPS), st.booleans(), st.integers(1, 3000)), max_size=30)
)
def test_any_order_of_events_ends_well(steps: list[tuple[str, bool, int]]) -> None:
    """`ended` once, nothing watched, and without a reset not a byte lost or out of place."""
    tunnel = Tunnel()
    sent: dict[Wire, bytes] = {tunnel.left: b"", tunnel.right: b""}
    connected: set[Wire] = set()
    clean = True
    for number, (step, is_left, size) in enumerate(steps):
        wire = tunnel.left if is_left else tunnel.right
        if step == "connect" and wire not in connected:
            connected.add(wire)
            tunnel.connect(wire)
        if wire not in connected or wire.lost:
            continue
        reading = not wire.paused and not wire.ended_reading and wire.shut in (None, "half")
        if step == "send" and reading:
            data = bytes([number]) * size
            sent[wire] += data
            wire.send(data)
        elif step == "eof" and reading:
            wire.send_eof()
        elif step == "drain":
            wire.drain()
        elif step in ("done", "reset"):
            clean = clean and step == "done" and not wire.pending
            wire.lose(ConnectionDone() if step == "done" else ConnectionLost())
    for wire in sent:
        if wire not in connected:
            tunnel.connect(wire)
    tunnel.settle()
    assert len(tunnel.ended) <= 1
    if clean and not tunnel.ended:
        assert tunnel.right.read == sent[tunnel.left]
        assert tunnel.left.read == sent[tunnel.right]
    for wire in sent:
        if not wire.lost and not wire.ended_reading:
            wire.send_eof()
    tunnel.settle()
    assert ended(tunnel) in ("closed", "reset")


# Real sockets, buffered and in the kernel: both do the same.

BULK = bytes(range(251)) * 8_000  # 2 MB, more than all buffers on the way hold
IDLE = 60.0


@pytest.fixture(params=KINDS)
def machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    if request.param != "epoll":
        pytest.importorskip("uvloop")
    machine = Machine(request.param)
    yield machine
    machine.close()


STEP = 0.005  #: seconds of a step, where time matters


class Joined:
    """A tunnel between two peers, which has carried enough to be in the kernel, if it may.

    limit: bytes a second in each direction; time then goes on with each step. Or the buckets.
    """

    def __init__(
        self,
        machine: Machine,
        family: str = "tcp",
        spliced: bool = True,
        splicer: Splicer | None = None,
        limit: float | tuple[Bucket, Bucket] = 0,
        clock: Clock | None = None,
    ) -> None:
        self.machine = machine
        self.clock = clock or Clock()
        self.limited = bool(limit)
        self.sweep = Sweep(self.clock)
        self.sweep.start()
        self.ended: list[Relay] = []
        if spliced and splicer is None:
            splicer = Splicer(machine.reactor)
            machine.closing.append(splicer.close)
        self.splicer = splicer
        self.relay = Relay(self.sweep, IDLE, self.ended.append, self.splicer)
        if limit:
            if not isinstance(limit, tuple):
                shaper = Shaper(self.clock)
                limit = shaper.bucket(limit), shaper.bucket(limit)
            self.relay.slow_down(*(Throttle((bucket,)) for bucket in limit))
        self.ours: list[Ours] = [
            machine.socket(family, self.relay.left),  # type: ignore[arg-type]
            machine.socket(family, self.relay.right),  # type: ignore[arg-type]
        ]
        self.left, self.right = (ours.peer for ours in self.ours)
        self.to_send = {self.left: memoryview(b""), self.right: memoryview(b"")}
        self.reading = {self.left, self.right}
        first = 1 if limit else relays.SPLICED
        self.send(self.left, bytes(first))
        self.until(lambda: len(self.right.got) == first and self.relay.spliced == spliced)
        self.right.got.clear()

    def other(self, peer: Peer) -> Peer:
        return self.right if peer is self.left else self.left

    def send(self, peer: Peer, data: bytes) -> None:
        assert not self.to_send[peer]
        self.to_send[peer] = memoryview(data)

    def step(self) -> None:
        for peer in self.reading:
            peer.read()
        for peer, data in self.to_send.items():
            if data and peer.end != "reset":
                self.to_send[peer] = data[peer.send(data) :]
        self.machine.turn()
        if self.limited:
            self.clock.advance(STEP)

    def until(self, what: Callable[[], object], why: str = "") -> None:
        def asked() -> object:
            self.step()
            return what()

        self.machine.until(asked, why)

    def sent(self) -> bool:
        return not any(self.to_send.values())

    def stall(self) -> None:
        """Until nothing moves any more."""
        quiet = 0
        while quiet < 20:
            before = [len(data) for data in self.to_send.values()], *self.counts()
            self.step()
            quiet = quiet + 1 if before == (
                [len(data) for data in self.to_send.values()], *self.counts()
            ) else 0  # fmt: skip

    def counts(self) -> tuple[int, int]:
        return self.relay.sent_left, self.relay.sent_right

    def over(self, reason: str) -> None:
        """It ends for that reason, and nothing is left of it."""
        self.until(lambda: self.ended, "it does not end")
        assert self.ended == [self.relay]
        assert self.relay.reason == reason
        assert not self.relay.spliced
        assert len(self.sweep) == 0
        assert not [one for one in self.machine.watched if isinstance(one, Plug)]
        if self.splicer is not None:
            figures = self.splicer.snapshot()
            assert figures["now"] == 0
            assert figures["pipes"] == figures["idle_pipes"]


@pytest.fixture(params=[False, True], ids=["buffered", "spliced"])
def spliced(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(params=FAMILIES)
def joined(machine: Machine, request: pytest.FixtureRequest, spliced: bool) -> Iterator[Joined]:
    before = open_files()
    joined = Joined(machine, request.param, spliced)
    yield joined
    if joined.splicer is not None:
        joined.splicer.close()
    machine.forget(*joined.ours)
    machine.turns()
    assert open_files() <= before


@pytest.fixture
def tcp(machine: Machine, spliced: bool) -> Joined:
    """One of TCP, which can be reset."""
    return Joined(machine, "tcp", spliced)


def test_bulk_both_ways_at_once(joined: Joined) -> None:
    joined.send(joined.left, BULK)
    joined.send(joined.right, BULK[::-1])
    joined.until(joined.sent)
    joined.left.end_sending()
    joined.right.end_sending()
    joined.over("closed")
    joined.until(lambda: joined.left.end and joined.right.end)
    assert joined.right.got == BULK
    assert joined.left.got == BULK[::-1]
    assert (joined.left.end, joined.right.end) == ("eof", "eof")
    assert joined.counts() == (len(BULK), len(BULK) + SPLICED)


def test_in_the_kernel_no_byte_comes_through_python(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined = Joined(machine)

    def never(*arguments: object) -> None:
        raise AssertionError("read or written in Python")

    monkeypatch.setattr(relays.End, "dataReceived", never)
    monkeypatch.setattr(relays.End, "send", never)
    monkeypatch.setattr(os, "read", never)
    monkeypatch.setattr(os, "write", never)
    assert joined.splicer is not None
    test_bulk_both_ways_at_once(joined)
    figures = joined.splicer.snapshot()
    assert (figures["spliced"], figures["copied"]) == (2 * len(BULK), 0)


@pytest.mark.parametrize("side", ["left", "right"])
def test_an_answer_after_the_half_close(joined: Joined, side: str) -> None:
    asking: Peer = getattr(joined, side)
    answering = joined.other(asking)
    joined.send(asking, BULK)
    joined.until(joined.sent)
    asking.end_sending()
    joined.until(lambda: answering.end)
    assert (answering.got, answering.end) == (BULK, "eof")
    joined.machine.turns()
    assert joined.ended == []
    joined.send(answering, BULK[::-1])
    joined.until(joined.sent)
    answering.end_sending()
    joined.over("closed")
    joined.until(lambda: asking.end)
    assert (asking.got, asking.end) == (BULK[::-1], "eof")


def test_a_tunnel_goes_into_the_kernel_after_a_half_close(machine: Machine) -> None:
    """A short question, its end, and a long answer."""
    clock = Clock()
    ended: list[Relay] = []
    splicer = Splicer(machine.reactor)
    machine.closing.append(splicer.close)
    relay = Relay(Sweep(clock), IDLE, ended.append, splicer)
    left, right = (
        machine.socket("tcp", end).peer  # type: ignore[arg-type]
        for end in (relay.left, relay.right)
    )
    left.send(b"question")
    left.end_sending()
    machine.until(lambda: right.read() and right.end)
    rest = BULK

    def answered() -> bool:
        nonlocal rest
        rest = rest[right.send(rest) :]
        left.read()
        return not rest

    machine.until(answered)
    assert relay.spliced
    right.end_sending()
    machine.until(lambda: left.read() and left.end)
    assert (left.got, left.end) == (BULK, "eof")
    machine.until(lambda: ended)
    assert relay.reason == "closed"
    assert splicer.snapshot()["spliced"] > len(BULK) / 2


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_reset_is_no_eof(tcp: Joined, side: str) -> None:
    peer: Peer = getattr(tcp, side)
    other = tcp.other(peer)
    tcp.reading = {other}
    peer.reset()
    tcp.over("reset")
    tcp.until(lambda: other.end)
    assert other.end == "reset"


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_reset_behind_bytes(tcp: Joined, side: str) -> None:
    peer: Peer = getattr(tcp, side)
    other = tcp.other(peer)
    tcp.reading = {other}
    peer.send(b"last words")
    peer.reset()
    tcp.over("reset")
    tcp.until(lambda: other.end)
    assert other.end == "reset"
    assert b"last words".startswith(other.got)


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_reset_by_a_peer_that_does_not_read(tcp: Joined, side: str) -> None:
    """Its source is paused, and learns it nevertheless."""
    peer: Peer = getattr(tcp, side)
    other = tcp.other(peer)
    tcp.reading = {other}
    tcp.send(other, BULK * 2)
    tcp.stall()
    assert not tcp.sent()
    peer.reset()
    tcp.over("reset")
    tcp.until(lambda: other.end)
    assert other.end == "reset"


def test_a_reset_of_the_source_while_the_other_does_not_read(tcp: Joined) -> None:
    tcp.reading = set()
    tcp.send(tcp.left, BULK * 2)
    tcp.stall()
    tcp.to_send[tcp.left] = memoryview(b"")
    tcp.left.reset()
    tcp.machine.turns()
    tcp.reading = {tcp.right}
    tcp.over("reset")
    tcp.until(lambda: tcp.right.end)
    assert tcp.right.end == "reset"
    assert (BULK * 2).startswith(tcp.right.got)


def test_a_close_by_one_peer(tcp: Joined) -> None:
    """The other gets all there was, then an EOF; what it sends then is refused."""
    tcp.send(tcp.left, BULK)
    tcp.until(tcp.sent)
    tcp.left.close()
    tcp.reading = {tcp.right}
    tcp.until(lambda: tcp.right.end)
    assert (tcp.right.got, tcp.right.end) == (BULK, "eof")
    tcp.right.close()
    tcp.over("closed")


def test_a_peer_that_does_not_read_stops_the_other(joined: Joined) -> None:
    joined.reading = {joined.left}
    joined.send(joined.left, BULK * 2)
    joined.send(joined.right, BULK)
    joined.stall()
    assert joined.to_send[joined.left]
    assert joined.left.got == BULK  # the other direction doesn't wait
    assert joined.relay.sent_right < len(BULK) * 2
    joined.reading.add(joined.right)
    joined.until(joined.sent)
    joined.left.end_sending()
    joined.right.end_sending()
    joined.over("closed")
    joined.until(lambda: joined.right.end)
    assert joined.right.got == BULK * 2


def test_an_idle_one_ends(joined: Joined) -> None:
    joined.clock.pump([1.0] * 61)
    joined.over("idle")
    joined.until(lambda: joined.left.end and joined.right.end)
    assert (joined.left.end, joined.right.end) == ("eof", "eof")


def test_bytes_in_either_direction_keep_it(joined: Joined) -> None:
    for peer in (joined.left, joined.right) * 3:
        joined.clock.pump([10.0] * 5)
        joined.send(peer, b".")
        other, size = joined.other(peer), len(joined.other(peer).got)
        while len(other.got) == size:
            joined.step()
    assert joined.ended == []
    joined.relay.abort()
    joined.over("aborted")


def test_an_idle_one_whose_peer_does_not_read_is_reset(joined: Joined) -> None:
    joined.reading = {joined.left}
    joined.send(joined.left, BULK * 2)
    joined.stall()
    joined.to_send[joined.left] = memoryview(b"")
    joined.clock.pump([1.0] * 61)
    joined.machine.turns()
    assert joined.ended == []
    joined.clock.pump([1.0] * int(LINGER + 1))
    joined.over("idle")


def test_an_idle_one_whose_peer_reads_late_gets_all_that_was_read(joined: Joined) -> None:
    joined.reading = {joined.left}
    joined.send(joined.left, BULK * 2)
    joined.stall()
    joined.to_send[joined.left] = memoryview(b"")
    joined.clock.pump([1.0] * 61)
    joined.machine.turns()
    joined.reading = {joined.right}
    joined.until(lambda: joined.right.end)
    joined.over("idle")
    assert (BULK * 2).startswith(joined.right.got)
    assert len(joined.right.got) == joined.relay.sent_right - SPLICED
    joined.clock.pump([1.0] * 61)


def test_abort_resets_both(joined: Joined) -> None:
    joined.reading = set()
    joined.send(joined.left, BULK * 2)
    joined.stall()
    joined.relay.abort()
    joined.relay.abort()
    joined.over("aborted")
    joined.reading = {joined.left, joined.right}
    joined.until(lambda: joined.left.end and joined.right.end)
    assert joined.left.end == "reset"


def test_a_reactor_that_stops(machine: Machine) -> None:
    joined = Joined(machine)
    for selectable in machine.reactor.removeAll():
        if isinstance(selectable, Plug):
            selectable.connectionLost(Failure(ConnectionLost()))
    assert not joined.relay.spliced
    joined.over("reset")


def test_bytes_that_come_although_it_is_paused(machine: Machine) -> None:
    """A reactor may have seen both sockets ready in one turn: the other's bytes were read."""
    joined = Joined(machine)
    joined.relay.right.dataReceived(b"read before ")
    joined.relay.right.readConnectionLost()  # found again behind what is still unread
    joined.send(joined.right, b"the kernel took over")
    joined.until(lambda: joined.left.got == b"read before the kernel took over")
    joined.right.end_sending()
    joined.until(lambda: joined.left.end == "eof")
    joined.left.end_sending()
    joined.over("closed")
    assert joined.relay.sent_left == len(joined.left.got)


def test_a_transport_that_is_closed_by_others(machine: Machine) -> None:
    joined = Joined(machine)
    joined.relay.left.transport.loseConnection()
    joined.over("closed")


def test_without_files_it_stays_buffered_and_tries_again(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_more_files(fd: int) -> int:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(os, "dup", no_more_files)
        patch.setattr(Relay, "spliced", True)  # what Joined waits for
        joined = Joined(machine)
    assert joined.splicer is not None
    assert joined.splicer.snapshot()["refused"] == 1
    assert not joined.relay.spliced
    joined.send(joined.right, BULK)
    joined.until(lambda: joined.left.got == BULK)
    assert joined.relay.spliced
    joined.relay.abort()
    joined.over("aborted")


def test_what_can_not_be_joined_is_not_tried_again(tunnel: Tunnel, machine: Machine) -> None:
    splicer = Splicer(machine.reactor)
    tunnel = Tunnel()
    tunnel.relay = Relay(tunnel.sweep, 60.0, tunnel.ended.append, splicer)
    tunnel.left.end, tunnel.right.end = tunnel.relay.left, tunnel.relay.right
    tunnel.connect()
    tunnel.left.send(bytes(SPLICED))
    assert not tunnel.relay.spliced
    assert tunnel.relay.splice_at == math.inf
    tunnel.settle()
    assert len(tunnel.right.read) == SPLICED


def test_no_cycle_stays_of_a_spliced_one(machine: Machine) -> None:
    joined = Joined(machine)
    joined.left.end_sending()
    joined.until(lambda: joined.right.end)
    gc.collect()
    gc.disable()
    try:
        joined.right.end_sending()
        joined.over("closed")
        ends = [ours.protocol for ours in joined.ours]
        machine.forget(*joined.ours)
        machine.turns()
        for end in ends:
            assert end.way is None
            assert end.other is None
            assert end.relay is None
    finally:
        gc.enable()


ENDINGS: dict[str, Callable[[Joined], object]] = {
    "eof of both": lambda j: (j.left.end_sending(), j.right.end_sending()),
    "left closes": lambda j: j.left.close(),
    "right closes, then left": lambda j: (j.right.close(), j.step(), j.left.close()),
    "left resets": lambda j: j.left.reset(),
    "right resets behind bytes": lambda j: (j.right.send(b"bytes"), j.right.reset()),
    "left resets after its eof": lambda j: (j.left.end_sending(), j.step(), j.left.reset()),
    "aborted": lambda j: j.relay.abort(),
    "aborted, half closed": lambda j: (j.left.end_sending(), j.step(), j.relay.abort()),
    "idle": lambda j: j.clock.pump([1.0] * 61),
    "reset with a full pipe": lambda j: (
        j.reading.clear(),
        j.send(j.left, BULK),
        j.stall(),
        j.right.reset(),
    ),
}


def test_a_thousand_tunnels_leave_no_file_open(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relays, "SPLICED", 1)
    before = open_files()
    splicer = Splicer(machine.reactor)
    for _ in range(100):
        joined = {name: Joined(machine, splicer=splicer) for name in ENDINGS}
        for name, tunnel in joined.items():
            ENDINGS[name](tunnel)
        assert splicer.snapshot()["now"] > 0
        for name, tunnel in joined.items():
            for peer in (tunnel.left, tunnel.right):
                if peer.socket.fileno() >= 0:
                    peer.read()
                    peer.close()
            machine.until(lambda tunnel=tunnel: tunnel.ended, name)
            machine.forget(*tunnel.ours)
    figures = splicer.snapshot()
    assert (figures["now"], figures["pipes"]) == (0, figures["idle_pipes"])
    splicer.close()
    machine.turns()
    assert open_files() <= before


ACTIONS = ["send", "send", "read", "read", "step", "eof", "close", "reset"]


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    family=st.sampled_from(FAMILIES),
    spliced=st.booleans(),
    limit=st.sampled_from([0, 0, 10**8]),
    actions=st.lists(
        st.tuples(st.sampled_from(ACTIONS), st.booleans(), st.integers(1, 2_000_000)), max_size=20
    ),
)
def test_whatever_the_peers_do_each_gets_what_the_other_sent(
    kind: str, family: str, spliced: bool, limit: int, actions: list[tuple[str, bool, int]]
) -> None:
    machine = Machine(kind)
    joined = Joined(machine, family, spliced, limit=limit)
    joined.reading = set()
    try:
        sent = {joined.left: b"", joined.right: b""}
        gone: set[Peer] = set()
        over: set[Peer] = set()
        for action, is_left, size in actions:
            peer = joined.left if is_left else joined.right
            if action == "step":
                machine.turns(size % 20)
            elif peer in gone:
                continue
            elif action == "send" and peer not in over:
                data = (BULK[size % 251 :] * 2)[:size]
                sent[peer] += data[: peer.send(data)]
            elif action == "read":
                peer.read()
            elif action == "eof" and peer not in over:
                peer.end_sending()
                over.add(peer)
            elif action == "close" and peer in over and not gone:
                peer.read()
                gone.add(peer)
            elif action == "reset" and not gone:
                peer.reset()
                gone.add(peer)
                over.add(peer)
        clean = not gone or all(peer.socket.fileno() >= 0 for peer in gone)
        for peer in sent:
            if peer not in over:
                peer.end_sending()
        joined.reading = {peer for peer in sent if peer.socket.fileno() >= 0}
        joined.until(lambda: joined.ended)
        joined.until(lambda: all(peer.end for peer in joined.reading))
        for peer in joined.reading:
            expected = sent[joined.other(peer)]
            if clean:
                assert peer.end == "eof"
                assert peer.got == expected
            else:
                assert expected.startswith(peer.got)
        assert joined.relay.reason in ("closed", "reset")
        if clean:
            assert joined.relay.reason == "closed"
    finally:
        machine.close()


# -- under limits ----------------------------------------------------------------------------------

MIB = 1 << 20


def slow_tunnel(rate: float = MIB) -> tuple[Tunnel, Shaper]:
    tunnel = Tunnel()
    shaper = Shaper(tunnel.clock)
    buckets = shaper.bucket(rate), shaper.bucket(rate)
    tunnel.relay.slow_down(*(Throttle((bucket,)) for bucket in buckets))
    tunnel.connect()
    return tunnel, shaper


def test_who_is_in_debt_is_not_read() -> None:
    tunnel, _ = slow_tunnel()
    tunnel.left.send(bytes(MIB // 2))
    assert tunnel.left.paused
    assert not tunnel.right.paused, "the other direction has a limit of its own"
    tunnel.right.drain()
    assert len(tunnel.right.read) == MIB // 2, "what was read is passed on"
    tunnel.clock.pump([0.01] * 30)
    assert tunnel.left.paused
    tunnel.clock.pump([0.01] * 30)
    assert not tunnel.left.paused


def test_both_the_limit_and_the_other_end_have_to_let_it_read() -> None:
    tunnel, _ = slow_tunnel()
    tunnel.left.send(bytes(MIB // 2))
    tunnel.right.drain()
    assert tunnel.left.paused, "the limit doesn't"
    tunnel.clock.pump([0.01] * 60)
    assert not tunnel.left.paused

    tunnel.left.send(bytes(MIB // 2))
    tunnel.clock.pump([0.01] * 60)
    assert tunnel.left.paused, "the other end doesn't"
    tunnel.right.drain()
    assert not tunnel.left.paused


def test_the_eof_of_one_in_debt() -> None:
    tunnel, shaper = slow_tunnel()
    tunnel.left.send(bytes(MIB // 2))
    tunnel.left.send_eof()
    tunnel.right.drain()
    assert tunnel.right.eof
    tunnel.clock.pump([0.01] * 60)  # resumed, it would read its EOF again
    tunnel.right.send_eof()
    tunnel.settle()
    assert [relay.reason for relay in tunnel.ended] == ["closed"]
    assert len(shaper) == 0


@pytest.mark.parametrize("how", ["abort", "reset", "close"])
def test_nobody_waits_for_what_has_ended(how: str) -> None:
    tunnel, shaper = slow_tunnel()
    tunnel.left.send(bytes(MIB))
    assert len(shaper) == 1
    if how == "abort":
        tunnel.relay.abort()
    else:
        tunnel.left.lose(ConnectionLost() if how == "reset" else ConnectionDone())
    tunnel.settle()
    assert len(tunnel.ended) == 1
    assert len(shaper) == 0


def test_without_a_limit_nobody_asks(monkeypatch: pytest.MonkeyPatch, tunnel: Tunnel) -> None:
    def never(*arguments: object) -> None:
        raise AssertionError("asked for a limit that isn't there")

    monkeypatch.setattr(relays.End, "_charge", never)
    tunnel.left.send(BULK)
    tunnel.right.send(BULK)
    tunnel.settle()
    assert tunnel.right.read == tunnel.left.read == BULK


def run(seconds: float, *tunnels: Joined) -> None:
    """They share a clock, which goes on with each of their steps."""
    clock = tunnels[0].clock
    end = clock.seconds() + seconds
    while clock.seconds() < end:
        for tunnel in tunnels:
            tunnel.step()


def test_each_direction_has_its_limit(joined_slowly: Joined, spliced: bool) -> None:
    tunnel = joined_slowly
    tunnel.send(tunnel.left, bytes(4 * MIB))
    tunnel.send(tunnel.right, bytes(4 * MIB))
    run(2.5, tunnel)
    assert tunnel.relay.spliced == spliced
    for got in (tunnel.left.got, tunnel.right.got):
        assert len(got) == pytest.approx(2.5 * MIB, rel=0.15)  # a read may be ahead of it


@pytest.fixture(params=FAMILIES)
def joined_slowly(machine: Machine, request: pytest.FixtureRequest, spliced: bool) -> Joined:
    return Joined(machine, request.param, spliced, limit=MIB)


def test_in_the_kernel_it_is_exact(machine: Machine) -> None:
    tunnel = Joined(machine, limit=MIB)
    tunnel.send(tunnel.left, bytes(8 * MIB))
    run(1, tunnel)
    for _ in range(3):
        before = len(tunnel.right.got)
        run(1, tunnel)
        assert len(tunnel.right.got) - before == pytest.approx(MIB, rel=0.08)


def test_a_high_limit_leaves_it_to_the_kernel(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: list[int] = []
    tunnel = Joined(machine, limit=10**9)
    charge = Throttle.took
    monkeypatch.setattr(
        Throttle, "took", lambda self, count: (turns.append(count), charge(self, count))[1]
    )
    tunnel.send(tunnel.left, BULK)
    tunnel.until(tunnel.sent)
    tunnel.until(lambda: len(tunnel.right.got) == len(BULK))
    assert tunnel.splicer is not None
    figures = tunnel.splicer.snapshot()
    assert figures["spliced"] == sum(turns) == len(BULK)
    assert figures["copied"] == 0
    assert tunnel.right.got == BULK


def test_tunnels_of_one_key_share(machine: Machine, spliced: bool) -> None:
    clock = Clock()
    shaper = Shaper(clock)
    buckets = shaper.bucket(2 * MIB), shaper.bucket(2 * MIB)
    tunnels = [Joined(machine, "tcp", spliced, limit=buckets, clock=clock) for _ in range(3)]
    free = Joined(machine, "tcp", spliced)
    for tunnel in tunnels:
        tunnel.send(tunnel.left, bytes(8 * MIB))
    run(0.5, *tunnels)
    free.send(free.left, BULK)
    free.until(lambda: len(free.right.got) == len(BULK))  # while the others wait: no time passes
    before = [len(tunnel.right.got) for tunnel in tunnels]
    run(3, *tunnels)
    got = [len(tunnel.right.got) - had for tunnel, had in zip(tunnels, before, strict=True)]
    assert sum(got) == pytest.approx(6 * MIB, rel=0.1)
    assert min(got) > MIB


@pytest.mark.parametrize("how", ["abort", "reset of the source", "reset of the sink", "close"])
def test_the_end_of_one_that_waits(machine: Machine, spliced: bool, how: str) -> None:
    before = open_files()
    tunnel = Joined(machine, "tcp", spliced, limit=MIB)
    tunnel.send(tunnel.left, bytes(4 * MIB))
    run(0.3, tunnel)
    if how == "abort":
        tunnel.relay.abort()
    elif how == "close":
        tunnel.to_send[tunnel.left] = memoryview(b"")
        tunnel.right.end_sending()
        tunnel.left.end_sending()
    else:
        peer = tunnel.left if how == "reset of the source" else tunnel.right
        tunnel.reading.discard(peer)
        tunnel.to_send[tunnel.left] = memoryview(b"")
        peer.reset()
    tunnel.over({"abort": "aborted", "close": "closed"}.get(how, "reset"))
    assert len(tunnel.clock.getDelayedCalls()) == 1, "nothing is left but the sweep"
    machine.forget(*tunnel.ours)
    if tunnel.splicer is not None:
        tunnel.splicer.close()
    machine.turns()
    assert open_files() <= before


def test_a_half_closed_one_goes_on_at_its_limit(machine: Machine, spliced: bool) -> None:
    tunnel = Joined(machine, "tcp", spliced, limit=4 * MIB)
    tunnel.send(tunnel.left, BULK)
    tunnel.until(tunnel.sent)
    tunnel.left.end_sending()
    tunnel.until(lambda: tunnel.right.end)
    assert tunnel.right.got == BULK
    start = tunnel.clock.seconds()
    tunnel.send(tunnel.right, BULK)
    tunnel.until(lambda: len(tunnel.left.got) == len(BULK))
    assert tunnel.clock.seconds() - start >= (len(BULK) / (4 * MIB) - SAVED) * 0.85
    tunnel.right.end_sending()
    tunnel.over("closed")
    assert tunnel.left.got == BULK


def test_nothing_of_a_limited_one_is_waited_for(machine: Machine) -> None:
    """Whoever waits is in a cycle with what it waits for."""
    tunnel = Joined(machine, limit=MIB)
    tunnel.send(tunnel.left, bytes(MIB))
    ends = tunnel.relay.left, tunnel.relay.right
    run(0.2, tunnel)
    assert [end.throttle is not None and end.throttle.waits for end in ends] == [True, False]
    tunnel.relay.abort()
    tunnel.over("aborted")
    for end in ends:
        assert end.throttle is not None
        assert not end.throttle.waits
        assert end.relay is None
