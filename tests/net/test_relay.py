from __future__ import annotations

import gc
import math
import weakref
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

from twistproxy.net.relay import HELD, Relay
from twistproxy.net.sweep import Sweep

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
