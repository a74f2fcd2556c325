"""One suite for both kinds of transports: what protocols rely on holds on either."""

from __future__ import annotations

import gc
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    AdoptedStreamServerEndpoint,
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
)
from twisted.internet.error import (
    ConnectError,
    ConnectingCancelledError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    NoProtocol,
    TimeoutError,
)
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableProtocol,
    IHandshakeListener,
    INegotiated,
    IPullProducer,
    IPushProducer,
    ISSLTransport,
    ISystemHandle,
    ITCPTransport,
    ITransport,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from zope.interface import implementer
from zope.interface.verify import verifyObject

from sockets import Machine, Peer, open_files
from twistproxy.net.listen import listen
from twistproxy.net.native import (
    HIGH_WATER,
    NativeClientEndpoint,
    NativeServerEndpoint,
    NativeTransport,
    bind,
)
from twistproxy.net.tls import ServerTls, load

pytest.importorskip("uvloop")

KINDS = ("native", "epoll")
FAMILIES = ("tcp", "tcp6", "unix", "tls")
MUCH = 16 << 20  #: bytes: more than the kernel takes for a peer that doesn't read


class Tape(Protocol):
    """What is told to a protocol, and what is done when it is."""

    transport: Any

    def __init__(self, **on: Callable[[Any], object]) -> None:
        """on: by the callback's name, what else it does with us."""
        self.on = on
        self.received = b""
        self.events: list[str] = []
        self.lost: Failure | None = None

    def _told(self, name: str) -> None:
        self.events.append(name)
        if name in self.on:
            self.on[name](self)

    def connectionMade(self) -> None:
        self._told("made")

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        self._told("data")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        assert self.lost is None
        self.lost = reason
        self._told("lost")

    @property
    def why(self) -> type[BaseException] | None:
        return self.lost.type if self.lost else None


@implementer(IHalfCloseableProtocol, IHandshakeListener)
class HalfTape(Tape):
    def readConnectionLost(self) -> None:
        self._told("eof")

    def writeConnectionLost(self) -> None:
        self._told("written")

    def handshakeCompleted(self) -> None:
        self._told("shaken")


class Tapes(Factory):
    """Builds what it is given, one after the other; then Tapes."""

    noisy = False

    def __init__(self, *protocols: Any) -> None:
        self.waiting = list(protocols)
        self.built: list[Any] = []
        self.peers: list[Any] = []

    def buildProtocol(self, addr: object) -> Any:
        self.peers.append(addr)
        self.built.append(self.waiting.pop(0) if self.waiting else Tape())
        return self.built[-1]


