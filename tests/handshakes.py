"""TLS joined in memory: each side in both kinds, Twisted's and Python's own.

    talk = Talk(server_end(kind, tls), Client(b"a.example"))
    talk.shown, talk.server.asked, talk.client.error
    talk.client.write(b"hello"); talk.pump(); talk.server.received

An end has: received, alpn, error (why it ended; None: it didn't), asked (of a server's).
"""

from __future__ import annotations

import ssl
from typing import Any

from cryptography import x509
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from twistproxy.net.tls import ClientTls, ServerTls, server_name

KINDS = ("twisted", "native")


class Plain(Protocol):
    """What talks over TLS."""

    def __init__(self) -> None:
        self.received = b""
        self.lost: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason


class Twisted:
    """An end on a Twisted transport."""

    def __init__(self, secured: Any, plain: Plain) -> None:
        self.secured, self.plain = secured, plain
        self.below = StringTransport()

    def begin(self) -> None:
        self.secured.makeConnection(self.below)

    def feed(self, data: bytes) -> None:
        self.secured.dataReceived(data)

    def take(self) -> bytes:
        data = self.below.value()
        self.below.clear()
        return data

    def write(self, data: bytes) -> None:
        self.secured.write(data)

    def close(self) -> None:
        self.secured.loseConnection()

    def eof(self) -> None:
        if self.secured.connected:
            self.secured.connectionLost(Failure(ConnectionDone()))

    @property
    def closing(self) -> bool:
        return self.below.disconnecting

    @property
    def transport(self) -> Any:
        return self.secured

    @property
    def received(self) -> bytes:
        return self.plain.received

    @property
    def error(self) -> BaseException | None:
        return None if self.plain.lost is None else self.plain.lost.value

    @property
    def alpn(self) -> str | None:
        chosen = self.secured.negotiatedProtocol
        return None if chosen is None else chosen.decode()

    @property
    def asked(self) -> str | None:
        return server_name(self.secured)


@implementer(ISSLTransport)
class Transport:
    """As much as TLS sees of a native one. ssl_object: None before the handshake is done."""

    ssl_object: ssl.SSLObject | None = None


class Native:
    """An end on an `ssl.SSLContext`, driven as a loop drives it."""

    closing = False

    def __init__(self, context: ssl.SSLContext, name: str | None = None, **options: Any) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.ssl = context.wrap_bio(self._in, self._out, server_hostname=name, **options)
        self.received = b""
        self.error: BaseException | None = None
        self.transport = Transport()

    def begin(self) -> None:
        self._turn()

    def feed(self, data: bytes) -> None:
        self._in.write(data)
        self._turn()

    def take(self) -> bytes:
        return self._out.read()

    def write(self, data: bytes) -> None:
        self.ssl.write(data)

    def close(self) -> None:
        try:
            self.ssl.unwrap()
        except ssl.SSLWantReadError:
            self.closing = True

    def eof(self) -> None:
        self._in.write_eof()
        self._turn()

    def _turn(self) -> None:
        try:
            if self.error is None and self.transport.ssl_object is None:
                self.ssl.do_handshake()
                self.transport.ssl_object = self.ssl
            while self.error is None:
                if data := self.ssl.read(65536):
                    self.received += data
                else:
                    self.error = ConnectionDone()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self.error = error

    @property
    def alpn(self) -> str | None:
        return self.ssl.selected_alpn_protocol()

    @property
    def asked(self) -> str | None:
        return server_name(self.transport)


class Client(Native):
    """Takes any certificate; set up by hand."""

    def __init__(
        self,
        name: str | None = None,
        alpn: tuple[str, ...] = (),
        version: ssl.TLSVersion | None = None,
        context: ssl.SSLContext | None = None,
        session: Any = None,
    ) -> None:
        if context is None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if version is not None:
            context.set_ciphers("ALL:@SECLEVEL=0")
            context.minimum_version = context.maximum_version = version
        if alpn:
            context.set_alpn_protocols(alpn)
        super().__init__(context, name, session=session)


def server_end(kind: str, tls: ServerTls, plain: Plain | None = None) -> Twisted | Native:
    if kind == "native":
        return Native(tls.context, server_side=True)
    plain = plain or Plain()
    factory, once = Factory(), [plain]  # popped: else it were in a cycle
    factory.buildProtocol = lambda addr: once.pop()  # type: ignore[method-assign]
    return Twisted(tls.wrap(factory, Clock()).buildProtocol(None), plain)  # type: ignore[arg-type]


def client_end(kind: str, tls: ClientTls, plain: Plain | None = None) -> Twisted | Native:
    if kind == "native":
        return Native(tls.context, tls.server_hostname)
    plain = plain or Plain()
    return Twisted(tls.wrap(plain, Clock()), plain)  # type: ignore[arg-type]


class Talk:
    """Two ends and what lies between; the handshake is done, as far as it goes."""

    def __init__(self, server: Any, client: Any) -> None:
        self.server, self.client = server, client
        server.begin()
        client.begin()
        self.pump()

    def pump(self) -> None:
        """Carry bytes to and fro until none are left; then close what was closed."""
        moved = True
        while moved:
            moved = False
            for sender, reader in ((self.client, self.server), (self.server, self.client)):
                if data := sender.take():
                    moved = True
                    reader.feed(data)
        if self.server.closing or self.client.closing:
            self.server.eof()
            self.client.eof()

    @property
    def shown(self) -> str | None:
        """Whom the certificate is for that a hand-made client was shown; None: no handshake."""
        if self.client.transport.ssl_object is None:
            return None
        der = self.client.ssl.getpeercert(True)
        return x509.load_der_x509_certificate(der).subject.rfc4514_string().removeprefix("CN=")
