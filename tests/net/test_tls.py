from __future__ import annotations

import errno
import gc
import weakref
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from OpenSSL import SSL
from twisted.internet import ssl
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    IProtocolFactory,
    IPushProducer,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer
from zope.interface.verify import verifyObject

from twistproxy.net.tls import (
    BadCertificate,
    BadFile,
    Certificates,
    ClientTls,
    ServerTls,
    explain,
    is_tls,
    load,
    server_name,
    trust,
)

NOW = datetime.now(UTC).timestamp()


class Plain(Protocol):
    def __init__(self) -> None:
        self.received = b""
        self.lost: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason


class Talk:
    """A client and a server, each over TLS, joined in memory."""

    def __init__(self, server_tls: ServerTls, client_tls: Any, end: type[Plain] = Plain) -> None:
        clock = Clock()
        self.server = end()
        factory = Factory()
        factory.buildProtocol = lambda addr: self.server  # type: ignore[method-assign]
        server = server_tls.wrap(factory, clock).buildProtocol(None)
        self.client = end()
        client = client_tls.wrap(self.client, clock)
        self._ends = [(client, StringTransport()), (server, StringTransport())]
        for protocol, transport in reversed(self._ends):
            protocol.makeConnection(transport)
        self.pump()

    def pump(self) -> None:
        """Carry bytes to and fro until none are left; then close what was closed."""
        (client, to_server), (server, to_client) = self._ends
        while to_server.value() or to_client.value():
            for transport, reader in ((to_server, server), (to_client, client)):
                data = transport.value()
                transport.clear()
                if data:
                    reader.dataReceived(data)
        if to_server.disconnecting or to_client.disconnecting:
            for protocol in (client, server):
                if protocol.connected:
                    protocol.connectionLost(Failure(ConnectionDone()))

    @property
    def ends(self) -> list[Any]:
        """Client and server, as far as TLS goes."""
        return [protocol for protocol, _ in self._ends]

    @property
    def shown(self) -> str | None:
        """The host that the server's certificate is for; None: no handshake."""
        handle = self._ends[0][0].getHandle()
        cert = handle and handle.get_peer_certificate(as_cryptography=True)
        return cert.subject.rfc4514_string().removeprefix("CN=") if cert else None


@implementer(IOpenSSLClientConnectionCreator)
class Client:
    """A client that takes any certificate and is set up by hand."""

    def __init__(self, sni: bytes | None = None, alpn: tuple[bytes, ...] = (), **options: Any):
        self.sni, self.alpn = sni, alpn
        self.options = ssl.CertificateOptions(**options)
        self.session: Any = None

    def wrap(self, protocol: Protocol, clock: Clock) -> Any:
        return TLSMemoryBIOProtocol(TLSMemoryBIOFactory(self, True, None, clock), protocol)

    def clientConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        connection = self.options.clientConnectionForTLS(protocol)
        if self.sni is not None:
            connection.set_tlsext_host_name(self.sni)
        if self.alpn:
            connection.set_alpn_protos(self.alpn)
        if self.session is not None:
            connection.set_session(self.session)
        return connection


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


def test_the_interfaces_are_kept(server: ServerTls, authority: Any) -> None:
    verifyObject(IOpenSSLServerConnectionCreator, server)
    verifyObject(IOpenSSLClientConnectionCreator, ClientTls("a.example", authority.ca))
    verifyObject(IProtocolFactory, server.wrap(Factory(), Clock()))


SNI = {  # what the client asks for, whose certificate is shown
    "exact": (b"exact.a.example", "exact.a.example"),
    "in capitals": (b"EXACT.A.example", "exact.a.example"),
    "with a final dot": (b"exact.a.example.", "exact.a.example"),
    "written in capitals": (b"upper.example", "deep.example"),
    "below": (b"x.a.example", "below.a.example"),
    "two below": (b"y.x.a.example", "below.a.example"),
    "only below": (b"a.example", "default.example"),
    "that host": (b"b.example", "all.b.example"),
    "and all below": (b"y.x.b.example", "all.b.example"),
    "the longest wins": (b"x.c.b.example", "deep.example"),
    "a label is not a suffix": (b"xb.example", "default.example"),
    "unknown": (b"elsewhere.test", "default.example"),
    "missing": (None, "default.example"),
}


