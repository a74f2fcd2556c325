"""Our side of connections that clients open."""

from __future__ import annotations

import ssl

from OpenSSL import SSL
from twisted.internet.interfaces import (
    IOpenSSLServerConnectionCreator,
    IProtocolFactory,
    IReactorTime,
)
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from twistproxy.net.tls import contexts
from twistproxy.net.tls.certificates import Certificates
from twistproxy.net.tls.transports import TlsFactory, asked_of


@implementer(IOpenSSLServerConnectionCreator)
class ServerTls:
    """Shows each client the certificate for the name it asks for.

    context: of one and the same object all connections are made, as long as it lives.
    """

    def __init__(self, certificates: Certificates) -> None:
        self._certificates = certificates
        # They hold no certificate, but the keys of session tickets: as long as they live,
        # clients can resume their sessions, whatever was replaced meanwhile.
        self.context = contexts.native_server()
        self.context.sni_callback = self._native_greeted
        self._base = contexts.openssl_server()
        self._base.set_tlsext_servername_callback(self._openssl_greeted)
        contexts.finish(self._base)

    def replace(self, certificates: Certificates) -> None:
        """From the next connection on, show these."""
        self._certificates = certificates

    def wrap(
        self, factory: IProtocolFactory, clock: IReactorTime | None = None
    ) -> IProtocolFactory:
        """A factory of TLS connections for the protocols of `factory`."""
        return TlsFactory(self, False, factory, clock)

    def serverConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        return SSL.Connection(self._base, None)

    # OpenSSL calls these for a hello without the extension, too.

    def _native_greeted(
        self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext
    ) -> None:
        connection.asked = name  # type: ignore[attr-defined]  # it is a `contexts.Greeted`
        credentials = self._certificates.choose(name)
        if credentials is not None:
            connection.context = credentials.native

    def _openssl_greeted(self, connection: SSL.Connection) -> None:
        credentials = self._certificates.choose(asked_of(connection))
        if credentials is not None:
            connection.set_context(credentials.openssl)
