"""Our side of connections to servers: who they must be, and who says so.

A certificate is for a name by its subjectAltName only, a wildcard stands for one whole label. The
two kinds see two rare things differently, for the libraries that compare: Twisted's takes no
wildcard for a label of IDNA, and no certificate that has a wrong pattern beside the right name.
"""

from __future__ import annotations

import ssl
from functools import cached_property, lru_cache
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL, crypto
from service_identity import VerificationError
from service_identity.hazmat import DNS_ID, IPAddress_ID, verify_service_identity
from service_identity.pyopenssl import extract_patterns
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IProtocol, IReactorTime
from twisted.internet.ssl import CertificateOptions
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from twistproxy.net.addresses import canonical
from twistproxy.net.tls import contexts
from twistproxy.net.tls.certificates import read_certificates
from twistproxy.net.tls.failures import BadCertificate, why, why_misnamed
from twistproxy.net.tls.transports import Secured, TlsFactory


@implementer(IOpenSSLClientConnectionCreator)
class ClientTls:
    """For servers that go by `server_name`, a host name or an address.

    ca: PEM file of the authorities to believe; None: the system's.
    verify: False takes any certificate.
    Raises BadFile.

    server_hostname: what to give to `context` with each connection.
    """

    def __init__(self, server_name: str, ca: Path | None = None, verify: bool = True) -> None:
        self._verify = verify
        self._trust = trust(ca, verify)
        self._identity: DNS_ID | IPAddress_ID
        self._sni: bytes | None = None  # an address may not stand there (RFC 6066 §3)
        if (address := canonical(server_name)) is not None:
            self.server_hostname = str(address)
            self._identity = IPAddress_ID(self.server_hostname)
        else:
            self.server_hostname = server_name
            self._identity = DNS_ID(server_name)
            self._sni = server_name.encode("ascii")

    @property
    def context(self) -> ssl.SSLContext:
        """Shared by all who believe the same."""
        return self._trust.native

    def wrap(self, protocol: IProtocol, clock: IReactorTime) -> TLSMemoryBIOProtocol:
        """`protocol` over TLS, to be connected to a plain transport."""
        # No factory is wrapped, as in Twisted's own startTLS: there is a protocol already.
        factory = TlsFactory(self, True, None, clock)  # type: ignore[arg-type]
        return Secured(factory, protocol)  # type: ignore[no-untyped-call]

    def clientConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        connection = self._trust.openssl.clientConnectionForTLS(protocol)
        if self._sni is not None:
            connection.set_tlsext_host_name(self._sni)
        if self._verify:
            connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, self._check)
        return connection

    def _check(
        self, connection: SSL.Connection, cert: crypto.X509, code: int, depth: int, ok: int
    ) -> bool:
        """OpenSSL asks for each certificate of the chain, the server's own (depth 0) last."""
        if not ok:
            reason = why(code)
        elif depth == 0:
            reason = self._misnamed(cert)
        else:
            reason = ""
        if reason:
            protocol: TLSMemoryBIOProtocol = connection.get_app_data()
            failure = Failure(BadCertificate(reason))
            protocol.failVerification(failure)
        return not reason

    def _misnamed(self, cert: crypto.X509) -> str:
        try:
            verify_service_identity(extract_patterns(cert), [self._identity], [])
        except VerificationError:
            return why_misnamed(self.server_hostname)
        except Exception as error:  # the X.509 parser has many, and the server chose the bytes
            return f"it names no host ({error})"
        return ""


class Trust:
    """Whom clients believe: authorities in PEM; (): the system's; None: whoever it is.

    A process needs one kind of it, and the system's authorities are many: made when asked for.
    """

    def __init__(self, authorities: tuple[bytes, ...] | None) -> None:
        self._authorities = authorities

    @cached_property
    def native(self) -> ssl.SSLContext:
        return contexts.native_client(self._authorities)

    @cached_property
    def openssl(self) -> CertificateOptions:
        return contexts.openssl_client(self._authorities)


def trust(ca: Path | None, verify: bool) -> Trust:
    """Whom a client believes, as in `ClientTls`. Raises BadFile.

    The same object for all who believe the same, since each loads the authorities anew; another
    one when the file has changed.
    """
    if not verify:
        return _trust(None)
    chain = () if ca is None else read_certificates(ca)
    return _trust(tuple(certificate.public_bytes(Encoding.PEM) for certificate in chain))


_trust = lru_cache(64)(Trust)
