"""What went wrong, in words: a file, a server's certificate, a handshake."""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import Final

from attrs import frozen
from OpenSSL import SSL
from OpenSSL.SSL import X509VerificationCodes as Code


@frozen
class BadFile(Exception):
    """A PEM file that can't be used. `str()` is the line to print, and names the file."""

    path: Path
    why: str

    def __str__(self) -> str:
        return f"{self.path}: {self.why}"


@frozen
class BadCertificate(Exception):
    """The server's certificate was refused. `why` follows "the certificate is not valid:"."""

    why: str

    def __str__(self) -> str:
        return self.why


#: By X.509 error code; the same in all versions of OpenSSL.
_WHY: Final = {
    Code.ERR_CERT_HAS_EXPIRED: "it has expired",
    Code.ERR_CERT_NOT_YET_VALID: "it is not valid yet",
    Code.ERR_DEPTH_ZERO_SELF_SIGNED_CERT: "it is self-signed",
    Code.ERR_SELF_SIGNED_CERT_IN_CHAIN: "its authority is not trusted",
    Code.ERR_UNABLE_TO_GET_ISSUER_CERT: "its authority is not known",
    Code.ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "its authority is not known",
    Code.ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE: (
        "its authority is not known; does the server send its whole chain?"
    ),
    Code.ERR_CERT_SIGNATURE_FAILURE: "its signature is wrong",
    Code.ERR_INVALID_PURPOSE: "it is not meant for servers",
    Code.ERR_CERT_REVOKED: "it has been revoked",
}
_MISNAMED: Final = {Code.ERR_HOSTNAME_MISMATCH, Code.ERR_IP_ADDRESS_MISMATCH}
#: What Python writes around the reason: "[SSL: REASON] reason (_ssl.c:1000)".
_ADDED: Final = re.compile(r"^\[[^]]*\] | \(_ssl\.c:\d+\)$")
_NAME: Final = re.compile(r"not valid for '(.*)'")


def why(code: int) -> str:
    """Why OpenSSL refuses a certificate with this X.509 error code."""
    return _WHY.get(code, f"it is not trusted (X.509 error {code})")


def why_misnamed(name: str) -> str:
    return f"it is not for {name}"


def refused_certificate(error: BaseException | None) -> BadCertificate | None:
    """The refusal that ended a handshake, if that is what did."""
    if isinstance(error, BadCertificate):
        return error
    if not isinstance(error, ssl.SSLCertVerificationError):
        return None
    if error.verify_code not in _MISNAMED:
        return BadCertificate(why(error.verify_code))
    asked = _NAME.search(error.verify_message)
    return BadCertificate(why_misnamed(asked[1] if asked else "the name that was asked for"))


def explain(error: BaseException | None) -> str:
    """Why a handshake failed, without OpenSSL's names of functions and libraries."""
    if (refused := refused_certificate(error)) is not None:
        return str(refused)
    if isinstance(error, SSL.Error):
        queue = error.args[0] if error.args and isinstance(error.args[0], list) else []
        reasons = [reason for *_, reason in queue if reason]
        return "; ".join(dict.fromkeys(reasons)) or "OpenSSL gave no reason"
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
        return _ADDED.sub("", error.strerror or "") or "OpenSSL gave no reason"
    return "it was closed during the handshake"
