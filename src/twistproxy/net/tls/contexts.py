"""The settings of TLS, for pyOpenSSL and for Python's ssl: what one is told, the other is, too.

Known differences of a server on Python's, which has no setting for it:
- A client that offers only protocols we don't speak goes on without ALPN; its handshake isn't
  ended.
- A name in a hello that isn't ASCII ends the handshake, instead of getting the default.
- Sessions of TLS 1.2 clients that take no tickets are kept, at most 20,480 of 1 KB.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from typing import Any, Final

from OpenSSL import SSL
from twisted.internet import ssl as twisted_ssl

# curl --http1.0 offers http/1.0 only.
ALPN: Final = ("http/1.1", "http/1.0")

# Both are for TLS 1.2; the ciphers of 1.3 are all good.
# Of clients we ask for forward secrecy and authenticated encryption.
FROM_CLIENTS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
# Servers are what they are: those above first, then what else is not broken.
TO_SERVERS: Final = (
    "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:ECDHE+AES:DHE+AES:RSA+AESGCM:RSA+AES"
    ":!aNULL:!MD5:!DSS"
)

#: One is enough for a client that comes back, and each costs a handshake of TLS 1.3 time. Not
#: none: the ticket also spares a client with Nagle's algorithm a wait for our delayed ACK.
TICKETS: Final = 1


class Greeted(ssl.SSLObject):
    """A server's end of a connection. asked: the name in the client's hello, once it was read."""

    asked: str | None = None


def native_server() -> ssl.SSLContext:
    """Shows no certificate yet."""
    # Made by hand: the "default context" would write secrets to $SSLKEYLOGFILE.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= (
        ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_RENEGOTIATION
    )
    context.num_tickets = TICKETS
    context.sslobject_class = Greeted
    context.set_alpn_protocols(ALPN)
    context.set_ciphers(FROM_CLIENTS)
    return context


def openssl_server() -> SSL.Context:
    """As `native_server`. `finish` it: setting the ciphers counts as its first use."""
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(
        SSL.OP_NO_COMPRESSION | SSL.OP_CIPHER_SERVER_PREFERENCE | SSL.OP_NO_RENEGOTIATION
    )
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)  # Python's does so by itself
    # Sessions are resumed by tickets, which the client keeps: nothing grows here. The same id
    # on all contexts, or a ticket would not outlive the change of context that SNI brings.
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_session_id(b"twistproxy")
    context.set_alpn_select_callback(_select_protocol)
    return context


def finish(context: SSL.Context) -> None:
    context.set_cipher_list(FROM_CLIENTS.encode())


def native_client(authorities: Sequence[bytes] | None) -> ssl.SSLContext:
    """authorities: certificates in PEM; (): the system's; None: takes any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(ALPN[:1])
    context.set_ciphers(TO_SERVERS)
    if authorities is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    context.hostname_checks_common_name = False  # RFC 9525 §2
    if authorities:
        context.load_verify_locations(cadata=b"".join(authorities).decode("ascii"))
    else:
        context.load_default_certs()
    return context


def openssl_client(authorities: Sequence[bytes] | None) -> twisted_ssl.CertificateOptions:
    """As `native_client`, but for the name, which who verifies with it compares."""
    root: Any = None
    if authorities:
        root = twisted_ssl.trustRootFromCertificates(
            [twisted_ssl.Certificate.loadPEM(pem) for pem in authorities]
        )
    elif authorities is not None:
        root = twisted_ssl.platformTrust()
    return twisted_ssl.CertificateOptions(
        trustRoot=root,
        acceptableProtocols=[ALPN[0].encode()],
        acceptableCiphers=twisted_ssl.AcceptableCiphers.fromOpenSSLCipherString(TO_SERVERS),
        enableSessionTickets=True,
    )


def _select_protocol(connection: SSL.Connection, offered: Sequence[bytes]) -> bytes:
    for protocol in ALPN:
        if protocol.encode() in offered:
            return protocol.encode()
    # RFC 7301 §3.2: a fatal alert. Not just any exception: this one ends the handshake quietly.
    raise SSL.Error([("", "", "no application protocol in common")])