@pytest.mark.parametrize(("asked", "shown"), SNI.values(), ids=SNI)
def test_sni_chooses_the_certificate(server: ServerTls, asked: bytes | None, shown: str) -> None:
    talk = Talk(server, Client(asked))
    assert talk.shown == shown
    assert server_name(talk.server.transport) == (asked and asked.decode())


def test_bytes_go_both_ways_and_a_close_arrives(server: ServerTls) -> None:
    talk = Talk(server, Client(b"b.example"))
    talk.client.transport.write(b"question" * 10_000)
    talk.server.transport.write(b"answer")
    talk.pump()
    assert talk.server.received == b"question" * 10_000
    assert talk.client.received == b"answer"
    talk.client.transport.loseConnection()
    talk.pump()
    assert talk.server.lost is not None
    assert talk.server.lost.check(ConnectionDone)


ALPN = {
    "HTTP/1.1": ((b"http/1.1",), b"http/1.1"),
    "the better one": ((b"h2", b"http/1.0", b"http/1.1"), b"http/1.1"),
    "HTTP/1.0": ((b"http/1.0",), b"http/1.0"),
    "nothing offered": ((), None),
}


@pytest.mark.parametrize(("offered", "chosen"), ALPN.values(), ids=ALPN)
def test_alpn(server: ServerTls, offered: tuple[bytes, ...], chosen: bytes | None) -> None:
    talk = Talk(server, Client(b"b.example", offered))
    assert talk.client.transport.negotiatedProtocol == chosen
    assert talk.server.transport.negotiatedProtocol == chosen


def test_a_client_that_speaks_no_http_1_is_told_by_an_alert(server: ServerTls) -> None:
    talk = Talk(server, Client(b"b.example", (b"h2",)))
    assert talk.client.lost is not None
    assert "no application protocol" in explain(talk.client.lost.value)
    assert Talk(server, Client(b"b.example")).shown == "all.b.example"


def test_tls_1_1_is_refused(server: ServerTls) -> None:
    old = Client(b"b.example", lowerMaximumSecurityTo=ssl.TLSVersion.TLSv1_1)
    talk = Talk(server, old)
    assert talk.shown is None
    assert talk.server.lost is not None


def test_tls_1_2_has_forward_secrecy(server: ServerTls) -> None:
    talk = Talk(server, Client(b"b.example", lowerMaximumSecurityTo=ssl.TLSVersion.TLSv1_2))
    name = talk.client.transport.getHandle().get_cipher_name()
    assert name.startswith("ECDHE-")
    assert "GCM" in name or "CHACHA20" in name


def test_plain_http_on_a_tls_port_ends_without_a_traceback(server: ServerTls) -> None:
    class Http:
        def wrap(self, protocol: Plain, clock: Clock) -> Plain:
            protocol.makeConnection = lambda transport: transport.write(  # type: ignore
                b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
            )
            return protocol

    talk = Talk(server, Http())
    assert talk.server.lost is not None
    assert "http request" in explain(talk.server.lost.value)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_are_resumed_even_after_a_replacement(
    server: ServerTls, pairs: list[Any], version: Any
) -> None:
    client = Client(b"x.b.example", lowerMaximumSecurityTo=version, enableSessionTickets=True)
    first = Talk(server, client)
    first.server.transport.write(b"so that the ticket arrives")
    first.pump()
    client.session = first.client.transport.getHandle().get_session()
    server.replace(load(pairs, NOW))
    again = Talk(server, client)
    assert again.shown == "all.b.example"
    assert SSL._lib.SSL_session_reused(again.client.transport.getHandle()._ssl) == 1


def test_a_replacement_is_shown_from_the_next_connection_on(
    server: ServerTls, authority: Any
) -> None:
    before = Talk(server, Client(b"b.example"))
    server.replace(load([authority.pair("new.example", hosts=("b.example",))], NOW))
    assert Talk(server, Client(b"b.example")).shown == "new.example"
    before.client.transport.write(b"still here")
    before.pump()
    assert before.server.received == b"still here"


