"""TLS on both sides: certificates by SNI for clients, verification of servers.

In: PEM files. Out: for each side its TLS in two kinds of one behaviour: for Twisted's transports
(`wrap`, on pyOpenSSL), and for transports that do TLS with Python's own (`context`, an
`ssl.SSLContext`). TLS 1.2 and up, ALPN http/1.1.
Knows no sockets, no HTTP. To change a setting: `contexts.py`, which has both kinds side by side.

`load` says what is wrong with certificates as values, so that a reload can refuse before anything
changed; `ServerTls.replace` swaps them under live listeners, and no connection notices.
"""

from __future__ import annotations

from twistproxy.net.tls.certificates import Certificates, Pair, load
from twistproxy.net.tls.client import ClientTls, trust
from twistproxy.net.tls.failures import BadCertificate, BadFile, explain, refused_certificate
from twistproxy.net.tls.server import ServerTls
from twistproxy.net.tls.transports import is_tls, server_name

__all__ = [
    "BadCertificate",
    "BadFile",
    "Certificates",
    "ClientTls",
    "Pair",
    "ServerTls",
    "explain",
    "is_tls",
    "load",
    "refused_certificate",
    "server_name",
    "trust",
]
