from __future__ import annotations

import gc
import socket
import weakref
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet import error
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IResolutionReceiver, ISystemHandle
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer
from zope.interface.verify import verifyObject

from sockets import open_files
from talks import Net, Tape, Tapes, unused_port
from twistproxy.net.dial import MOST_ADDRESSES, Dialler, Reason, Unreachable
from twistproxy.net.tls import ClientTls, ServerTls, load


class Resolver:
    """A resolver that answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.cancelled = 0
        self.can_cancel = True

    def resolveHostName(self, receiver: Any, name: str, port: int = 0, *more: Any) -> Any:
        verifyObject(IResolutionReceiver, receiver)
        self.asked.append(name)
        self._receiver, self._port = receiver, port
        receiver.resolutionBegan(self)
        return self

    def cancel(self) -> None:
        self.cancelled += 1
        if not self.can_cancel:
            raise NotImplementedError

    def answer(self, *addresses: str) -> None:
        for address in addresses:
            kind = IPv6Address if ":" in address else IPv4Address
            self._receiver.addressResolved(kind("TCP", address, self._port))
        self._receiver.resolutionComplete()


@implementer(ISystemHandle)
class Transport(StringTransport):  # type: ignore[misc]
    """Its own handle, too, for the options that are set."""

    protocol: Any = None
    no_delay = False

    def getHandle(self) -> Transport:
        return self

    def setsockopt(self, level: int, option: int, value: int) -> None:
        if (level, option) == (socket.IPPROTO_TCP, socket.TCP_NODELAY):
            self.no_delay = bool(value)


class Recorder(Protocol):
    def __init__(self) -> None:
        self.received = b""
        self.lost: list[Failure] = []

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.append(reason)


class World:
    """A dialler, its reactor and resolver, and how the last dial went."""

    def __init__(self) -> None:
        self.reactor = MemoryReactorClock()
        self.resolver = Resolver()
        self.reactor.installNameResolver(self.resolver)  # type: ignore[arg-type]
        self.results: list[Any] = []

    def dial(self, host: str, port: int = 80, timeout: float = 5.0, **options: Any) -> None:
        self.protocol = Recorder()
        self.deferred = Dialler(self.reactor).dial(
            host, port, self.protocol, timeout=timeout, **options
        )
        self.deferred.addBoth(self.results.append)

    @property
    def tried(self) -> list[tuple[str, int]]:
        return [(host, port) for host, port, *_ in self.reactor.tcpClients]

    def fail(self, why: Exception) -> None:
        """The connect under way fails."""
        self.reactor.tcpClients[-1][2].clientConnectionFailed(None, Failure(why))

    def arrive(self) -> Transport:
        """The connect under way succeeds."""
        transport = Transport()
        transport.protocol = self.reactor.tcpClients[-1][2].buildProtocol(None)
        transport.protocol.makeConnection(transport)
        return transport

    def outcome(self) -> Unreachable:
        """The failure of the dial, with nothing left running."""
        (failure,) = self.results
        assert not self.reactor.getDelayedCalls()
        assert isinstance(failure.value, Unreachable)
        return failure.value


@pytest.fixture
def world() -> World:
    return World()


def test_a_name_is_resolved_and_connected(world: World) -> None:
    world.dial("a.example", 8080)
    assert world.resolver.asked == ["a.example"]
    assert world.tried == []
    world.resolver.answer("192.0.2.1", "192.0.2.2")
    assert world.tried == [("192.0.2.1", 8080)]
    transport = world.arrive()
    assert world.results == [world.protocol]
    assert world.protocol.transport is transport
    assert transport.no_delay
    assert transport.protocol is world.protocol
    assert not world.reactor.getDelayedCalls()


ADDRESSES = {
    "192.0.2.1": "192.0.2.1",
    "2001:db8::1": "2001:db8::1",
    "[2001:DB8::1]": "2001:db8::1",
    "::ffff:192.0.2.1": "192.0.2.1",
}


@pytest.mark.parametrize(("host", "tried"), ADDRESSES.items())
def test_an_address_is_not_looked_up(world: World, host: str, tried: str) -> None:
    world.dial(host)
    assert world.resolver.asked == []
    assert world.tried == [(tried, 80)]


NAMES = {
    "empty": "",
    "an empty label": "a..example",
    "a long label": "a" * 64 + ".example",
    "a long name": "a." * 127 + "example",
    "a space": "a b.example",
    "NUL": "a\0.example",
    "not an A-label": "bücher.example",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_what_is_no_name_is_not_asked_for(world: World, name: str) -> None:
    world.dial(name)
    assert world.outcome().reason is Reason.DNS_ERROR
    assert world.resolver.asked == []


def test_a_name_without_addresses(world: World) -> None:
    world.dial("a.example.")
    world.resolver.answer()
    assert world.outcome().reason is Reason.DNS_ERROR


@pytest.mark.parametrize("can_cancel", [True, False])
def test_a_lookup_that_takes_too_long(world: World, can_cancel: bool) -> None:
    world.resolver.can_cancel = can_cancel
    world.dial("a.example", timeout=2)
    world.reactor.advance(2)
    assert world.outcome().reason is Reason.DNS_TIMEOUT
    assert world.resolver.cancelled == 1
    world.resolver.answer("192.0.2.1")  # too late
    assert world.tried == []


# Judging


def judging(verdicts: dict[str, Reason]) -> Callable[[str, int], Reason | None]:
    def judge(address: str, port: int) -> Reason | None:
        assert port == 80
        return verdicts.get(address)

    return judge


JUDGED = {  # verdicts, outcome
    "all prohibited": (
        {"192.0.2.1": Reason.PROHIBITED, "192.0.2.2": Reason.PROHIBITED},
        Reason.PROHIBITED,
    ),
    "a loop among them": (
        {"192.0.2.1": Reason.PROHIBITED, "192.0.2.2": Reason.LOOP},
        Reason.LOOP,
    ),
}


@pytest.mark.parametrize(("verdicts", "reason"), JUDGED.values(), ids=JUDGED)
def test_nothing_is_connected_when_every_address_is_refused(
    world: World, verdicts: dict[str, Reason], reason: Reason
) -> None:
    world.dial("a.example", judge=judging(verdicts))
    world.resolver.answer("192.0.2.1", "192.0.2.2")
    unreachable = world.outcome()
    assert unreachable.reason is reason
    assert "a.example is 192.0.2.1, 192.0.2.2" in str(unreachable)
    assert world.tried == []


def test_only_allowed_addresses_are_tried(world: World) -> None:
    world.dial("a.example", judge=judging({"192.0.2.1": Reason.PROHIBITED}))
    world.resolver.answer("192.0.2.1", "192.0.2.2", "2001:db8::1")
    world.fail(error.ConnectionRefusedError())
    world.fail(error.NoRouteError())
    assert [host for host, _ in world.tried] == ["192.0.2.2", "2001:db8::1"]
    assert world.outcome().reason is Reason.REFUSED


def test_a_literal_is_judged_too_and_in_the_form_that_is_connected_to(world: World) -> None:
    world.dial("::ffff:192.0.2.1", judge=judging({"192.0.2.1": Reason.PROHIBITED}))
    assert world.outcome().reason is Reason.PROHIBITED


# Connecting

FAILURES = {
    "refused": ([error.ConnectionRefusedError(111, "Connection refused")], Reason.REFUSED),
    "our time-out": ([error.TimeoutError()], Reason.TIMEOUT),
    "the kernel's time-out": ([error.TCPTimedOutError(110, "Timed out")], Reason.TIMEOUT),
    "no network": ([error.NoRouteError(101, "Network is unreachable")], Reason.UNROUTABLE),
    "no host": ([error.ConnectError(113, "No route to host")], Reason.UNROUTABLE),
    "no IPv4 after a refusal": (
        [error.ConnectionRefusedError(), error.NoRouteError()],
        Reason.REFUSED,
    ),
    "refused after no IPv6": (
        [error.NoRouteError(), error.ConnectionRefusedError()],
        Reason.REFUSED,
    ),
    "the last answer": ([error.ConnectionRefusedError(), error.TimeoutError()], Reason.TIMEOUT),
}


@pytest.mark.parametrize(("errors", "reason"), FAILURES.values(), ids=FAILURES)
def test_failures_are_precise(world: World, errors: list[Exception], reason: Reason) -> None:
    world.dial("a.example")
    world.resolver.answer(*("192.0.2.1", "192.0.2.2")[: len(errors)])
    for why in errors:
        assert world.results == []
        world.fail(why)
    unreachable = world.outcome()
    assert unreachable.reason is reason
    assert "192.0.2." in unreachable.detail


def test_the_next_address_is_tried(world: World) -> None:
    world.dial("a.example")
    world.resolver.answer("2001:db8::1", "192.0.2.1")
    world.fail(error.NoRouteError())
    world.arrive()
    assert world.results == [world.protocol]


def test_every_address_has_a_share_of_the_time(world: World) -> None:
    world.dial("a.example", timeout=6)
    world.reactor.advance(2)
    world.resolver.answer("192.0.2.1", "192.0.2.2")
    world.reactor.advance(1)
    world.fail(error.ConnectionRefusedError())
    assert [timeout for _, _, _, timeout, _ in world.reactor.tcpClients] == [2, 3]


def test_all_together_have_one_time_out(world: World) -> None:
    world.dial("a.example", timeout=6)
    world.reactor.advance(3)
    world.resolver.answer("192.0.2.1", "192.0.2.2")
    world.reactor.advance(2)
    world.fail(error.ConnectionRefusedError())
    world.reactor.advance(1)
    unreachable = world.outcome()
    assert unreachable.reason is Reason.TIMEOUT
    assert "192.0.2.2" in unreachable.detail
    assert world.reactor.connectors[-1].stoppedConnecting


def test_a_name_with_very_many_addresses(world: World) -> None:
    world.dial("a.example")
    world.resolver.answer(*(f"192.0.2.{n}" for n in range(200)))
    while not world.results:
        world.fail(error.ConnectionRefusedError())
    assert len(world.tried) == MOST_ADDRESSES


def test_a_reactor_that_raises(world: World) -> None:
    def raising(*args: Any, **options: Any) -> None:
        raise OverflowError("port out of range")

    world.reactor.connectTCP = raising  # type: ignore[method-assign]
    world.dial("192.0.2.1", 99999)
    unreachable = world.outcome()
    assert unreachable.reason is Reason.UNROUTABLE
    assert unreachable.detail == "192.0.2.1: port out of range"


# Cancelling


def cancel(world: World) -> None:
    world.deferred.cancel()
    (failure,) = world.results
    assert failure.check(CancelledError)
    assert not world.reactor.getDelayedCalls()


def test_a_lookup_is_cancelled(world: World) -> None:
    world.dial("a.example")
    cancel(world)
    assert world.resolver.cancelled == 1
    world.resolver.answer("192.0.2.1")
    assert world.tried == []


def test_a_connect_is_cancelled(world: World) -> None:
    world.dial("192.0.2.1")
    cancel(world)
    assert world.reactor.connectors[-1].stoppedConnecting
    world.fail(error.UserError())  # as Twisted does then


def test_a_connection_that_arrives_after_all_is_dropped(world: World) -> None:
    world.dial("192.0.2.1")
    cancel(world)
    assert world.arrive().disconnected
    assert world.protocol.transport is None


def test_cancelling_after_the_connection_does_nothing(world: World) -> None:
    world.dial("192.0.2.1")
    transport = world.arrive()
    world.deferred.cancel()
    assert world.results == [world.protocol]
    assert not transport.disconnecting


def test_connector_and_transport_part_at_the_end(world: World) -> None:
    world.dial("192.0.2.1")
    connector = SimpleNamespace(transport=world.arrive())
    factory = world.reactor.tcpClients[-1][2]
    factory.clientConnectionLost(connector, Failure(error.ConnectionDone()))
    assert connector.transport is None


def test_nothing_keeps_the_protocol_alive(world: World) -> None:
    world.dial("a.example", judge=judging({}))
    world.resolver.answer("192.0.2.1")
    transport = world.arrive()
    gone = weakref.ref(world.protocol)
    gc.disable()
    try:
        transport.protocol = None
        del world.protocol, world.deferred
        world.results.clear()
        assert gone() is None
    finally:
        gc.enable()


# TLS


@pytest.fixture(scope="module")
def server_tls(authority: Any) -> ServerTls:
    return ServerTls(load([authority.pair("tls.example")], 0))


class Peer:
    """The server at the other end of `near`, which is connected already."""

    def __init__(self, server_tls: ServerTls, near: Transport) -> None:
        self.protocol = Recorder()
        factory = Factory()
        factory.buildProtocol = lambda addr: self.protocol  # type: ignore[method-assign]
        self._server = server_tls.wrap(factory, Clock()).buildProtocol(None)
        self._near, self._far = near, StringTransport()
        self._server.makeConnection(self._far)
        self.pump()

    def pump(self) -> None:
        while self._near.value() or self._far.value():
            to_server, to_client = self._near.value(), self._far.value()
            self._near.clear()
            self._far.clear()
            if to_server:
                self._server.dataReceived(to_server)
            if to_client:
                self._near.protocol.dataReceived(to_client)
        if self._near.disconnecting or self._far.disconnecting:
            self.close()

    def close(self) -> None:
        self._near.protocol.connectionLost(Failure(error.ConnectionDone()))


def test_the_protocol_is_connected_when_the_handshake_is_done(
    world: World, server_tls: ServerTls, authority: Any
) -> None:
    world.dial("192.0.2.1", 443, tls=ClientTls("tls.example", authority.ca))
    transport = world.arrive()
    assert world.results == []
    assert world.protocol.transport is None
    assert transport.no_delay
    peer = Peer(server_tls, transport)
    assert world.results == [world.protocol]
    assert not world.reactor.getDelayedCalls()
    world.protocol.transport.write(b"question")
    peer.protocol.transport.write(b"answer")
    peer.pump()
    assert peer.protocol.received == b"question"
    assert world.protocol.received == b"answer"
    peer.close()
    assert len(world.protocol.lost) == 1


def test_a_certificate_for_another_name(
    world: World, server_tls: ServerTls, authority: Any
) -> None:
    world.dial("192.0.2.1", 443, tls=ClientTls("other.example", authority.ca))
    Peer(server_tls, world.arrive())
    unreachable = world.outcome()
    assert unreachable.reason is Reason.TLS_CERTIFICATE
    assert unreachable.detail == "it is not for other.example"
    assert world.protocol.transport is None
    assert world.protocol.lost == []


def test_an_authority_nobody_knows(world: World, server_tls: ServerTls) -> None:
    world.dial("192.0.2.1", 443, tls=ClientTls("tls.example"))
    Peer(server_tls, world.arrive())
    assert world.outcome().reason is Reason.TLS_CERTIFICATE


def test_a_server_that_does_not_speak_tls(world: World, authority: Any) -> None:
    world.dial("192.0.2.1", 443, tls=ClientTls("tls.example", authority.ca))
    transport = world.arrive()
    transport.protocol.dataReceived(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    assert transport.disconnecting
    transport.protocol.connectionLost(Failure(error.ConnectionDone()))
    unreachable = world.outcome()
    assert unreachable.reason is Reason.TLS_PROTOCOL
    assert unreachable.detail


@pytest.mark.parametrize("why", [error.ConnectionDone(), error.ConnectionLost()])
def test_a_server_that_closes_during_the_handshake(
    world: World, authority: Any, why: Exception
) -> None:
    world.dial("192.0.2.1", 443, tls=ClientTls("tls.example", authority.ca))
    world.arrive().protocol.connectionLost(Failure(why))
    unreachable = world.outcome()
    assert unreachable.reason is Reason.TLS_PROTOCOL
    assert unreachable.detail == "it was closed during the handshake"


def test_a_handshake_that_takes_too_long(world: World, authority: Any) -> None:
    world.dial("192.0.2.1", 443, tls=ClientTls("tls.example", authority.ca), timeout=3)
    transport = world.arrive()
    world.reactor.advance(3)
    unreachable = world.outcome()
    assert unreachable.reason is Reason.TIMEOUT
    assert "handshake" in unreachable.detail
    assert transport.disconnected
    transport.protocol.connectionLost(Failure(error.ConnectionAborted()))
    assert world.protocol.lost == []


def test_a_handshake_is_cancelled(world: World, authority: Any) -> None:
    world.dial("192.0.2.1", 443, tls=ClientTls("tls.example", authority.ca))
    transport = world.arrive()
    cancel(world)
    assert transport.disconnected
    transport.protocol.connectionLost(Failure(error.ConnectionAborted()))


# On real sockets, of both kinds


def dial(net: Net, port: int, host: str = "127.0.0.1", **options: Any) -> tuple[Any, list[Any]]:
    results: list[Any] = []
    deferred = Dialler(net.reactor).dial(host, port, Recorder(), timeout=5, **options)
    deferred.addBoth(results.append)
    return deferred, results


def outcome(results: list[Any]) -> tuple[Reason, str]:
    unreachable = results[0].value
    return unreachable.reason, unreachable.detail


@pytest.mark.parametrize("family", ["tcp", "tls"])
def test_a_connection_that_is_used(net: Net, family: str, authority: Any) -> None:
    there = Tapes(Tape(data=lambda tape: tape.transport.write(b"answer")))
    port = net.listen(there, family).getHost().port
    tls = ClientTls("tls.example", authority.ca) if family == "tls" else None
    _, results = dial(net, port, tls=tls)
    net.until(lambda: results)
    (protocol,) = results
    protocol.transport.write(b"question")
    net.until(lambda: protocol.received == b"answer")
    assert there.built[0].received == b"question"
    assert protocol.transport.getTcpNoDelay()
    assert not net.reactor.getDelayedCalls()
    protocol.transport.loseConnection()
    net.until(lambda: protocol.lost and there.built[0].lost)
    assert len(protocol.lost) == 1


def plain(sock: socket.socket) -> None:
    sock.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")


ENDS = {  # how the server takes a connection; reason, words
    "not TLS": (plain, Reason.TLS_PROTOCOL, "wrong version number"),
    "closed": (
        lambda sock: sock.shutdown(socket.SHUT_RDWR),
        Reason.TLS_PROTOCOL,
        "it was closed during the handshake",
    ),
    "silent": (lambda sock: None, Reason.TIMEOUT, "the TLS handshake took too long"),
}


@pytest.mark.parametrize(("how", "reason", "words"), ENDS.values(), ids=ENDS)
def test_a_handshake_that_fails_is_the_same_on_both(
    net: Net, authority: Any, how: Any, reason: Reason, words: str
) -> None:
    before = open_files()
    with socket.create_server(("127.0.0.1", 0)) as server:
        results: list[Any] = []
        tls = ClientTls("tls.example", authority.ca)
        Dialler(net.reactor).dial(
            "127.0.0.1",
            server.getsockname()[1],
            Recorder(),
            timeout=0.3 if reason is Reason.TIMEOUT else 5,
            tls=tls,
        ).addBoth(results.append)
        net.turns()
        sock, _ = server.accept()
        how(sock)
        net.until(lambda: results)
        sock.close()
    assert outcome(results) == (reason, words)
    net.until(lambda: open_files() == before)
    assert not net.reactor.getDelayedCalls()


@pytest.mark.parametrize("name", ["other.example", "127.0.0.1"])
def test_a_certificate_for_another_name_is_the_same_on_both(
    net: Net, authority: Any, name: str
) -> None:
    port = net.listen(Tapes(), "tls").getHost().port
    _, results = dial(net, port, tls=ClientTls(name, authority.ca))
    net.until(lambda: results)
    assert outcome(results) == (Reason.TLS_CERTIFICATE, f"it is not for {name}")


def test_nobody_there_is_the_same_on_both(net: Net) -> None:
    _, results = dial(net, unused_port())
    net.until(lambda: results)
    refused = "127.0.0.1: Connection was refused by other side: 111: Connection refused"
    assert outcome(results) == (Reason.REFUSED, refused)
    _, results = dial(net, 80, "255.255.255.255")
    net.until(lambda: results)
    assert results[0].value.reason is Reason.UNROUTABLE
    _, results = dial(net, 99999)
    net.until(lambda: results)
    assert outcome(results)[0] is Reason.UNROUTABLE


@pytest.mark.parametrize("family", ["tcp", "tls"])
@pytest.mark.parametrize("turns", range(6))
def test_a_dial_that_is_cancelled_leaves_nothing(
    net: Net, authority: Any, family: str, turns: int
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        before = open_files()
        tls = ClientTls("tls.example", authority.ca) if family == "tls" else None
        deferred, results = dial(net, server.getsockname()[1], tls=tls)
        net.turns(turns)
        deferred.cancel()
        net.turns()
        if isinstance(results[0], Recorder):  # it came before
            results[0].transport.abortConnection()  # type: ignore[union-attr]
        net.until(lambda: open_files() == before)
    assert not net.reactor.getDelayedCalls()