class TlsPeer(Peer):
    """A client over TLS. end: "truncated" where there was no close_notify."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        super().__init__(sock)
        self.socket = context.wrap_socket(
            sock,
            server_hostname="tls.example",
            do_handshake_on_connect=False,
            suppress_ragged_eofs=False,
        )

    def shake(self) -> bool:
        try:
            self.socket.do_handshake()  # type: ignore[attr-defined]
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except OSError:
            self.end = "reset"
        return True

    def send(self, data: bytes) -> int:
        try:
            return super().send(data)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 0

    def read(self) -> bytes:
        while not self.end:
            try:
                data = self.socket.recv(1 << 20)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                break
            except ssl.SSLEOFError:
                self.end = "truncated"
            except OSError:
                self.end = "reset"
            else:
                if not data:
                    self.end = "eof"
                self.got += data
        return bytes(self.got)


@frozen
class Talk:
    """A connection: its protocol here, and the peer."""

    protocol: Any
    peer: Any

    @property
    def transport(self) -> Any:
        return self.protocol.transport


class Net:
    """A reactor of one kind, what listens on it, and who came."""

    def __init__(self, kind: str, folder: Path, tls: ServerTls, trust: ssl.SSLContext) -> None:
        self.kind = kind
        self.tls = tls
        self._trust = trust
        self._machine = Machine("uvloop" if kind == "native" else "epoll")
        self.reactor = self._machine.reactor
        self.until = self._machine.until
        self.turns = self._machine.turns
        self._folder = folder
        self._ports: list[Any] = []
        self._peers: list[Peer] = []
        self.built: list[Any] = []

    def listen(self, factory: Factory, family: str = "tcp") -> Any:
        where = {
            "tcp6": r"tcp:0:interface=\:\:1",
            "unix": f"unix:{self._folder / 'socket'}",
        }.get(family, "tcp:0:interface=127.0.0.1")
        results: list[Any] = []
        tls = self.tls if family == "tls" else None
        listen(self.reactor, where, factory, tls).addBoth(results.append)
        (port,) = results
        self._ports.append(port)
        return port

    def knock(self, port: Any) -> socket.socket:
        address = port.getHost()
        if isinstance(address, UNIXAddress):
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(os.fsdecode(address.name))
            return sock
        return socket.create_connection((address.host, address.port))

    def peer(self, sock: socket.socket, family: str = "tcp") -> Any:
        peer = TlsPeer(sock, self._trust) if family == "tls" else Peer(sock)
        self._peers.append(peer)
        return peer

    def ended(self, peer: Any) -> None:
        """The peer has read all, and the end."""
        self.until(lambda: [peer.read(), peer.end][1])

    def talk(self, protocol: Any = None, family: str = "tcp", shaken: bool = True) -> Talk:
        """Somebody connects to `protocol`; over TLS the handshake is done, too."""
        factory = Tapes(*([protocol] if protocol else []))
        peer = self.peer(self.knock(self.listen(factory, family)), family)
        if family == "tls" and shaken:
            self.until(peer.shake)
        self.until(lambda: factory.built)
        self.turns(3)
        self.built += factory.built
        return Talk(factory.built[0], peer)

    def close(self) -> None:
        for peer in self._peers:
            peer.close()
        for port in self._ports:
            port.stopListening()
        for protocol in self.built:
            if protocol is not None and protocol.lost is None:
                protocol.transport.abortConnection()
        self.turns()
        self._machine.close()


@pytest.fixture(scope="module")
def server_tls(authority: Any) -> ServerTls:
    return ServerTls(load([authority.pair("tls.example")], 0))


@pytest.fixture(scope="module")
def trust(authority: Any) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority.ca)
    context.set_alpn_protocols(["http/1.1"])
    return context


@pytest.fixture(params=KINDS)
def net(
    request: pytest.FixtureRequest, tmp_path: Path, server_tls: ServerTls, trust: ssl.SSLContext
) -> Iterator[Net]:
    net = Net(request.param, tmp_path, server_tls, trust)
    yield net
    net.close()


@pytest.fixture
def native(net: Net) -> Net:
    if net.kind != "native":
        pytest.skip("Twisted's own transports differ here")
    return net


def sent(net: Net, peer: Peer, data: bytes) -> None:
    """All of `data` is on its way."""
    at = 0
    while at < len(data):
        at += peer.send(data[at:])
        net.turns(1)


def patterned(size: int) -> bytes:
    return b"".join(n.to_bytes(4, "big") * 256 for n in range(size // 1024))


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
    for name in ("write", "writeSequence", "pauseProducing", "resumeProducing", "loseConnection"):
        method = getattr(talk.transport, name)
        assert type(method.__self__).__module__ == "uvloop.loop", name
    assert talk.transport.data_received == talk.protocol.dataReceived


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
    talk.transport.setTcpKeepAlive(True)
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


class Producer:
    """Writes pieces while it may, and counts what it is told."""

    def __init__(self, transport: Any, pieces: int, size: int = 100_000) -> None:
        self.transport = transport
        self.left = pieces
        self.size = size
        self.told: list[str] = []

    def stopProducing(self) -> None:
        self.told.append("stop")
        self.left = 0

    def piece(self) -> None:
        self.left -= 1
        self.transport.write(bytes([self.left % 256]) * self.size)


@implementer(IPushProducer)
class Push(Producer):
    paused = False

    def pauseProducing(self) -> None:
        self.told.append("pause")
        self.paused = True

    def resumeProducing(self) -> None:
        self.told.append("resume")
        self.paused = False
        while self.left and not self.paused:
            self.piece()


@implementer(IPullProducer)
class Pull(Producer):
    def resumeProducing(self) -> None:
        self.told.append("resume")
        if self.left:
            self.piece()
        else:
            self.transport.unregisterProducer()


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


def test_a_pull_producer_over_tls(native: Net) -> None:
    talk = native.talk(family="tls")
    producer = Pull(talk.transport, 30)
    talk.transport.registerProducer(producer, False)
    native.until(lambda: len(talk.peer.read()) == 3_000_000)


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


def test_tls_cut_off_is_no_end(net: Net) -> None:
    talk = net.talk(family="tls")
    socket.socket(fileno=talk.peer.socket.detach()).close()
    net.until(lambda: talk.protocol.lost)
    assert talk.protocol.why is ConnectionLost


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


def test_tls_has_no_half_close(native: Net) -> None:
    talk = native.talk(family="tls")
    talk.transport.write(b"all")
    talk.transport.loseWriteConnection()
    native.ended(talk.peer)
    assert (talk.peer.got, talk.peer.end) == (b"all", "eof")


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


def faults(logged: Any) -> list[type[BaseException]]:
    return [event["log_failure"].type for event in logged if "log_failure" in event]


def failing(error: type[Exception]) -> Callable[[object], None]:
    def fail(tape: object) -> None:
        raise error("a bug")

    return fail


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


# Handshakes


def hello(trust: ssl.SSLContext) -> tuple[bytes, Any, Any, Any]:
    """A client's first flight, and the client."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trust.wrap_bio(incoming, outgoing, server_hostname="tls.example")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read(), client, incoming, outgoing


