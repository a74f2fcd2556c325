"""TLS on both sides: certificates by SNI for clients, verification of servers.

TLS 1.2 and up, ALPN http/1.1. `load` reads certificates and says what is wrong with them as
values, so that a reload can refuse before anything changed; `ServerTls.replace` swaps them
under live listeners, and no connection notices.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from attrs import field, frozen
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from OpenSSL import SSL, crypto
from service_identity import VerificationError
from service_identity.hazmat import DNS_ID, IPAddress_ID, verify_service_identity
from service_identity.pyopenssl import extract_patterns
from twisted.internet import ssl
from twisted.internet.interfaces import (
    INegotiated,
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    ISSLTransport,
)
from twisted.internet.protocol import connectionDone
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from twistproxy.net.addresses import canonical

# curl --http1.0 offers http/1.0 only.
ALPN = (b"http/1.1", b"http/1.0")

# For TLS 1.2; those of 1.3 are all good. Forward secrecy and authenticated encryption only.
CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20"


class Pair(Protocol):
    """A certificate chain and its key, both PEM, and the hosts that they are for.

    hosts: ``a.example`` that host, ``*.a.example`` all below, ``.a.example`` that and all below.
    """

    @property
    def hosts(self) -> Sequence[str]: ...
    @property
    def cert(self) -> Path: ...
    @property
    def key(self) -> Path: ...


@frozen
class BadFile(Exception):
    """A PEM file that can't be used. `str()` is the line to print, and names the file."""

    path: Path
    why: str

    def __str__(self) -> str:
        return f"{self.path}: {self.why}"


@frozen
class Certificates:
    """What `load` made of the pairs. With errors it is not fit for use.

    errors: by the place of the pair, and which of its files it is, "cert" or "key".
    """

    by_host: dict[str, SSL.Context] = field(factory=dict, repr=False)  # patterns as written
    default: SSL.Context | None = field(default=None, repr=False)  # the first pair's
    errors: dict[tuple[int, str], BadFile] = field(factory=dict)
    warnings: tuple[str, ...] = ()

    def choose(self, name: str | None) -> SSL.Context | None:
        """For the host `name`: exactly it, else the longest pattern that it is under."""
        if name is not None:
            for pattern in _patterns(name.lower().removesuffix(".")):
                if (context := self.by_host.get(pattern)) is not None:
                    return context
        return self.default


def load(pairs: Iterable[Pair], now: float) -> Certificates:
    """Read all pairs. now: seconds of the epoch; a certificate out of date is a warning."""
    by_host: dict[str, SSL.Context] = {}
    default: SSL.Context | None = None
    errors: dict[tuple[int, str], BadFile] = {}
    warnings: list[str] = []
    for place, pair in enumerate(pairs):
        loaded = _load_pair(pair)
        if isinstance(loaded, dict):
            errors |= {(place, which): error for which, error in loaded.items()}
            continue
        context, leaf = loaded
        if default is None:
            default = context
        for host in pair.hosts:
            by_host.setdefault(host.lower(), context)
        today = datetime.fromtimestamp(now, UTC)
        if today > leaf.not_valid_after_utc:
            warnings.append(f"{pair.cert}: expired on {leaf.not_valid_after_utc:%Y-%m-%d}")
        elif today < leaf.not_valid_before_utc:
            warnings.append(f"{pair.cert}: not valid before {leaf.not_valid_before_utc:%Y-%m-%d}")
    return Certificates(by_host, default, errors, tuple(warnings))


@implementer(IOpenSSLServerConnectionCreator)
class ServerTls:
    """Our side of connections that clients open."""

    def __init__(self, certificates: Certificates) -> None:
        self._certificates = certificates
        # Holds no certificate, but the keys of session tickets: as long as it lives,
        # clients can resume their sessions, whatever was replaced meanwhile.
        self._base = _server_context()
        self._base.set_tlsext_servername_callback(self._server_name_seen)
        self._base.set_cipher_list(CIPHERS)

    def replace(self, certificates: Certificates) -> None:
        """From the next connection on, show these."""
        self._certificates = certificates

    def wrap(
        self, factory: IProtocolFactory, clock: IReactorTime | None = None
    ) -> IProtocolFactory:
        """A factory of TLS connections for the protocols of `factory`."""
        return _Factory(self, False, factory, clock)

    def serverConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        return SSL.Connection(self._base, None)

    def _server_name_seen(self, connection: SSL.Connection) -> None:
        # OpenSSL calls this for a hello without the extension, too.
        context = self._certificates.choose(_name(connection))
        if context is not None:
            connection.set_context(context)


