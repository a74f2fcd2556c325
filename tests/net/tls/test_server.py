from __future__ import annotations

import gc
import ssl
import weakref
from datetime import UTC, datetime
from typing import Any

import pytest
from OpenSSL import SSL
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IOpenSSLServerConnectionCreator,
    IProtocolFactory,
    IPushProducer,
)
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from zope.interface import implementer
from zope.interface.verify import verifyObject

from handshakes import KINDS, Client, Native, Plain, Talk, Twisted, client_end, server_end
from twistproxy.net.tls import Certificates, ClientTls, ServerTls, explain, load

NOW = datetime.now(UTC).timestamp()
TLS_1_1, TLS_1_2, TLS_1_3 = ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3

both_kinds = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def pairs(authority: Any) -> list[Any]:
    return [
        authority.pair("default.example"),
        authority.pair("exact.a.example"),
        authority.pair("below.a.example", hosts=("*.a.example",)),
        authority.pair("all.b.example", hosts=(".b.example",)),
        authority.pair("deep.example", hosts=(".c.b.example", "UPPER.example")),
    ]


@pytest.fixture
def server(pairs: list[Any]) -> ServerTls:
    certificates = load(pairs, NOW)
    assert not certificates.errors
    assert not certificates.warnings
    return ServerTls(certificates)


def test_the_interfaces_are_kept(server: ServerTls) -> None:
    verifyObject(IOpenSSLServerConnectionCreator, server)
    verifyObject(IProtocolFactory, server.wrap(Factory(), Clock()))


SNI = {  # what the client asks for, whose certificate is shown
    "exact": ("exact.a.example", "exact.a.example"),
    "in capitals": ("EXACT.A.example", "exact.a.example"),
    "with a final dot": ("exact.a.example.", "exact.a.example"),
    "written in capitals": ("upper.example", "deep.example"),
    "below": ("x.a.example", "below.a.example"),
    "two below": ("y.x.a.example", "below.a.example"),
    "only below": ("a.example", "default.example"),
    "that host": ("b.example", "all.b.example"),
    "and all below": ("y.x.b.example", "all.b.example"),
    "the longest wins": ("x.c.b.example", "deep.example"),
    "a label is not a suffix": ("xb.example", "default.example"),
    "unknown": ("elsewhere.test", "default.example"),
    "missing": (None, "default.example"),
}


@both_kinds
@pytest.mark.parametrize(("asked", "shown"), SNI.values(), ids=SNI)
def test_sni_chooses_the_certificate(
    server: ServerTls, kind: str, asked: str | None, shown: str
) -> None:
    talk = Talk(server_end(kind, server), Client(asked))
    assert talk.shown == shown
    assert talk.server.asked == asked


def hello(name: bytes) -> bytes:
    """How a client begins that asks for a name which Python's would not send."""
    connection = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
    connection.set_tlsext_host_name(name)
    connection.set_connect_state()
    with pytest.raises(SSL.WantReadError):
        connection.do_handshake()
    return connection.bio_read(65536)


@both_kinds
@pytest.mark.parametrize("name", [b"a..b", b"." * 200, b"x" * 250, b"a b/\x07", b"-"])
def test_a_strange_name_gets_the_default(server: ServerTls, kind: str, name: bytes) -> None:
    end = server_end(kind, server)
    end.begin()
    end.feed(hello(name))
    assert end.error is None
    assert len(end.take()) > 500  # the certificate is in it
    if isinstance(end, Native):
        end.transport.ssl_object = end.ssl
    assert end.asked == name.decode()


