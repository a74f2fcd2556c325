from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from OpenSSL import SSL
from twisted.internet.error import ConnectionDone, ConnectionLost

from twistproxy.net.tls import BadCertificate, BadFile, explain, refused_certificate
from twistproxy.net.tls.failures import why


def verification(code: int, message: str = "") -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, f"[SSL: CERTIFICATE_VERIFY_FAILED] {message}")
    error.verify_code, error.verify_message = code, message
    return error


SAID: dict[str, tuple[BaseException | None, str]] = {
    "refused by Twisted's": (BadCertificate("it has expired"), "it has expired"),
    "refused by Python's": (verification(10), "it has expired"),
    "a code that has no words": (verification(9999), "it is not trusted (X.509 error 9999)"),
    "misnamed": (
        verification(62, "Hostname mismatch, certificate is not valid for 'a.example'."),
        "it is not for a.example",
    ),
    "misnamed, in words unknown": (
        verification(64, "?"),
        "it is not for the name that was asked for",
    ),
    "pyOpenSSL's": (
        SSL.Error([("SSL routines", "", "wrong version number")]),
        "wrong version number",
    ),
    "the same twice": (SSL.Error([("", "", "a"), ("", "", "b"), ("", "", "a")]), "a; b"),
    "pyOpenSSL's, without a reason": (SSL.Error(), "OpenSSL gave no reason"),
    "Python's": (
        ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)"),
        "wrong version number",
    ),
    "Python's, unnamed": (
        ssl.SSLError(1, "[SSL] tlsv1 alert no application protocol (_ssl.c:1006)"),
        "tlsv1 alert no application protocol",
    ),
    "Python's, without a reason": (ssl.SSLError(1, ""), "OpenSSL gave no reason"),
    "Python's, bare": (ssl.SSLError(), "OpenSSL gave no reason"),
    "cut off": (
        ssl.SSLEOFError(8, "EOF occurred in violation of protocol (_ssl.c:1006)"),
        "it was closed during the handshake",
    ),
    "reset": (ConnectionResetError(), "it was closed during the handshake"),
    "closed": (ConnectionDone(), "it was closed during the handshake"),
    "lost": (ConnectionLost(), "it was closed during the handshake"),
    "nothing known": (None, "it was closed during the handshake"),
}
CERTIFICATES = ("refused", "a code", "misnamed")


@pytest.mark.parametrize("row", SAID)
def test_what_is_said(row: str) -> None:
    error, said = SAID[row]
    assert explain(error) == said
    refused = refused_certificate(error)
    assert (None if refused is None else refused.why) == (
        said if row.startswith(CERTIFICATES) else None
    )


def test_codes_are_the_same_in_both_openssls() -> None:
    """The words go by numbers: the two libraries in the process may be of two versions."""
    assert why(SSL.X509VerificationCodes.ERR_CERT_HAS_EXPIRED) == why(10) == "it has expired"
    assert why(18) == "it is self-signed"
    assert why(20) == "its authority is not known"


def test_a_bad_file_is_a_line_to_print() -> None:
    assert str(BadFile(Path("/a.pem"), "is empty")) == "/a.pem: is empty"
