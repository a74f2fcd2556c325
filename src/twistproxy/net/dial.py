"""A name and a port → a connection: resolve, judge, connect, shake hands.

Every address that the name resolves to is judged before it is connected to; those that may be
are tried one after another, in the resolver's order, within one time-out for everything.
Either a connection arrives ready for use, or there is one `Unreachable` that says why not;
cancelling the Deferred leaves nothing behind.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError, TCPTimedOutError, TimeoutError
from twisted.internet.interfaces import (
    IAddress,
    IConnector,
    IDelayedCall,
    IHandshakeListener,
    IHostResolution,
    IProtocol,
    IResolutionReceiver,
    ISystemHandle,
)
from twisted.internet.protocol import ClientFactory, Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from twistproxy.net.addresses import canonical
from twistproxy.net.names import Names
from twistproxy.net.native import NativeClientEndpoint, bind
from twistproxy.net.options import tune
from twistproxy.net.reactor import native_loop
from twistproxy.net.tls import ClientTls, explain, refused_certificate

MOST_ADDRESSES = 16  #: of one name that are looked at


class Reason(Enum):
    DNS_TIMEOUT = "the name was not resolved in time"
    DNS_ERROR = "the name can't be resolved"
    PROHIBITED = "none of the addresses may be connected to"
    LOOP = "the connection would come back to this proxy"
    REFUSED = "the connection was refused"
    TIMEOUT = "the connection was not made in time"
    UNROUTABLE = "there is no way to the address"
    TLS_PROTOCOL = "TLS failed"
    TLS_CERTIFICATE = "the certificate is not valid"


@frozen
class Unreachable(Exception):
    """No connection. detail: what failed where, for the log and the person."""

    reason: Reason
    detail: str

    def __str__(self) -> str:
        return f"{self.reason.value}: {self.detail}"


class Dialler:
    """Opens connections. reactor: IReactorTCP, IReactorTime, IReactorPluggableNameResolver."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self.names = Names(reactor)

    def dial(
        self,
        host: str,
        port: int,
        protocol: IProtocol,
        *,
        timeout: float,
        judge: Callable[[str, int], Reason | None] | None = None,
        tls: ClientTls | None = None,
    ) -> Deferred[IProtocol]:
        """Connect `protocol`, and fire with it; fail with `Unreachable`.

        host: a name, or an address (IPv6 with or without brackets), which is not looked up.
        timeout: seconds for the lookup, all connects and the handshake together.
        judge: why an address and port may not be connected to; None: it may.
        tls: the protocol is connected when the handshake is done and the server verified.
        """
        attempt = _Attempt(self._reactor, self.names, port, protocol, judge, tls)
        return attempt.begin(host.removeprefix("[").removesuffix("]"), timeout)


