from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from zope.interface.verify import verifyObject

from handshakes import KINDS, Native, Talk, client_end, server_end
from twistproxy.net.tls import (
    BadFile,
    ClientTls,
    ServerTls,
    load,
    refused_certificate,
    trust,
)

NOW = datetime.now(UTC).timestamp()

both_kinds = pytest.mark.parametrize("kind", KINDS)


def talk(kind: str, pair: Any, tls: ClientTls) -> Talk:
    """With a server that shows the certificate of `pair`."""
    certificates = load([pair], NOW)
    assert not certificates.errors
    return Talk(server_end("native", ServerTls(certificates)), client_end(kind, tls))


def test_the_interface_is_kept(authority: Any) -> None:
    verifyObject(IOpenSSLClientConnectionCreator, ClientTls("a.example", authority.ca))


@both_kinds
def test_a_server_that_is_who_it_says(authority: Any, kind: str) -> None:
    tls = ClientTls("who.example", authority.ca)
    met = talk(kind, authority.pair("who.example"), tls)
    met.client.write(b"hello")
    met.pump()
    assert met.server.received == b"hello"
    assert met.client.alpn == "http/1.1"
    assert met.server.asked == "who.example"


NAMES: dict[str, tuple[tuple[str, ...], str, bool]] = {
    # what the certificate names, who is asked for, whether it is accepted
    "that name": (("a.example",), "a.example", True),
    "one of them": (("z.example", "a.example"), "a.example", True),
    "in capitals": (("a.example",), "A.Example", True),
    "another name": (("a.example",), "b.example", False),
    "a name below": (("a.example",), "b.a.example", False),
    "a name above": (("b.a.example",), "a.example", False),
    "wildcard": (("*.a.example",), "b.a.example", True),
    "wildcard, two below": (("*.a.example",), "c.b.a.example", False),
    "wildcard, the name itself": (("*.a.example",), "a.example", False),
    "address": (("192.0.2.7",), "192.0.2.7", True),
    "address of version 6": (("2001:db8::7",), "2001:DB8:0::7", True),
    "one of two addresses": (("192.0.2.7", "2001:db8::7"), "2001:db8::7", True),
    "another address": (("192.0.2.7",), "192.0.2.8", False),
    "a name, though an address is asked for": (("a.example",), "192.0.2.7", False),
    "an address, though a name is asked for": (("192.0.2.7",), "a.example", False),
}


@both_kinds
@pytest.mark.parametrize(("named", "asked", "accepted"), NAMES.values(), ids=NAMES)
def test_names(
    authority: Any, kind: str, named: tuple[str, ...], asked: str, accepted: bool
) -> None:
    tls = ClientTls(asked, authority.ca)
    met = talk(kind, authority.pair(*named), tls)
    refused = refused_certificate(met.client.error)
    assert (met.client.error is None) is accepted
    if accepted:
        address = asked[-1].isdigit()
        assert met.server.asked == (None if address else asked)
    else:
        assert refused is not None
        assert refused.why == f"it is not for {tls.server_hostname}"


SEEN_DIFFERENTLY = {  # native accepts
    "a wildcard for a label of IDNA": (
        ("*.a.example",),
        "xn--bcher-kva.a.example",
        "it is not for xn--bcher-kva.a.example",
    ),
    "a wrong pattern beside the right name": (
        ("*.*.example", "a.example"),
        "a.example",
        "it names no",
    ),
}


@pytest.mark.parametrize(("named", "asked", "why"), SEEN_DIFFERENTLY.values(), ids=SEEN_DIFFERENTLY)
def test_what_the_kinds_see_differently(
    authority: Any, named: tuple[str, ...], asked: str, why: str
) -> None:
    pair, tls = authority.pair(*named), ClientTls(asked, authority.ca)
    assert talk("native", pair, tls).client.error is None
    assert str(refused_certificate(talk("twisted", pair, tls).client.error)).startswith(why)


WRONG_PATTERNS = ["*.example", "*", "b*.a.example", "*.*.a.example", "b.*.example", "*b.a.example"]


@both_kinds
@pytest.mark.parametrize("pattern", WRONG_PATTERNS)
def test_a_wrong_pattern_is_for_nobody(authority: Any, kind: str, pattern: str) -> None:
    pair = authority.pair(pattern)
    for name in ("b.a.example", "a.example", "bb.a.example", "example"):
        met = talk(kind, pair, ClientTls(name, authority.ca))
        assert refused_certificate(met.client.error) is not None


@both_kinds
def test_what_only_the_subject_says_is_no_name(authority: Any, kind: str) -> None:
    pair = authority.pair("other.example", subject="a.example")
    met = talk(kind, pair, ClientTls("a.example", authority.ca))
    assert str(refused_certificate(met.client.error)) == "it is not for a.example"