@pytest.mark.parametrize("size", [1, 100, 10_000])
def test_a_hello_in_pieces(net: Net, trust: ssl.SSLContext, size: int) -> None:
    factory = Tapes(HalfTape(data=lambda tape: tape.transport.write(tape.received)))
    peer = net.peer(net.knock(net.listen(factory, "tls")))
    net.built = factory.built
    flight, client, incoming, outgoing = hello(trust)
    for at in range(0, len(flight), size):
        peer.send(flight[at : at + size])
        net.turns(2)

    def shaken() -> bool:
        peer.read()
        incoming.write(bytes(peer.got))
        peer.got.clear()
        try:
            client.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    net.until(shaken)
    client.write(b"ping")
    # The end of the handshake and the first request in one segment.
    peer.send(outgoing.read())

    def answered() -> bool:
        peer.read()
        incoming.write(bytes(peer.got))
        peer.got.clear()
        with suppress(ssl.SSLWantReadError):
            return bool(client.read(100) == b"ping")
        return False

    net.until(answered)
    assert factory.built[0].events == ["made", "shaken", "data"]


def test_what_is_known_of_a_handshake(native: Net) -> None:
    talk = native.talk(HalfTape(), "tls")
    native.until(lambda: "shaken" in talk.protocol.events)
    assert talk.protocol.events == ["made", "shaken"]
    assert talk.transport.negotiatedProtocol == b"http/1.1"
    assert talk.transport.getPeerCertificate() is None
    assert talk.transport.ssl_object.version() == "TLSv1.3"


def test_before_the_handshake_nothing_is_known(native: Net) -> None:
    talk = native.talk(family="tls", shaken=False)
    assert talk.transport.ssl_object is None
    assert talk.transport.negotiatedProtocol is None
    assert talk.transport.getPeerCertificate() is None
    assert talk.transport.getPeer().host == "127.0.0.1"


def test_what_is_written_before_the_handshake_waits(net: Net) -> None:
    def write(tape: Tape) -> None:
        tape.transport.write(b"banner")
        tape.transport.writeSequence([b" and", b" more"])

    talk = net.talk(HalfTape(made=write), "tls")
    net.until(lambda: talk.peer.read() == b"banner and more")