@implementer(IResolutionReceiver)
class _Attempt:
    """One dial, from the lookup to the connection. `_undo` takes back the step under way."""

    def __init__(
        self,
        reactor: Any,
        names: Names,
        port: int,
        protocol: IProtocol,
        judge: Callable[[str, int], Reason | None] | None,
        tls: ClientTls | None,
    ) -> None:
        self._reactor = reactor
        self._names = names
        self._port = port
        self._protocol: IProtocol | None = protocol
        self._judge = judge
        self._tls = tls
        self._result: Deferred[IProtocol] | None = None  # None: it is over
        self._addresses: deque[str] = deque()
        self._failure: Unreachable | None = None
        self._undo: Callable[[], object] = _nothing
        self._timer: IDelayedCall | None = None

    def begin(self, host: str, timeout: float) -> Deferred[IProtocol]:
        result = self._result = Deferred(lambda _: self._leave())
        self._deadline = self._reactor.seconds() + timeout
        self._late = Unreachable(Reason.DNS_TIMEOUT, host)
        self._timer = self._reactor.callLater(timeout, self._timed_out)
        self._host = host
        if (address := canonical(host)) is not None:
            self._addresses.append(str(address))
            self.resolutionComplete()
        elif not _resolvable(host):
            self._fail(Unreachable(Reason.DNS_ERROR, f"{host} is not a host name"))
        else:
            self._names.resolveHostName(self, host, self._port)
        return result

    # The lookup

    def resolutionBegan(self, resolution: IHostResolution) -> None:
        self._undo = resolution.cancel

    def addressResolved(self, address: IAddress) -> None:
        found = canonical(getattr(address, "host", ""))
        if found is not None and len(self._addresses) < MOST_ADDRESSES:
            self._addresses.append(str(found))

    def resolutionComplete(self) -> None:
        if self._result is None:
            return
        self._undo = _nothing
        if not self._addresses:
            self._fail(Unreachable(Reason.DNS_ERROR, f"{self._host} has no address"))
            return
        if self._judge is not None:
            self._sift(self._judge)
        self._connect_next()

    def _sift(self, judge: Callable[[str, int], Reason | None]) -> None:
        verdicts = {address: judge(address, self._port) for address in self._addresses}
        self._addresses = deque(address for address, reason in verdicts.items() if reason is None)
        if not self._addresses:
            reason = Reason.LOOP if Reason.LOOP in verdicts.values() else Reason.PROHIBITED
            self._failure = Unreachable(reason, f"{self._host} is {', '.join(verdicts)}")

    # The connection

    def _connect_next(self) -> None:
        if not self._addresses:
            assert self._failure is not None
            self._fail(self._failure)
            return
        # An address that doesn't answer leaves the others their share of the time.
        left = self._deadline - self._reactor.seconds()
        share = left / len(self._addresses)
        address = self._addresses.popleft()
        self._late = Unreachable(Reason.TIMEOUT, f"{address} did not answer")
        if native_loop(self._reactor) is not None:
            # The last one's share ends with the dial itself.
            self._connect_natively(address, share if self._addresses else None)
            return
        try:
            self._reactor.connectTCP(address, self._port, _Connecting(self, address), timeout=share)
        except Exception as error:  # a port above 65535, say
            self.refused(address, error)

    def _connect_natively(self, address: str, timeout: float | None) -> None:
        tls = self._tls
        if tls is None:
            endpoint = NativeClientEndpoint(self._reactor, address, self._port, timeout)
        else:
            endpoint = NativeClientEndpoint(
                self._reactor, address, self._port, timeout, tls.context, tls.server_hostname
            )
        factory = _Arrivals(self, _Arrival if tls is None else _Handshake)
        connecting = endpoint.connect(factory)
        self._undo = connecting.cancel
        connecting.addErrback(lambda failure: self.refused(address, failure.value))

    def connecting(self, connector: IConnector) -> None:
        self._undo = connector.stopConnecting

    def refused(self, address: str, error: BaseException | None) -> None:
        """The connection to `address` was not made."""
        if self._result is None:
            return
        self._undo = _nothing
        reason = _reason(error)
        # "No IPv6 here" says less than what the IPv4 address answered.
        if self._failure is None or reason is not Reason.UNROUTABLE:
            self._failure = Unreachable(reason, f"{address}: {error}".rstrip("."))
        self._connect_next()

    def connected(self, transport: Any) -> None:
        if self._result is None:
            transport.abortConnection()
            return
        _tune(transport)
        if self._tls is None:
            self.ready(transport)
            return
        secured = self._tls.wrap(_Handshake(self), self._reactor)
        bind(transport, secured)
        secured.makeConnection(transport)

    def shaking_hands(self, transport: Any) -> None:
        """It is connected, and TLS has begun."""
        if self._result is None:
            transport.abortConnection()
            return
        _tune(transport)
        self._late = Unreachable(Reason.TIMEOUT, "the TLS handshake took too long")
        self._undo = transport.abortConnection

    def handshake_failed(self, failure: Failure) -> None:
        self._undo = _nothing
        refused = refused_certificate(failure.value)
        reason = Reason.TLS_PROTOCOL if refused is None else Reason.TLS_CERTIFICATE
        self._fail(Unreachable(reason, explain(failure.value)))

    # The end

    def ready(self, transport: Any) -> None:
        """Hand over: from here on `transport` and the protocol talk without us."""
        protocol, result = self._protocol, self._result
        if protocol is None or result is None:
            transport.abortConnection()
            return
        self._undo = _nothing
        self._leave()
        bind(transport, protocol)
        protocol.makeConnection(transport)
        result.callback(protocol)

    def _timed_out(self) -> None:
        self._fail(self._late)

    def _fail(self, unreachable: Unreachable) -> None:
        if (result := self._result) is not None:
            self._leave()
            result.errback(unreachable)

    def _leave(self) -> None:
        """It is over; nothing of it stays, no cycle either."""
        self._result = self._protocol = None
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
        undo, self._undo = self._undo, _nothing
        undo()


class _Connecting(ClientFactory):
    """Of one connect to one address."""

    noisy = False

    def __init__(self, attempt: _Attempt, address: str) -> None:
        self._attempt = attempt
        self._address = address

    def startedConnecting(self, connector: IConnector) -> None:
        self._attempt.connecting(connector)

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        self._attempt.refused(self._address, reason.value)

    def clientConnectionLost(self, connector: IConnector, reason: Failure) -> None:
        # It and its transport refer to each other.
        connector.transport = None  # type: ignore[attr-defined]

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        return _Arrival(self._attempt)


class _Arrivals(Factory):
    """Of one connect by the loop, whose connection comes with its TLS."""

    def __init__(self, attempt: _Attempt, kind: type[_Arrival | _Handshake]) -> None:
        self._attempt = attempt
        self._kind = kind

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        return self._kind(self._attempt)


class _Arrival(Protocol):
    """Is told that the connection is made, and makes way for the real protocol."""

    def __init__(self, attempt: _Attempt) -> None:
        self._attempt = attempt

    def connectionMade(self) -> None:
        self._attempt.connected(self.transport)


@implementer(IHandshakeListener)
class _Handshake(Protocol):
    """Is told how the handshake ends, and makes way for the real protocol."""

    def __init__(self, attempt: _Attempt) -> None:
        self._attempt = attempt

    def connectionMade(self) -> None:
        self._attempt.shaking_hands(self.transport)

    def handshakeCompleted(self) -> None:
        self._attempt.ready(self.transport)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._attempt.handshake_failed(reason)


def _tune(transport: object) -> None:
    if ISystemHandle.providedBy(transport):
        tune(transport.getHandle())


def _nothing() -> None:
    pass


def _resolvable(host: str) -> bool:
    """Whether a resolver can be asked; getaddrinfo raises, in its thread, for some of these."""
    labels = host.removesuffix(".").split(".")
    return (
        len(host) < 255
        and all(0 < len(label) < 64 for label in labels)
        and all("!" <= character <= "~" for character in host)
    )


def _reason(error: BaseException | None) -> Reason:
    if isinstance(error, ConnectionRefusedError):
        return Reason.REFUSED
    if isinstance(error, (TimeoutError, TCPTimedOutError)):
        return Reason.TIMEOUT
    return Reason.UNROUTABLE  # no route, no such family here, a firewall's "not permitted"…
