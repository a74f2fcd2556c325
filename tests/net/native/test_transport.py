"""One suite for both kinds of transports: what protocols rely on holds on either."""

from __future__ import annotations

import gc
import socket
import ssl
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import (
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
)
from twisted.internet.interfaces import (
    IConsumer,
    INegotiated,
    IPushProducer,
    ISSLTransport,
    ISystemHandle,
    ITCPTransport,
    ITransport,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import capturedLogs
from zope.interface.verify import verifyObject

from sockets import open_files
from talks import (
    FAMILIES,
    MUCH,
    HalfTape,
    Net,
    Pull,
    Push,
    Tape,
    Tapes,
    failing,
    faults,
    patterned,
)
from twistproxy.net.native import (
    HIGH_WATER,
    NativeTransport,
    bind,
)

# What a transport is


@pytest.mark.parametrize("family", FAMILIES)
def test_echo(net: Net, family: str) -> None:
    talk = net.talk(Tape(data=lambda tape: tape.transport.write(tape.received)), family)
    talk.peer.send(b"hello")
    net.until(lambda: talk.peer.read() == b"hello")


@pytest.mark.parametrize("family", FAMILIES)
def test_interfaces(native: Net, family: str) -> None:
    transport = native.talk(family=family).transport
    for each in (ITransport, ITCPTransport, IConsumer, IPushProducer, ISystemHandle):
        verifyObject(each, transport)
    assert INegotiated.providedBy(transport) is (family == "tls")
    if family == "tls":
        verifyObject(ISSLTransport, transport)
        verifyObject(INegotiated, transport)


def test_nothing_is_between_the_protocol_and_the_loop(native: Net) -> None:
    talk = native.talk()
    for name in ("pauseProducing", "resumeProducing"):
        method = getattr(talk.transport, name)
        assert type(method.__self__).__module__ == "uvloop.loop", name
    assert talk.transport.data_received == talk.protocol.dataReceived


class Written:
    """uvloop's transport, and its loop, as far as writes go: what is handed to the kernel."""

    def __init__(self) -> None:
        self.handed: list[list[bytes]] = []
        self.soon: list[Callable[[], None]] = []
        self.closed = False

    def call_soon(self, call: Callable[[], None]) -> None:
        self.soon.append(call)

    def turn(self) -> None:
        soon, self.soon = self.soon, []
        for call in soon:
            call()

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.handed.append([data])

    def writelines(self, data: Iterable[bytes]) -> None:
        assert not self.closed
        self.handed.append(list(data))

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str) -> None:
        return None

    def ignored(self, *_: object) -> None: ...

    set_write_buffer_limits = pause_reading = resume_reading = set_protocol = ignored


def written() -> tuple[Written, NativeTransport]:
    loop: Any = Written()
    transport = NativeTransport(loop, Factory.forProtocol(Protocol))
    transport.connection_made(loop)
    return loop, transport


def test_what_is_written_in_one_turn_leaves_in_one_write() -> None:
    loop, transport = written()
    transport.write(b"a")
    transport.writeSequence([b"b", b"c"])
    assert (loop.handed, transport.unsent) == ([], 3)
    loop.turn()
    assert (loop.handed, transport.unsent) == ([[b"a", b"b", b"c"]], 0)
    transport.write(b"d")
    loop.turn()
    assert loop.handed[1:] == [[b"d"]]
    loop.turn()
    assert not loop.soon, "nothing is done for who writes nothing"