Case = Callable[[Any], tuple[Any, Path | None]]

REFUSED: dict[str, tuple[Case, str]] = {  # → (pair of x.example, authorities), what is said
    "expired": (lambda a: (a.pair("x.example", days=-1), a.ca), "it has expired"),
    "not valid yet": (lambda a: (a.pair("x.example", starts=3), a.ca), "it is not valid yet"),
    "self-signed": (
        lambda a: (a.pair("x.example", self_signed=True), a.ca),
        "it is self-signed",
    ),
    "self-signed, the system's authorities": (
        lambda a: (a.pair("x.example", self_signed=True), None),
        "it is self-signed",
    ),
    "unknown authority": (
        lambda a: (a.pair("x.example"), a.pair("elsewhere.example").cert),
        "its authority is not known",
    ),
    "unknown to the system": (lambda a: (a.pair("x.example"), None), "its authority is not known"),
    "missing intermediate": (
        lambda a: (a.below("intermediate").pair("x.example"), a.ca),
        "its authority is not known",
    ),
    "its authority is sent, but not believed": (
        lambda a: (chained(a.pair("x.example"), a.ca), a.pair("elsewhere.example").cert),
        "its authority is not trusted",
    ),
    "a client's": (
        lambda a: (a.pair("x.example", use="client"), a.ca),
        "it is not meant for servers",
    ),
}


def chained(pair: Any, *authorities: Path) -> Any:
    for ca in authorities:
        pair.cert.write_bytes(pair.cert.read_bytes() + ca.read_bytes())
    return pair


@both_kinds
@pytest.mark.parametrize(("case", "why"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(authority: Any, kind: str, case: Case, why: str) -> None:
    pair, ca = case(authority)
    met = talk(kind, pair, ClientTls("x.example", ca))
    assert str(refused_certificate(met.client.error)) == why
    assert met.client.received == b""
    # The server is told.
    assert met.server.error is not None
    assert met.server.received == b""


@both_kinds
def test_a_whole_chain_is_believed(authority: Any, kind: str) -> None:
    between = authority.below("intermediate")
    pair = chained(between.pair("x.example"), between.ca)
    assert talk(kind, pair, ClientTls("x.example", authority.ca)).client.error is None


@both_kinds
def test_a_self_signed_certificate_can_be_believed(authority: Any, kind: str) -> None:
    pair = authority.pair("self.example", self_signed=True)
    assert talk(kind, pair, ClientTls("self.example", pair.cert)).client.error is None


@both_kinds
def test_unverified_takes_anything_and_still_sends_the_name(authority: Any, kind: str) -> None:
    pair = authority.pair("odd.example", self_signed=True, days=-1)
    met = talk(kind, pair, ClientTls("unheard.of.example", verify=False))
    met.client.write(b"hello")
    met.pump()
    assert met.server.received == b"hello"
    assert met.server.asked == "unheard.of.example"
    assert talk(kind, pair, ClientTls("192.0.2.9", verify=False)).server.asked is None


@both_kinds
def test_an_end_without_a_close_is_no_clean_end(authority: Any, kind: str) -> None:
    """What may be cut off must be seen: a body can be as long as the connection."""
    met = talk(kind, authority.pair("cut.example"), ClientTls("cut.example", authority.ca))
    met.client.eof()
    assert type(met.client.error).__name__ in {"ConnectionLost", "SSLEOFError"}
    met = talk(kind, authority.pair("cut.example"), ClientTls("cut.example", authority.ca))
    met.server.close()
    met.pump()
    assert type(met.client.error).__name__ == "ConnectionDone"


@both_kinds
def test_tls_1_1_is_refused(authority: Any, kind: str) -> None:
    pair = authority.pair("old.example")
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    old.load_cert_chain(pair.cert, pair.key)
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    met = Talk(
        Native(old, server_side=True), client_end(kind, ClientTls("old.example", authority.ca))
    )
    assert met.client.error is not None
    assert refused_certificate(met.client.error) is None


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
    one, other = ClientTls("one.example", ca), ClientTls("other.example", authority.ca)
    assert one.context is other.context
    assert one.context is not ClientTls("one.example", ca, verify=False).context
    # A file that changed is another authority, under the same name.
    ca.write_bytes(authority.pair("another.example", self_signed=True).cert.read_bytes())
    assert trust(ca, True) is not known


@both_kinds
def test_names_that_share_their_trust_are_told_apart(authority: Any, kind: str) -> None:
    pair = authority.pair("one.example")
    one, other = (ClientTls(name, authority.ca) for name in ("one.example", "other.example"))
    assert talk(kind, pair, one).client.error is None
    assert refused_certificate(talk(kind, pair, other).client.error) is not None
    assert talk(kind, pair, one).client.error is None