def test_a_name_beyond_ascii_ends_as_an_alert(
    server: ServerTls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interpreter decodes it before we are asked, and says so to its hook."""
    said: list[Any] = []
    monkeypatch.setattr("sys.unraisablehook", lambda told: said.append(told.exc_type))
    end = server_end("native", server)
    end.feed(hello(b"\xff.example"))
    assert isinstance(end.error, ssl.SSLError)
    assert end.take().startswith(b"\x15")
    assert said == [UnicodeDecodeError]
    twisted = server_end("twisted", server)
    twisted.begin()
    twisted.feed(hello(b"\xff.example"))
    assert twisted.error is None
    assert twisted.asked == "\N{REPLACEMENT CHARACTER}.example"


@both_kinds
def test_bytes_go_both_ways_and_a_close_arrives(server: ServerTls, kind: str) -> None:
    talk = Talk(server_end(kind, server), Client("b.example"))
    talk.client.write(b"question" * 10_000)
    talk.server.write(b"answer")
    talk.pump()
    assert talk.server.received == b"question" * 10_000
    assert talk.client.received == b"answer"
    talk.client.close()
    talk.pump()
    assert isinstance(talk.server.error, ConnectionDone)


@both_kinds
def test_an_end_without_a_close_is_no_clean_end(server: ServerTls, kind: str) -> None:
    talk = Talk(server_end(kind, server), Client("b.example"))
    talk.server.eof()
    assert isinstance(talk.server.error, (ConnectionLost, ssl.SSLEOFError))


ALPN = {
    "HTTP/1.1": (("http/1.1",), "http/1.1"),
    "the better one": (("h2", "http/1.0", "http/1.1"), "http/1.1"),
    "HTTP/1.0": (("http/1.0",), "http/1.0"),
    "nothing offered": ((), None),
}


@both_kinds
@pytest.mark.parametrize(("offered", "chosen"), ALPN.values(), ids=ALPN)
def test_alpn(server: ServerTls, kind: str, offered: tuple[str, ...], chosen: str | None) -> None:
    talk = Talk(server_end(kind, server), Client("b.example", offered))
    assert talk.client.alpn == chosen
    assert talk.server.alpn == chosen


def test_a_client_that_speaks_no_http_1(server: ServerTls) -> None:
    """Told by an alert, or, where Python's ssl leaves no choice, by no protocol chosen."""
    talk = Talk(server_end("twisted", server), Client("b.example", ("h2",)))
    assert "no application protocol" in explain(talk.client.error)
    talk = Talk(server_end("native", server), Client("b.example", ("h2",)))
    assert talk.shown == "all.b.example"
    assert talk.client.alpn is None


@both_kinds
def test_tls_1_1_is_refused(server: ServerTls, kind: str) -> None:
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        client = Client("b.example", version=TLS_1_1)
    talk = Talk(server_end(kind, server), client)
    assert talk.shown is None
    assert "version" in explain(talk.client.error)
    assert explain(talk.server.error) == "unsupported protocol"


@both_kinds
def test_tls_1_2_has_forward_secrecy(server: ServerTls, kind: str) -> None:
    talk = Talk(server_end(kind, server), Client("b.example", version=TLS_1_2))
    name, _, _ = talk.client.ssl.cipher()
    assert name.startswith("ECDHE-")
    assert "GCM" in name or "CHACHA20" in name


@both_kinds
def test_plain_http_on_a_tls_port_is_said(server: ServerTls, kind: str) -> None:
    end = server_end(kind, server)
    end.begin()
    end.feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    end.eof()
    assert explain(end.error) == "http request"


@both_kinds
@pytest.mark.parametrize("version", [TLS_1_2, TLS_1_3], ids=["1.2", "1.3"])
def test_sessions_are_resumed_even_after_a_replacement(
    server: ServerTls, pairs: list[Any], kind: str, version: ssl.TLSVersion
) -> None:
    client = Client("x.b.example", version=version)
    first = Talk(server_end(kind, server), client)
    first.server.write(b"so that the ticket arrives")
    first.pump()
    assert client.ssl.session.has_ticket
    assert not client.ssl.session_reused
    server.replace(load(pairs, NOW))
    again = Client("x.b.example", context=client.ssl.context, session=client.ssl.session)
    talk = Talk(server_end(kind, server), again)
    assert again.ssl.session_reused
    assert talk.server.asked == "x.b.example"
    # Another name's certificate, shown by another context, but the same keys of tickets.
    other = Client("a.example", context=client.ssl.context, session=client.ssl.session)
    assert Talk(server_end(kind, server), other).client.error is None


@both_kinds
def test_a_replacement_is_shown_from_the_next_connection_on(
    server: ServerTls, authority: Any, kind: str
) -> None:
    before = Talk(server_end(kind, server), Client("b.example"))
    context = server.context
    server.replace(load([authority.pair("new.example", hosts=("b.example",))], NOW))
    assert server.context is context
    assert Talk(server_end(kind, server), Client("b.example")).shown == "new.example"
    before.client.write(b"still here")
    before.pump()
    assert before.server.received == b"still here"


@both_kinds
def test_without_certificates_the_handshake_fails(kind: str) -> None:
    talk = Talk(server_end(kind, ServerTls(Certificates())), Client("b.example"))
    assert talk.shown is None
    assert talk.client.error is not None
    assert explain(talk.server.error) == "no suitable signature algorithm"


@implementer(IPushProducer)
class Producing(Plain):
    """It refers to its transport, and the transport to it."""

    def connectionMade(self) -> None:
        self.transport.registerProducer(self, True)

    def pauseProducing(self) -> None: ...
    def resumeProducing(self) -> None: ...
    def stopProducing(self) -> None: ...


@pytest.mark.parametrize("clean", [True, False], ids=["closed", "eof"])
def test_a_connection_that_ended_is_in_no_cycle(
    server: ServerTls, authority: Any, clean: bool
) -> None:
    gc.disable()
    try:
        client = client_end(
            "twisted", ClientTls("default.example", authority.ca), plain := Producing()
        )
        talk = Talk(server_end("twisted", server, Producing()), client)
        assert isinstance(talk.server, Twisted)
        gone = [weakref.ref(end.secured) for end in (talk.client, talk.server)]
        if clean:
            plain.transport.unregisterProducer()
            plain.transport.loseConnection()
            talk.pump()
        for end in (talk.client, talk.server):
            end.below.producer = None  # as of a real transport that has ended
            end.eof()
        vars(talk).clear()
        del end, client, plain
        assert [secured() for secured in gone] == [None, None]
    finally:
        gc.enable()


def test_a_native_connection_is_in_no_cycle(server: ServerTls) -> None:
    gc.disable()
    try:
        client = Client("b.example")
        talk = Talk(server_end("native", server), client)
        gone = [weakref.ref(end.ssl) for end in (talk.client, talk.server)]
        vars(talk).clear()
        del client
        assert [connection() for connection in gone] == [None, None]
    finally:
        gc.enable()