def test_without_certificates_the_handshake_fails() -> None:
    talk = Talk(ServerTls(Certificates()), Client(b"b.example"))
    assert talk.shown is None
    assert talk.client.lost is not None


def test_the_whole_chain_is_sent(authority: Any) -> None:
    pair = authority.pair("chained.example")
    pair.cert.write_bytes(pair.cert.read_bytes() + authority.ca.read_bytes())
    talk = Talk(ServerTls(load([pair], NOW)), Client(b"chained.example"))
    assert len(talk.client.transport.getHandle().get_peer_cert_chain()) == 2


# What is wrong with files


def broken(authority: Any, folder: Path) -> dict[str, tuple[Any, str, str]]:
    """Name → (pair, file that is at fault, what is said about it)."""
    good = authority.pair("good.example")
    text = folder / "text.pem"
    text.write_text("not PEM")
    torn = folder / "torn.pem"
    torn.write_bytes(good.cert.read_bytes()[:200])
    return {
        "no such file": (
            evolve(good, cert=folder / "none.pem"),
            str(folder / "none.pem"),
            "can't be read: No such file or directory",
        ),
        "a folder": (evolve(good, key=folder), str(folder), "can't be read: Is a directory"),
        "not PEM": (evolve(good, cert=text), str(text), "no certificate in PEM form is in it"),
        "torn": (evolve(good, cert=torn), str(torn), "no certificate in PEM form is in it"),
        "key in place of the certificate": (
            evolve(good, cert=good.key),
            str(good.key),
            "no certificate in PEM form is in it",
        ),
        "certificate in place of the key": (
            evolve(good, key=good.cert),
            str(good.cert),
            "no private key in PEM form is in it",
        ),
        "another's key": (
            evolve(good, key=authority.pair("other.example").key),
            str(authority.folder / "other.example.key"),
            f"is not the key of {good.cert}",
        ),
        "encrypted": (
            authority.pair("locked.example", passphrase=b"secret"),
            str(authority.folder / "locked.example.key"),
            "the key is encrypted; write it without a passphrase",
        ),
    }


def test_what_is_wrong_is_said_with_the_file(authority: Any, tmp_path: Path) -> None:
    cases = broken(authority, tmp_path)
    for name, (pair, path, text) in cases.items():
        certificates = load([pair], NOW)
        assert [str(e) for e in certificates.errors.values()] == [f"{path}: {text}"], name
    everything = load([pair for pair, _, _ in cases.values()], NOW)
    assert [place for place, _ in everything.errors] == list(range(len(cases)))
    for (place, which), error in everything.errors.items():
        assert error.path == getattr([*cases.values()][place][0], which)


def test_both_files_of_a_pair_are_said(authority: Any, tmp_path: Path) -> None:
    (tmp_path / "none").touch()
    pair = evolve(authority.pair("both.example"), cert=tmp_path / "none", key=tmp_path / "none")
    assert list(load([pair], NOW).errors) == [(0, "cert"), (0, "key")]