@implementer(IOpenSSLClientConnectionCreator)
class ClientTls:
    """Our side of connections to servers that go by `server_name`, a host name or an address.

    ca: PEM file of the authorities to believe; None: the system's.
    verify: False takes any certificate.
    Raises BadFile.
    """

    def __init__(self, server_name: str, ca: Path | None = None, verify: bool = True) -> None:
        self._name = server_name
        self._verify = verify
        self._trust = trust(ca, verify)
        self._identity: DNS_ID | IPAddress_ID
        self._sni: bytes | None = None  # an address may not stand there (RFC 6066 §3)
        if (address := canonical(server_name)) is not None:
            self._identity = IPAddress_ID(str(address))
        else:
            self._identity = DNS_ID(server_name)
            self._sni = server_name.encode("ascii")

    def wrap(self, protocol: IProtocol, clock: IReactorTime) -> TLSMemoryBIOProtocol:
        """`protocol` over TLS, to be connected to a plain transport."""
        # No factory is wrapped, as in Twisted's own startTLS: there is a protocol already.
        factory = _Factory(self, True, None, clock)  # type: ignore[arg-type]
        return _Tls(factory, protocol)  # type: ignore[no-untyped-call]

    def clientConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        connection = self._trust.clientConnectionForTLS(protocol)
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
            why = _CHAIN.get(code, f"it is not trusted (X.509 error {code})")
        elif depth == 0:
            why = self._misnamed(cert)
        else:
            why = ""
        if why:
            protocol: TLSMemoryBIOProtocol = connection.get_app_data()
            failure = Failure(BadCertificate(why))
            protocol.failVerification(failure)
        return not why

    def _misnamed(self, cert: crypto.X509) -> str:
        try:
            verify_service_identity(extract_patterns(cert), [self._identity], [])
        except VerificationError:
            return f"it is not for {self._name}"
        except Exception as error:  # the X.509 parser has many, and the server chose the bytes
            return f"it names no host ({error})"
        return ""


def trust(ca: Path | None, verify: bool) -> ssl.CertificateOptions:
    """Whom a client believes, as in `ClientTls`. Raises BadFile.

    The same object for all who believe the same, since each loads the authorities anew; another
    one when the file has changed.
    """
    if not verify:
        return _trust(None)
    chain = () if ca is None else _certificates(ca)
    return _trust(tuple(certificate.public_bytes(Encoding.PEM) for certificate in chain))


@frozen
class BadCertificate(Exception):
    """The server's certificate was refused. `why` follows "the certificate is not valid:"."""

    why: str

    def __str__(self) -> str:
        return self.why


def is_tls(transport: object) -> bool:
    """Whether `transport` is one of TLS."""
    return INegotiated.providedBy(transport) or ISSLTransport.providedBy(transport)


def server_name(transport: object) -> str | None:
    """The name that the client of a TLS `transport` asked for; known after its hello."""
    if not isinstance(transport, TLSMemoryBIOProtocol):
        return None
    connection = transport.getHandle()
    return None if connection is None else _name(connection)


def explain(error: SSL.Error) -> str:
    """What OpenSSL says, without its function and library names."""
    queue = error.args[0] if error.args and isinstance(error.args[0], list) else []
    reasons = [reason for *_, reason in queue if reason]
    return "; ".join(dict.fromkeys(reasons)) or "OpenSSL gave no reason"


class _Tls(TLSMemoryBIOProtocol):
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


class _Factory(TLSMemoryBIOFactory):
    protocol = _Tls