def test_much_is_written_before_the_handshake(native: Net) -> None:
    producers: list[Push] = []

    def produce(tape: Tape) -> None:
        producers.append(Push(tape.transport, 500, 10_000))
        tape.transport.registerProducer(producers[0], True)
        producers[0].resumeProducing()

    talk = native.talk(Tape(made=produce), "tls", shaken=False)
    assert producers[0].paused
    assert 500 - producers[0].left == HIGH_WATER // 10_000 + 1
    native.until(talk.peer.shake)
    native.until(lambda: len(talk.peer.read()) == 5_000_000)


def test_a_close_before_the_handshake_waits_for_what_was_written(net: Net) -> None:
    def refuse(tape: Tape) -> None:
        tape.transport.write(b"go away")
        tape.transport.loseConnection()

    talk = net.talk(Tape(made=refuse), "tls")
    net.ended(talk.peer)
    assert (talk.peer.got, talk.peer.end) == (b"go away", "eof")


def not_tls(net: Net, talk: Talk) -> None:
    os.write(talk.peer.socket.fileno(), b"GET / HTTP/1.1\r\n\r\n")


def closed(net: Net, talk: Talk) -> None:
    socket.socket(fileno=talk.peer.socket.detach()).close()


def half_a_hello(net: Net, talk: Talk) -> None:
    os.write(talk.peer.socket.fileno(), b"\x16\x03\x01\x02\x00\x01")
    net.turns()
    closed(net, talk)


def reset(net: Net, talk: Talk) -> None:
    talk.peer.reset()


def aborted(net: Net, talk: Talk) -> None:
    talk.transport.abortConnection()


def lost(net: Net, talk: Talk) -> None:
    talk.transport.loseConnection()


FAILING = {
    "not TLS": (not_tls, ssl.SSLError),
    "closed": (closed, ConnectionLost),
    "closed in the middle": (half_a_hello, ConnectionLost),
    "reset": (reset, ConnectionLost),
    "aborted by us": (aborted, ConnectionAborted),
    "closed by us": (lost, ConnectionAborted),
}


@pytest.mark.parametrize(("how", "why"), FAILING.values(), ids=FAILING)
@pytest.mark.parametrize("soon", [True, False], ids=["at once", "later"])
def test_handshakes_that_fail(native: Net, how: Any, why: type[Exception], soon: bool) -> None:
    factory = Tapes(HalfTape())
    peer = native.peer(native.knock(native.listen(factory, "tls")), "tls")
    with capturedLogs() as logged:
        if soon and how not in (aborted, lost):
            how(native, Talk(None, peer))
            native.until(lambda: factory.built)
        else:
            native.until(lambda: factory.built)
            native.turns()
            how(native, Talk(factory.built[0], peer))
        native.until(lambda: factory.built[0].lost)
        native.turns()
    native.built += factory.built
    assert factory.built[0].events == ["made", "lost"]
    assert issubclass(factory.built[0].why, why) or (
        how is closed and factory.built[0].why is ConnectionDone
    )
    assert not logged


def test_a_client_that_knows_no_tls_we_speak(native: Net, trust: ssl.SSLContext) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    old.set_ciphers("AES128-SHA256")
    factory = Tapes(HalfTape())
    peer = TlsPeer(native.knock(native.listen(factory, "tls")), old)
    native.until(lambda: peer.shake() and factory.built and factory.built[0].lost)
    assert factory.built[0].why is ssl.SSLError
    peer.close()


# Clients


def endpoint(net: Net, host: str, port: int, timeout: float = 5.0) -> Any:
    if net.kind == "native":
        return NativeClientEndpoint(net.reactor, host, port, timeout)
    kind = TCP6ClientEndpoint if ":" in host else TCP4ClientEndpoint
    return kind(net.reactor, host, port, timeout)