def test_much_is_written_at_once() -> None:
    loop, transport = written()
    transport.write(b"a")
    transport.write(bytes(HIGH_WATER))
    assert loop.handed == [[b"a", bytes(HIGH_WATER)]]
    transport.writeSequence([bytes(HIGH_WATER // 2)] * 2)
    assert len(loop.handed) == 2
    loop.turn()
    assert len(loop.handed) == 2


def test_a_close_comes_after_what_was_written_an_abort_instead() -> None:
    loop, transport = written()
    transport.write(b"a")
    transport.loseConnection()
    assert (loop.handed, loop.closed) == ([[b"a"]], True)
    loop, transport = written()
    transport.write(b"a")
    transport.abortConnection()
    loop.turn()
    assert (loop.handed, loop.closed) == ([], True)


def test_turns_are_shared_by_a_loops_connections() -> None:
    loop, transport = written()
    other = NativeTransport(loop, Factory.forProtocol(Protocol))  # type: ignore[arg-type]
    other.connection_made(loop)
    transport.write(b"a")
    other.write(b"b")
    assert len(loop.soon) == 1
    loop.turn()
    assert loop.handed == [[b"a"], [b"b"]]


def test_addresses(net: Net) -> None:
    for family, kind, host in (("tcp", IPv4Address, "127.0.0.1"), ("tcp6", IPv6Address, "::1")):
        factory = Tapes()
        port = net.listen(factory, family)
        peer = net.peer(net.knock(port))
        net.until(lambda factory=factory: factory.built)
        transport = factory.built[0].transport
        net.built += factory.built
        theirs, ours = peer.socket.getsockname(), peer.socket.getpeername()
        assert transport.getPeer() == kind("TCP", *theirs) == factory.peers[0]
        assert transport.getHost() == kind("TCP", *ours) == port.getHost()
        assert transport.getPeer().host == host


def test_unix_addresses(net: Net) -> None:
    talk = net.talk(family="unix")
    assert talk.transport.getPeer() == UNIXAddress(None)
    assert talk.transport.getHost() == UNIXAddress(talk.peer.socket.getpeername().encode())


def test_addresses_are_known_after_the_end(native: Net) -> None:
    talk = native.talk()
    talk.peer.close()
    native.until(lambda: talk.protocol.lost)
    assert talk.transport.getPeer().host == talk.transport.getHost().host == "127.0.0.1"


def test_options(net: Net) -> None:
    transport = net.talk().transport
    for enabled in (True, False, True):
        transport.setTcpNoDelay(enabled)
        assert transport.getTcpNoDelay() is enabled
        transport.setTcpKeepAlive(enabled)
        assert transport.getTcpKeepAlive() is enabled
    handle = transport.getHandle()
    handle.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 100_000)
    assert handle.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) >= 100_000


def test_options_that_a_unix_socket_has_not(native: Net) -> None:
    talk = native.talk(family="unix")
    for enabled in (True, False):
        talk.transport.setTcpNoDelay(enabled)
        talk.transport.setTcpKeepAlive(enabled)
    talk.transport.abortConnection()
    native.until(lambda: talk.protocol.lost)
    talk.transport.setTcpKeepAlive(True)


def test_no_delay_is_on_from_the_beginning(native: Net) -> None:
    assert native.talk().transport.getTcpNoDelay()


# Writing


@pytest.mark.parametrize("family", FAMILIES)
def test_much_to_a_slow_reader(net: Net, family: str) -> None:
    talk = net.talk(family=family)
    data = patterned(MUCH)
    talk.transport.write(data[:10])
    talk.transport.writeSequence([data[10:30], b"", data[30:]])
    net.until(lambda: len(talk.peer.read()) == MUCH)
    assert talk.peer.got == data


@pytest.mark.parametrize("family", FAMILIES)
def test_a_push_producer_is_paused_and_resumed(net: Net, family: str) -> None:
    talk = net.talk(family=family)
    producer = Push(talk.transport, 200)
    talk.transport.registerProducer(producer, True)
    producer.resumeProducing()
    net.turns(20)
    assert producer.paused
    assert 0 < producer.left < 200
    net.until(lambda: len(talk.peer.read()) == 20_000_000)
    assert not producer.left
    assert producer.told.count("pause") >= 2
    assert talk.peer.got == b"".join(bytes([n % 256]) * 100_000 for n in reversed(range(200)))
    talk.transport.unregisterProducer()


@pytest.mark.parametrize("family", ["tcp", "unix"])
def test_a_pull_producer_is_asked_while_there_is_room(net: Net, family: str) -> None:
    talk = net.talk(family=family)
    producer = Pull(talk.transport, 200)
    talk.transport.registerProducer(producer, False)
    assert producer.told == ["resume"]
    net.turns(400)
    assert 0 < producer.left < 200
    net.until(lambda: len(talk.peer.read()) == 20_000_000)
    net.until(lambda: producer.told.count("resume") == 201)
    net.turns()
    assert producer.told.count("resume") == 201


def test_a_producer_that_comes_when_the_buffer_is_full(native: Net) -> None:
    talk = native.talk()
    talk.transport.write(bytes(MUCH))
    producer = Push(talk.transport, 1)
    talk.transport.registerProducer(producer, True)
    assert producer.told == ["pause"]
    native.until(lambda: len(talk.peer.read()) == MUCH + 100_000)


def test_one_producer_at_a_time(net: Net) -> None:
    talk = net.talk()
    talk.transport.registerProducer(Push(talk.transport, 1), True)
    with pytest.raises(RuntimeError):
        talk.transport.registerProducer(Push(talk.transport, 1), True)
    talk.transport.unregisterProducer()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_producer_is_stopped_at_the_end(net: Net, family: str) -> None:
    talk = net.talk(family=family)
    producer = Push(talk.transport, 1)
    talk.transport.registerProducer(producer, True)
    talk.peer.reset()
    net.until(lambda: talk.protocol.lost)
    assert producer.told == ["stop"]
    late = Push(talk.transport, 1)
    if net.kind == "native" or family != "tls":
        talk.transport.registerProducer(late, True)
        assert late.told == ["stop"]


def test_a_producer_is_resumed_when_nothing_is_left(native: Net) -> None:
    talk = native.talk()
    left: list[int] = []

    class Watching(Push):
        def resumeProducing(self) -> None:
            left.append(talk.transport.unsent)
            super().resumeProducing()

    talk.transport.registerProducer(Watching(talk.transport, 1), True)
    talk.transport.write(bytes(MUCH))
    assert talk.transport.unsent > HIGH_WATER
    native.until(lambda: talk.peer.read() and left)
    assert left == [0]
    talk.transport.unregisterProducer()


# Reading


@pytest.mark.parametrize("family", FAMILIES)
def test_paused_in_connection_made(net: Net, family: str) -> None:
    if net.kind == "epoll" and family == "tls":
        pytest.skip("there a handshake is paused, too")
    talk = net.talk(Tape(made=lambda tape: tape.transport.pauseProducing()), family)
    talk.peer.send(b"first")
    net.turns()
    talk.peer.send(b" and second")
    net.turns()
    assert talk.protocol.received == b""
    talk.transport.resumeProducing()
    net.until(lambda: talk.protocol.received == b"first and second")
    talk.peer.send(b", third")
    net.until(lambda: talk.protocol.received.endswith(b"third"))


def test_paused_again_before_anything_is_released(net: Net) -> None:
    talk = net.talk(Tape(made=lambda tape: tape.transport.pauseProducing()))
    talk.peer.send(b"first")
    net.turns()
    talk.transport.resumeProducing()
    talk.transport.pauseProducing()
    net.turns()
    assert talk.protocol.received == b""
    talk.transport.resumeProducing()
    net.until(lambda: talk.protocol.received == b"first")


def test_paused_by_what_was_held(net: Net) -> None:
    tape = Tape(
        made=lambda tape: tape.transport.pauseProducing(),
        data=lambda tape: tape.transport.pauseProducing(),
    )
    talk = net.talk(tape)
    talk.peer.send(b"first")
    net.turns()
    talk.transport.resumeProducing()
    net.until(lambda: tape.received == b"first")
    talk.peer.send(b"second")
    net.turns()
    assert tape.received == b"first"
    talk.transport.resumeProducing()
    net.until(lambda: tape.received == b"firstsecond")


@pytest.mark.parametrize("family", ["tcp", "unix"])
def test_an_end_while_paused_from_the_beginning(net: Net, family: str) -> None:
    talk = net.talk(HalfTape(made=lambda tape: tape.transport.pauseProducing()), family)
    talk.peer.send(b"all")
    talk.peer.end_sending()
    net.turns()
    assert talk.protocol.events == ["made"]
    talk.transport.resumeProducing()
    net.until(lambda: talk.protocol.events == ["made", "data", "eof"])


@pytest.mark.parametrize("family", FAMILIES)
def test_paused_later(net: Net, family: str) -> None:
    talk = net.talk(Tape(data=lambda tape: tape.transport.pauseProducing()), family)
    talk.peer.send(b"one")
    net.until(lambda: talk.protocol.received == b"one")
    talk.peer.send(b"two")
    net.turns()
    assert talk.protocol.received == b"one"
    talk.transport.resumeProducing()
    net.until(lambda: talk.protocol.received == b"onetwo")


@pytest.mark.parametrize("family", FAMILIES)
def test_another_protocol_takes_over(net: Net, family: str) -> None:
    after = Tape()

    def hand_over(tape: Tape) -> None:
        bind(tape.transport, after)
        after.makeConnection(tape.transport)

    talk = net.talk(Tape(data=hand_over), family)
    talk.peer.send(b"one")
    net.until(lambda: talk.protocol.received)
    talk.peer.send(b"two")
    net.until(lambda: after.received == b"two")
    assert talk.protocol.received == b"one"
    talk.peer.close()
    net.until(lambda: after.lost)
    assert talk.protocol.lost is None
    talk.protocol.lost = after.lost  # so that nobody aborts it


def test_a_protocol_that_receives_by_another_method(net: Net) -> None:
    talk = net.talk()
    got: list[bytes] = []
    talk.protocol.dataReceived = got.append
    bind(talk.transport, talk.protocol)
    talk.peer.send(b"one")
    net.until(lambda: got == [b"one"])


# How it ends


@pytest.mark.parametrize("family", FAMILIES)
def test_the_peer_closes(net: Net, family: str) -> None:
    talk = net.talk(family=family)
    if family == "tls":
        with suppress(OSError):
            talk.peer.socket.unwrap()
    else:
        talk.peer.close()
    net.until(lambda: talk.protocol.lost)
    assert talk.protocol.why is ConnectionDone


@pytest.mark.parametrize("before", [b"", b"some"], ids=["nothing before", "data before"])
@pytest.mark.parametrize("family", ["tcp", "tcp6", "tls"])
def test_the_peer_resets(net: Net, family: str, before: bytes) -> None:
    talk = net.talk(family=family)
    if before:
        talk.peer.send(before)
    talk.peer.reset()
    net.until(lambda: talk.protocol.lost)
    assert talk.protocol.why is ConnectionLost
    assert talk.protocol.received == before


def test_a_half_close_of_the_peers(net: Net) -> None:
    talk = net.talk(HalfTape(eof=lambda tape: tape.transport.write(b"answer")))
    talk.peer.send(b"question")
    talk.peer.end_sending()
    net.until(lambda: talk.peer.read() == b"answer")
    assert talk.protocol.events == ["made", "data", "eof"]
    talk.transport.loseConnection()
    net.until(lambda: talk.protocol.lost)
    assert talk.protocol.why is ConnectionDone


def test_a_half_close_is_told_once(native: Net) -> None:
    talk = native.talk(HalfTape())
    talk.peer.end_sending()
    native.until(lambda: "eof" in talk.protocol.events)
    talk.transport.pauseProducing()
    talk.transport.resumeProducing()
    native.turns()
    assert talk.protocol.events == ["made", "eof"]


def test_what_is_pending_is_written_when_the_peer_ends_first(native: Net) -> None:
    talk = native.talk()
    producer = Push(talk.transport, 100)
    talk.transport.registerProducer(producer, True)
    talk.transport.write(bytes(MUCH))
    talk.peer.end_sending()
    native.until(lambda: producer.told[-1] == "stop")
    talk.transport.write(b"not this")
    native.until(lambda: talk.peer.read() and talk.protocol.lost)
    native.ended(talk.peer)
    assert (len(talk.peer.got), talk.peer.end) == (MUCH, "eof")
    assert talk.protocol.why is ConnectionDone


@pytest.mark.parametrize("family", ["tcp", "unix"])
def test_a_half_close_of_ours(net: Net, family: str) -> None:
    talk = net.talk(HalfTape(), family)
    talk.transport.write(bytes(MUCH))
    talk.transport.loseWriteConnection()
    net.turns()
    assert talk.protocol.events == ["made"]
    net.ended(talk.peer)
    assert (len(talk.peer.got), talk.peer.end) == (MUCH, "eof")
    net.until(lambda: talk.protocol.events == ["made", "written"])
    talk.transport.write(b"silence")
    talk.transport.writeSequence([b"silence"])
    talk.transport.loseWriteConnection()
    talk.peer.socket.send(b"still heard")
    net.until(lambda: talk.protocol.received == b"still heard")
    talk.transport.loseConnection()
    net.until(lambda: talk.protocol.lost)
    if net.kind == "native":
        assert talk.protocol.why is ConnectionDone


def test_a_half_close_with_nothing_pending(net: Net) -> None:
    talk = net.talk(HalfTape())
    talk.transport.loseWriteConnection()
    net.until(lambda: talk.protocol.events == ["made", "written"])
    net.ended(talk.peer)
    assert talk.peer.end == "eof"


@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_both_halves_closed_is_the_end(native: Net, first: str) -> None:
    talk = native.talk(HalfTape())
    if first == "ours":
        talk.transport.loseWriteConnection()
        native.turns()
        talk.peer.end_sending()
    else:
        talk.peer.end_sending()
        native.until(lambda: "eof" in talk.protocol.events)
        talk.transport.loseWriteConnection()
    native.until(lambda: talk.protocol.lost)
    assert talk.protocol.why is ConnectionDone


@pytest.mark.parametrize("family", FAMILIES)
def test_a_close_writes_all_before(net: Net, family: str) -> None:
    talk = net.talk(family=family)
    talk.transport.write(bytes(MUCH))
    talk.transport.loseConnection()
    assert talk.transport.disconnecting
    net.turns()
    assert talk.protocol.lost is None
    net.ended(talk.peer)
    assert (len(talk.peer.got), talk.peer.end) == (MUCH, "eof")
    if family == "tls":
        talk.peer.close()
    net.until(lambda: talk.protocol.lost)
    if family != "tls":
        assert talk.protocol.why is ConnectionDone


@pytest.mark.parametrize("family", ["tcp", "unix"])
def test_a_close_while_reading_is_paused(net: Net, family: str) -> None:
    talk = net.talk(Tape(data=lambda tape: tape.transport.pauseProducing()), family)
    talk.peer.send(b"one")
    net.until(lambda: talk.protocol.received)
    talk.transport.write(bytes(MUCH))
    talk.transport.loseConnection()
    net.until(lambda: len(talk.peer.read()) == MUCH)
    net.until(lambda: talk.protocol.lost)
    assert talk.protocol.why is ConnectionDone


@pytest.mark.parametrize("family", FAMILIES)
def test_a_close_waits_for_the_producer(native: Net, family: str) -> None:
    talk = native.talk(family=family)
    producer = Push(talk.transport, 1)
    talk.transport.registerProducer(producer, True)
    talk.transport.loseConnection()
    assert talk.transport.disconnecting
    native.turns()
    assert talk.protocol.lost is None
    producer.piece()
    talk.transport.unregisterProducer()
    native.ended(talk.peer)
    assert (len(talk.peer.got), talk.peer.end) == (100_000, "eof")


def test_a_close_waits_for_a_pull_producer(net: Net) -> None:
    talk = net.talk()
    talk.transport.registerProducer(Pull(talk.transport, 100), False)
    talk.transport.loseConnection()
    net.ended(talk.peer)
    assert (len(talk.peer.got), talk.peer.end) == (10_000_000, "eof")


def test_a_half_close_waits_for_the_producer(native: Net) -> None:
    talk = native.talk(HalfTape())
    producer = Push(talk.transport, 1)
    talk.transport.registerProducer(producer, True)
    talk.transport.loseWriteConnection()
    producer.piece()
    talk.transport.unregisterProducer()
    native.ended(talk.peer)
    assert len(talk.peer.got) == 100_000
    assert talk.protocol.lost is None


@pytest.mark.parametrize("family", ["tcp", "tcp6", "tls"])
def test_an_abort_is_a_reset(net: Net, family: str) -> None:
    talk = net.talk(family=family)
    talk.transport.write(bytes(MUCH))
    talk.transport.abortConnection()
    assert talk.protocol.lost is None  # not in the same call
    net.until(lambda: talk.protocol.lost)
    if net.kind == "native" or family != "tls":
        assert talk.protocol.why is ConnectionAborted
    net.ended(talk.peer)
    assert talk.peer.end == "reset" or (family == "tls" and talk.peer.end == "truncated")


def test_an_abort_ends_a_close_that_waits(net: Net) -> None:
    talk = net.talk()
    talk.transport.write(bytes(MUCH))
    talk.transport.loseConnection()
    net.turns()
    talk.transport.abortConnection()
    net.until(lambda: talk.protocol.lost)
    assert talk.protocol.why is ConnectionAborted


@pytest.mark.parametrize("family", FAMILIES)
def test_after_the_end_all_is_silence(net: Net, family: str) -> None:
    if net.kind == "epoll" and family == "tls":
        pytest.skip("there it has no transport any more")
    talk = net.talk(family=family)
    talk.peer.reset()
    net.until(lambda: talk.protocol.lost)
    with capturedLogs() as logged:
        transport = talk.transport
        transport.write(b"x")
        transport.writeSequence([b"x"])
        transport.loseConnection()
        transport.abortConnection()
        transport.unregisterProducer()
        if net.kind == "native":
            transport.loseWriteConnection()
            transport.pauseProducing()
            transport.resumeProducing()
            transport.protocol = Tape()
            assert transport.protocol is None
        net.turns()
    assert not logged
    assert talk.protocol.events[-1] == "lost"


@pytest.mark.parametrize("what", ["loseConnection", "abortConnection"])
@pytest.mark.parametrize("family", FAMILIES)
def test_ended_in_connection_made(net: Net, family: str, what: str) -> None:
    tape = Tape(made=lambda tape: getattr(tape.transport, what)())
    talk = net.talk(tape, family, shaken=False)
    net.until(lambda: tape.lost)
    assert tape.events == ["made", "lost"]
    aborted = what == "abortConnection" or family == "tls"
    if net.kind == "native" or family != "tls":
        assert tape.why is (ConnectionAborted if aborted else ConnectionDone)
    net.ended(talk.peer)


def test_a_factory_that_refuses(net: Net) -> None:
    factory = Tapes(None)
    peer = net.peer(net.knock(net.listen(factory)))
    net.ended(peer)
    assert factory.built == [None]


# Faults of a protocol's own


@pytest.mark.parametrize("error", [ZeroDivisionError, OSError, ssl.SSLError])
@pytest.mark.parametrize("family", ["tcp", "tls"])
def test_a_protocol_that_raises(net: Net, family: str, error: type[Exception]) -> None:
    talk = net.talk(Tape(data=failing(error)), family)
    with capturedLogs() as logged:
        talk.peer.send(b"x")
        net.until(lambda: talk.protocol.lost)
        net.turns()
    if net.kind == "native":
        assert talk.protocol.why is error
        assert faults(logged) == [error]


RAISING = {
    "at the peer's end": ("eof", lambda net, talk: talk.peer.end_sending()),
    "at our half's end": ("written", lambda net, talk: talk.transport.loseWriteConnection()),
}


@pytest.mark.parametrize(("event", "cause"), RAISING.values(), ids=RAISING)
def test_a_half_closeable_protocol_that_raises(net: Net, event: str, cause: Any) -> None:
    talk = net.talk(HalfTape(**{event: failing(ZeroDivisionError)}))
    with capturedLogs() as logged:
        cause(net, talk)
        net.until(lambda: talk.protocol.lost)
    assert talk.protocol.why is ZeroDivisionError
    if net.kind == "native":
        assert faults(logged) == [ZeroDivisionError]


def test_a_protocol_that_raises_at_the_end(net: Net) -> None:
    talk = net.talk(Tape(lost=failing(ZeroDivisionError)))
    with capturedLogs() as logged:
        talk.peer.close()
        net.until(lambda: talk.protocol.lost)
        net.turns()
    if net.kind == "native":
        assert faults(logged) == [ZeroDivisionError]


@pytest.mark.parametrize("family", ["tcp", "tls"])
def test_a_protocol_that_raises_at_the_beginning(native: Net, family: str) -> None:
    with capturedLogs() as logged:
        talk = native.talk(Tape(made=failing(ZeroDivisionError)), family, shaken=False)
        native.until(lambda: talk.protocol.lost)
    assert talk.protocol.why is ZeroDivisionError
    assert faults(logged) == [ZeroDivisionError]


class Broken(Push):
    def pauseProducing(self) -> None:
        raise ZeroDivisionError

    resumeProducing = pauseProducing


@pytest.mark.parametrize("streaming", [True, False], ids=["push", "pull"])
def test_a_producer_that_raises(native: Net, streaming: bool) -> None:
    talk = native.talk()
    with capturedLogs() as logged:
        talk.transport.registerProducer(Broken(talk.transport, 1), streaming)
        talk.transport.write(bytes(MUCH))
        native.until(lambda: talk.protocol.lost)
    assert talk.protocol.why is ZeroDivisionError
    assert set(faults(logged)) == {ZeroDivisionError}


def test_a_producer_that_can_not_be_resumed(native: Net) -> None:
    talk = native.talk()
    producer = Broken(talk.transport, 1)
    producer.pauseProducing = lambda: None  # type: ignore[method-assign]
    talk.transport.registerProducer(producer, True)
    with capturedLogs() as logged:
        talk.transport.write(bytes(MUCH))
        native.until(lambda: talk.peer.read() and talk.protocol.lost)
    assert talk.protocol.why is ZeroDivisionError
    assert logged


# What stays


def batch(net: Net, family: str, port: Any, count: int) -> None:
    """So many come, and end in every way."""
    peers = [net.peer(net.knock(port), family) for _ in range(count)]
    if family == "tls":
        for peer in peers:
            net.until(peer.shake)
    for peer in peers:
        peer.send(b"x")
    net.until(lambda: all(peer.read() or peer.end for peer in peers))
    for n, peer in enumerate(peers):
        (peer.close, peer.reset, peer.end_sending)[n % 3]()


@pytest.mark.parametrize(("family", "count"), [("tcp", 10_000), ("unix", 1000), ("tls", 500)])
def test_connections_leave_nothing_behind(native: Net, family: str, count: int) -> None:
    ways = ["loseConnection", "abortConnection", "loseWriteConnection"]
    ended = [0]

    def answer(tape: Tape) -> None:
        tape.transport.write(b"answer")
        ended[0] += 1
        getattr(tape.transport, ways[ended[0] // 3 % 3])()

    class Ending(Factory):
        noisy = False

        def buildProtocol(self, addr: object) -> Tape:
            return Tape(data=answer)

    def made() -> list[object]:
        return [each for each in gc.get_objects() if isinstance(each, (Tape, NativeTransport))]

    def left() -> list[object]:
        return [each for each in made() if id(each) not in known]

    port = native.listen(Ending(), family)
    native.turns()
    gc.collect()
    gc.disable()
    before = len(open_files())
    others = made()  # the log remembers the failures of other tests
    known = set(map(id, others))
    try:
        done = 0
        while done < count:
            batch(native, family, port, 100)
            done += 100
            native.turns(4)
            for peer in native._peers:
                peer.close()
            native._peers.clear()
        assert ended[0] == count
        native.until(lambda: len(open_files()) == before)
        native.turns()
        assert left() == []
    finally:
        gc.enable()