def test_an_unreadable_key(authority: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = authority.pair("unreadable.example")
    read = Path.read_bytes

    def read_some(path: Path) -> bytes:
        if path == pair.key:
            raise PermissionError(errno.EACCES, "Permission denied")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", read_some)
    error = load([pair], NOW).errors[0, "key"]
    assert str(error) == f"{pair.key}: can't be read: Permission denied"


def test_dates_are_warnings(authority: Any) -> None:
    expired = authority.pair("expired.example", days=-1)
    certificates = load([expired], NOW)
    assert not certificates.errors
    (warning,) = certificates.warnings
    assert warning.startswith(f"{expired.cert}: expired on ")
    early = load([expired], NOW - 90 * 86400)
    assert early.warnings[0].startswith(f"{expired.cert}: not valid before ")


def test_reprs_hold_no_keys(authority: Any) -> None:
    assert "Context" not in repr(load([authority.pair("repr.example")], NOW))


# Towards servers


def test_a_server_that_is_who_it_says(server: ServerTls, authority: Any) -> None:
    talk = Talk(server, ClientTls("exact.a.example", authority.ca))
    talk.client.transport.write(b"hello")
    talk.pump()
    assert talk.server.received == b"hello"
    assert talk.client.transport.negotiatedProtocol == b"http/1.1"
    assert server_name(talk.server.transport) == "exact.a.example"


def test_an_address_is_verified_as_one_and_not_sent_as_a_name(authority: Any) -> None:
    server = ServerTls(load([authority.pair("192.0.2.7", "2001:db8::7")], NOW))
    for address in ("192.0.2.7", "2001:db8::7"):
        talk = Talk(server, ClientTls(address, authority.ca))
        assert talk.client.lost is None
        assert server_name(talk.server.transport) is None
    talk = Talk(server, ClientTls("192.0.2.8", authority.ca))
    assert talk.client.lost is not None
    assert str(talk.client.lost.value) == "it is not for 192.0.2.8"


def refusal(pair: Any, name: str, ca: Path | None) -> str:
    talk = Talk(ServerTls(load([pair], NOW)), ClientTls(name, ca))
    assert talk.client.lost is not None
    assert talk.client.lost.check(BadCertificate)
    assert talk.client.received == b""
    return str(talk.client.lost.value)


def test_another_name_is_refused(authority: Any) -> None:
    pair = authority.pair("right.example")
    assert refusal(pair, "wrong.example", authority.ca) == "it is not for wrong.example"


def test_an_expired_certificate_is_refused(authority: Any) -> None:
    pair = authority.pair("late.example", days=-1)
    assert refusal(pair, "late.example", authority.ca) == "it has expired"


def test_an_unknown_authority_is_refused(authority: Any) -> None:
    pair = authority.pair("unknown.example")
    other = authority.pair("elsewhere.example")
    assert "authority is not known" in refusal(pair, "unknown.example", other.cert)
    assert "authority is not known" in refusal(pair, "unknown.example", None)


def test_a_self_signed_certificate_is_refused(authority: Any) -> None:
    pair = authority.pair("self.example", self_signed=True)
    assert refusal(pair, "self.example", None) == "it is self-signed"


def test_unverified_takes_anything_and_still_sends_the_name(server: ServerTls) -> None:
    talk = Talk(server, ClientTls("unheard.of.example", verify=False))
    talk.client.transport.write(b"hello")
    talk.pump()
    assert talk.server.received == b"hello"
    assert server_name(talk.server.transport) == "unheard.of.example"


def test_a_bad_ca_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"no-ca\.pem: can't be read"):
        ClientTls("a.example", tmp_path / "no-ca.pem")


def test_authorities_are_loaded_once_for_all_who_trust_them(authority: Any, tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_bytes(authority.ca.read_bytes())
    known = trust(ca, True)
    assert trust(authority.ca, True) is known
    assert trust(None, True) is trust(None, True)
    assert trust(ca, False) is trust(None, False)
    assert len({known, trust(None, True), trust(None, False)}) == 3
    # A file that changed is another authority, under the same name.
    ca.write_bytes(authority.pair("another.example", self_signed=True).cert.read_bytes())
    assert trust(ca, True) is not known


def test_names_that_share_their_trust_are_told_apart(authority: Any) -> None:
    server = ServerTls(load([authority.pair("one.example")], NOW))
    one, other = (ClientTls(name, authority.ca) for name in ("one.example", "other.example"))
    assert Talk(server, one).shown == "one.example"
    talk = Talk(server, other)
    assert talk.client.lost is not None
    assert talk.client.lost.check(BadCertificate)
    assert Talk(server, one).client.lost is None


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
        talk = Talk(server, ClientTls("default.example", authority.ca), Producing)
        gone = [weakref.ref(end) for end in talk.ends]
        if clean:
            talk.client.transport.unregisterProducer()
            talk.client.transport.loseConnection()
            talk.pump()
        for end in talk.ends:
            end.transport.producer = None  # as of a real transport that has ended
            if end.connected:
                end.connectionLost(Failure(ConnectionDone()))
        vars(talk).clear()
        del end
        assert [end() for end in gone] == [None, None]
    finally:
        gc.enable()


def test_plain_transports_are_not_tls(server: ServerTls) -> None:
    assert not is_tls(StringTransport())
    assert server_name(StringTransport()) is None
    talk = Talk(server, Client())
    assert is_tls(talk.server.transport)
    assert is_tls(talk.client.transport)
