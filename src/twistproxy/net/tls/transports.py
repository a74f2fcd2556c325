"""Transports of TLS: Twisted's with its memory in order, and what both kinds tell."""

from __future__ import annotations

from OpenSSL import SSL
from twisted.internet.interfaces import INegotiated, ISSLTransport
from twisted.internet.protocol import connectionDone
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure

from twistproxy.net.tls.contexts import Greeted


def is_tls(transport: object) -> bool:
    """Whether `transport` is one of TLS."""
    return INegotiated.providedBy(transport) or ISSLTransport.providedBy(transport)


def server_name(transport: object) -> str | None:
    """The name that the client of a TLS `transport` asked for; known after its hello."""
    if isinstance(transport, TLSMemoryBIOProtocol):
        connection = transport.getHandle()
        return None if connection is None else asked_of(connection)
    native = getattr(transport, "ssl_object", None)
    return native.asked if isinstance(native, Greeted) else None


def asked_of(connection: SSL.Connection) -> str | None:
    raw = connection.get_servername()
    return None if raw is None else raw.decode("ascii", "replace")


class Secured(TLSMemoryBIOProtocol):
    """One whose memory, 40 KB and more, is free when the connection ends: it is in no cycle.

    It doesn't gather writes until the reactor's next turn: ours write once an answer.
    """

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
        self._producer = None  # it refers to us as its transport

    def _tlsShutdownFinished(self, reason: Failure | None) -> None:
        if reason is not None and reason.value is not None:
            reason.tb = reason.value.__traceback__ = None  # its frames hold us
        super()._tlsShutdownFinished(reason)  # type: ignore[no-untyped-call]


class TlsFactory(TLSMemoryBIOFactory):
    protocol = Secured