def connecting(
    net: Net, host: str, port: int, factory: Factory, timeout: float = 5.0
) -> tuple[Deferred[Any], list[Any]]:
    results: list[Any] = []
    deferred = endpoint(net, host, port, timeout).connect(factory)
    deferred.addBoth(results.append)
    return deferred, results


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_connect(net: Net, host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as server:
        factory = Tapes()
        port = server.getsockname()[1]
        _, results = connecting(net, host, port, factory)
        net.until(lambda: results)
        peer = net.peer(server.accept()[0])
    net.built += results
    assert results == factory.built
    (protocol,) = results
    assert protocol.transport.getPeer().host == host
    assert protocol.transport.getPeer().port == port
    protocol.transport.write(b"hello")
    net.until(lambda: peer.read() == b"hello")
    peer.close()
    net.until(lambda: protocol.lost)


def test_a_connect_over_tls(native: Net, trust: ssl.SSLContext) -> None:
    there = Tapes(Tape(data=lambda tape: tape.transport.write(tape.received)))
    port = native.listen(there, "tls").getHost().port
    results: list[Any] = []
    here = Tapes(HalfTape(shaken=lambda tape: tape.transport.write(b"hello")))
    NativeClientEndpoint(
        native.reactor, "127.0.0.1", port, tls=trust, server_hostname="tls.example"
    ).connect(here).addBoth(results.append)
    native.until(lambda: here.built and here.built[0].received == b"hello")
    native.built += here.built + there.built
    assert results == here.built
    assert here.built[0].events == ["made", "shaken", "data"]
    certificate = here.built[0].transport.getPeerCertificate().to_cryptography()
    assert certificate.subject.rfc4514_string() == "CN=tls.example"


def test_a_connect_to_who_is_not_believed(native: Net) -> None:
    port = native.listen(Tapes(), "tls").getHost().port
    here = Tapes()
    NativeClientEndpoint(
        native.reactor, "127.0.0.1", port, tls=ssl.create_default_context()
    ).connect(here)
    with capturedLogs() as logged:
        native.until(lambda: here.built and here.built[0].lost)
    assert here.built[0].why is ssl.SSLCertVerificationError
    assert not logged


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def test_a_connect_is_refused(net: Net) -> None:
    _, results = connecting(net, "127.0.0.1", unused_port(), Tapes())
    net.until(lambda: results)
    assert results[0].type is ConnectionRefusedError
    assert str(results[0].value) == (
        "Connection was refused by other side: 111: Connection refused."
    )


def test_a_connect_without_a_way(net: Net) -> None:
    _, results = connecting(net, "255.255.255.255", 80, Tapes())
    net.until(lambda: results)
    assert isinstance(results[0].value, ConnectError)
    assert results[0].value.osError


class Full:
    """A server whose queue is full: the next connect is not answered."""

    def __init__(self) -> None:
        self.server = socket.socket()
        self.server.bind(("127.0.0.1", 0))
        self.server.listen(0)
        self.port: int = self.server.getsockname()[1]
        self._clients = [socket.socket() for _ in range(3)]
        for client in self._clients:
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", self.port))

    def close(self) -> None:
        for sock in (self.server, *self._clients):
            sock.close()


@pytest.fixture
def full() -> Iterator[Full]:
    full = Full()
    yield full
    full.close()


def test_a_connect_that_is_not_answered(net: Net, full: Full) -> None:
    before = open_files()
    _, results = connecting(net, "127.0.0.1", full.port, Tapes(), timeout=0.05)
    net.until(lambda: results)
    assert results[0].type is TimeoutError
    net.until(lambda: open_files() == before)


def test_a_connect_that_is_cancelled(net: Net, full: Full) -> None:
    before = open_files()
    factory = Tapes()
    deferred, results = connecting(net, "127.0.0.1", full.port, factory)
    net.turns()
    deferred.cancel()
    net.until(lambda: results)
    assert results[0].type is ConnectingCancelledError
    net.until(lambda: open_files() == before)
    assert not factory.built
    assert not net.reactor.getDelayedCalls()


@pytest.mark.parametrize("turns", range(4))
def test_a_connect_that_is_cancelled_when_it_arrives(net: Net, turns: int) -> None:
    before = open_files()
    with socket.create_server(("127.0.0.1", 0)) as server:
        deferred, results = connecting(net, *server.getsockname(), Tapes())
        net.turns(turns)
        if results:
            results[0].transport.abortConnection()
        deferred.cancel()
        net.turns()
    net.turns()
    net.until(lambda: open_files() == before)


def test_a_client_factory_that_refuses(net: Net) -> None:
    before = open_files()
    with socket.create_server(("127.0.0.1", 0)) as server:
        _, results = connecting(net, *server.getsockname(), Tapes(None))
        net.until(lambda: results)
        server.accept()[0].close()
    assert results[0].type is NoProtocol
    net.until(lambda: open_files() == before)


@pytest.mark.parametrize(("host", "port"), [("a.example", 80), ("", 80), ("127.0.0.1", 99999)])
def test_what_can_not_be_connected_to(native: Net, host: str, port: int) -> None:
    _, results = connecting(native, host, port, Tapes())
    native.until(lambda: results)
    assert isinstance(results[0].value, (ValueError, OverflowError))


def test_only_on_uvloop() -> None:
    with pytest.raises(TypeError):
        NativeClientEndpoint(object(), "127.0.0.1", 80)


# Servers


def test_a_port_that_stops(net: Net) -> None:
    before = open_files()
    factory = Tapes()
    port = net.listen(factory)
    address = port.getHost()
    kept = net.peer(net.knock(port))
    net.until(lambda: factory.built)
    net.built += factory.built
    net._ports.clear()
    stopped: list[object] = []
    port.stopListening().addBoth(stopped.append)
    net.until(lambda: stopped)
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((address.host, address.port))
    kept.send(b"still here")
    net.until(lambda: factory.built[0].received == b"still here")
    kept.close()
    net.until(lambda: open_files() == before)


def test_a_socket_that_was_given(native: Net) -> None:
    server = socket.create_server(("127.0.0.1", 0))
    where = server.getsockname()
    given = AdoptedStreamServerEndpoint(native.reactor, server.detach(), socket.AF_INET)
    results: list[Any] = []
    factory = Tapes()
    NativeServerEndpoint(native.reactor, given).listen(factory).addBoth(results.append)
    peer = native.peer(socket.create_connection(where))
    native._ports += results
    peer.send(b"x")
    native.until(lambda: factory.built and factory.built[0].received == b"x")
    native.built += factory.built


OUT_OF_FILES = """
import resource, socket, sys
sys.path[:0] = {path!r}
from sockets import Machine
from twisted.internet.protocol import Factory, Protocol
from twistproxy.net.listen import listen
machine = Machine({kind!r})
made = []
class Made(Protocol):
    def connectionMade(self): made.append(self)
ports = []
listen(machine.reactor, "tcp:0:interface=127.0.0.1", Factory.forProtocol(Made)).addBoth(
    ports.append)
where = ports[0].getHost().port
clients = [socket.socket() for _ in range(60)]
open_now = max(map(int, __import__("os").listdir("/proc/self/fd")))
resource.setrlimit(resource.RLIMIT_NOFILE, (open_now + 20, 4096))
for client in clients:
    client.setblocking(False)
    client.connect_ex(("127.0.0.1", where))
turns = 0
machine.turns(300)
assert 5 < len(made) < 60, len(made)
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
for protocol in made:
    protocol.transport.abortConnection()
machine.turns(10)
made.clear()
again = socket.create_connection(("127.0.0.1", where))
machine.until(lambda: made)
print("served again")
"""


@pytest.mark.parametrize("kind", KINDS)
def test_a_listener_outlives_want_of_files(kind: str) -> None:
    code = OUT_OF_FILES.format(
        kind="uvloop" if kind == "native" else "epoll", path=[p for p in sys.path if p]
    )
    # The loops of other tests have left this process without one that is read.
    signal.set_wakeup_fd(-1)
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (told.stdout, told.returncode) == ("served again\n", 0), told.stderr


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

    def left() -> list[object]:
        return [each for each in gc.get_objects() if isinstance(each, (Tape, NativeTransport))]

    port = native.listen(Ending(), family)
    native.turns()
    gc.collect()
    gc.disable()
    before = len(open_files())
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