_CHAIN = {
    SSL.X509VerificationCodes.ERR_CERT_HAS_EXPIRED: "it has expired",
    SSL.X509VerificationCodes.ERR_CERT_NOT_YET_VALID: "it is not valid yet",
    SSL.X509VerificationCodes.ERR_DEPTH_ZERO_SELF_SIGNED_CERT: "it is self-signed",
    SSL.X509VerificationCodes.ERR_SELF_SIGNED_CERT_IN_CHAIN: "its authority is not trusted",
    SSL.X509VerificationCodes.ERR_UNABLE_TO_GET_ISSUER_CERT: "its authority is not known",
    SSL.X509VerificationCodes.ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "its authority is not known",
    SSL.X509VerificationCodes.ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE: (
        "its authority is not known; does the server send its whole chain?"
    ),
    SSL.X509VerificationCodes.ERR_CERT_SIGNATURE_FAILURE: "its signature is wrong",
    SSL.X509VerificationCodes.ERR_INVALID_PURPOSE: "it is not meant for servers",
    SSL.X509VerificationCodes.ERR_CERT_REVOKED: "it has been revoked",
}


def _patterns(host: str) -> Iterator[str]:
    """All patterns that match `host`, the most specific first."""
    yield host
    yield f".{host}"
    while (dot := host.find(".")) >= 0:
        host = host[dot + 1 :]
        yield f"*.{host}"
        yield f".{host}"


def _name(connection: SSL.Connection) -> str | None:
    raw = connection.get_servername()
    return None if raw is None else raw.decode("ascii", "replace")


def _server_context() -> SSL.Context:
    """All but the ciphers: setting them counts as the context's first use, so it comes last."""
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(
        SSL.OP_NO_COMPRESSION | SSL.OP_CIPHER_SERVER_PREFERENCE | SSL.OP_NO_RENEGOTIATION
    )
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    # Sessions are resumed by tickets, which the client keeps: nothing grows here. The same id
    # on all contexts, or a ticket would not outlive the change of context that SNI brings.
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_session_id(b"twistproxy")
    context.set_alpn_select_callback(_select_protocol)
    return context


def _select_protocol(connection: SSL.Connection, offered: Sequence[bytes]) -> bytes:
    for protocol in ALPN:
        if protocol in offered:
            return protocol
    # RFC 7301 §3.2: a fatal alert. Not just any exception: this one ends the handshake quietly.
    raise SSL.Error([("", "", "no application protocol in common")])


def _load_pair(pair: Pair) -> tuple[SSL.Context, x509.Certificate] | dict[str, BadFile]:
    bad: dict[str, BadFile] = {}
    try:
        leaf, *chain = _certificates(pair.cert)
    except BadFile as error:
        bad["cert"] = error
    try:
        key = _key(pair.key)
    except BadFile as error:
        bad["key"] = error
    if bad:
        return bad
    if key.public_key() != leaf.public_key():
        return {"key": BadFile(pair.key, f"is not the key of {pair.cert}")}
    context = _server_context()
    try:
        context.use_certificate(leaf)
        context.use_privatekey(key)  # type: ignore[arg-type]  # kinds it can't use: SSL.Error
        for certificate in chain:
            context.add_extra_chain_cert(certificate)
        context.set_cipher_list(CIPHERS)
    except (SSL.Error, TypeError) as error:
        text = explain(error) if isinstance(error, SSL.Error) else str(error)
        return {"cert": BadFile(pair.cert, f"can't be used: {text}")}
    return context, leaf


def _certificates(path: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(_read(path))
    except ValueError:
        raise BadFile(path, "no certificate in PEM form is in it") from None


def _key(path: Path) -> PrivateKeyTypes:
    pem = _read(path)
    try:
        return load_pem_private_key(pem, password=None)
    except TypeError:
        raise BadFile(path, "the key is encrypted; write it without a passphrase") from None
    except (ValueError, UnsupportedAlgorithm):
        # The library's own message could quote what it read; a key is not for logs.
        raise BadFile(path, "no private key in PEM form is in it") from None


@lru_cache(64)
def _trust(authorities: tuple[bytes, ...] | None) -> ssl.CertificateOptions:
    """authorities: certificates in PEM; (): the system's; None: whoever it is."""
    root: Any = None
    if authorities:
        root = ssl.trustRootFromCertificates([ssl.Certificate.loadPEM(pem) for pem in authorities])
    elif authorities is not None:
        root = ssl.platformTrust()
    return ssl.CertificateOptions(
        trustRoot=root, acceptableProtocols=ALPN[:1], enableSessionTickets=True
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadFile(path, f"can't be read: {error.strerror}") from None
