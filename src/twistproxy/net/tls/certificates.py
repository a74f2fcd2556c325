"""PEM files → what is shown to which clients, and what is wrong with the files, as values."""

from __future__ import annotations

import os
import ssl
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkstemp
from typing import Protocol

from attrs import field, frozen
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from OpenSSL import SSL

from twistproxy.net.tls import contexts
from twistproxy.net.tls.failures import BadFile, explain


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
class Credentials:
    """A certificate chain and its key, ready to be shown, by either kind of TLS."""

    openssl: SSL.Context = field(repr=False)
    native: ssl.SSLContext = field(repr=False)


@frozen
class Certificates:
    """What `load` made of the pairs. With errors it is not fit for use.

    errors: by the place of the pair, and which of its files it is, "cert" or "key".
    """

    by_host: dict[str, Credentials] = field(factory=dict, repr=False)  # patterns as written
    default: Credentials | None = field(default=None, repr=False)  # the first pair's
    errors: dict[tuple[int, str], BadFile] = field(factory=dict)
    warnings: tuple[str, ...] = ()

    def choose(self, name: str | None) -> Credentials | None:
        """For the host `name`: exactly it, else the longest pattern that it is under."""
        if name is not None:
            for pattern in _patterns(name.lower().removesuffix(".")):
                if (credentials := self.by_host.get(pattern)) is not None:
                    return credentials
        return self.default


def load(pairs: Iterable[Pair], now: float) -> Certificates:
    """Read all pairs. now: seconds of the epoch; a certificate out of date is a warning."""
    by_host: dict[str, Credentials] = {}
    default: Credentials | None = None
    errors: dict[tuple[int, str], BadFile] = {}
    warnings: list[str] = []
    for place, pair in enumerate(pairs):
        loaded = _load_pair(pair)
        if isinstance(loaded, dict):
            errors |= {(place, which): error for which, error in loaded.items()}
            continue
        credentials, leaf = loaded
        if default is None:
            default = credentials
        for host in pair.hosts:
            by_host.setdefault(host.lower(), credentials)
        today = datetime.fromtimestamp(now, UTC)
        if today > leaf.not_valid_after_utc:
            warnings.append(f"{pair.cert}: expired on {leaf.not_valid_after_utc:%Y-%m-%d}")
        elif today < leaf.not_valid_before_utc:
            warnings.append(f"{pair.cert}: not valid before {leaf.not_valid_before_utc:%Y-%m-%d}")
    return Certificates(by_host, default, errors, tuple(warnings))


def read_certificates(path: Path) -> list[x509.Certificate]:
    """One at least. Raises BadFile."""
    try:
        return x509.load_pem_x509_certificates(_read(path))
    except ValueError:
        raise BadFile(path, "no certificate in PEM form is in it") from None


def _patterns(host: str) -> Iterator[str]:
    """All patterns that match `host`, the most specific first."""
    yield host
    yield f".{host}"
    while (dot := host.find(".")) >= 0:
        host = host[dot + 1 :]
        yield f"*.{host}"
        yield f".{host}"


def _load_pair(pair: Pair) -> tuple[Credentials, x509.Certificate] | dict[str, BadFile]:
    bad: dict[str, BadFile] = {}
    try:
        chain = read_certificates(pair.cert)
    except BadFile as error:
        bad["cert"] = error
    try:
        key = _key(pair.key)
    except BadFile as error:
        bad["key"] = error
    if bad:
        return bad
    if key.public_key() != chain[0].public_key():
        return {"key": BadFile(pair.key, f"is not the key of {pair.cert}")}
    try:
        credentials = Credentials(_openssl(chain, key), _native(chain, key))
    except (SSL.Error, ssl.SSLError) as error:
        return {"cert": BadFile(pair.cert, f"can't be used: {explain(error)}")}
    except (TypeError, OSError) as error:
        return {"cert": BadFile(pair.cert, f"can't be used: {error}")}
    return credentials, chain[0]


def _key(path: Path) -> PrivateKeyTypes:
    pem = _read(path)
    try:
        return load_pem_private_key(pem, password=None)
    except TypeError:
        raise BadFile(path, "the key is encrypted; write it without a passphrase") from None
    except (ValueError, UnsupportedAlgorithm):
        # The library's own message could quote what it read; a key is not for logs.
        raise BadFile(path, "no private key in PEM form is in it") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadFile(path, f"can't be read: {error.strerror}") from None


def _openssl(chain: Sequence[x509.Certificate], key: PrivateKeyTypes) -> SSL.Context:
    context = contexts.openssl_server()
    context.use_certificate(chain[0])
    context.use_privatekey(key)  # type: ignore[arg-type]  # kinds it can't use: TypeError
    for certificate in chain[1:]:
        context.add_extra_chain_cert(certificate)
    contexts.finish(context)
    return context


def _native(chain: Sequence[x509.Certificate], key: PrivateKeyTypes) -> ssl.SSLContext:
    # Python's loads files only. What was read and judged is written anew, so that both kinds
    # show the same, even while somebody replaces the files.
    pem = [certificate.public_bytes(Encoding.PEM) for certificate in chain]
    pem.append(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = contexts.native_server()
    with _as_file(b"".join(pem)) as path:
        context.load_cert_chain(path)
    return context


@contextmanager
def _as_file(secret: bytes) -> Iterator[str]:
    """A path that holds `secret` meanwhile: of memory where there is such a thing."""
    in_memory = sys.platform == "linux" and os.path.isdir("/proc/self/fd")
    if in_memory:
        descriptor = os.memfd_create("key")
        path = f"/proc/self/fd/{descriptor}"
    else:
        descriptor, path = mkstemp()  # only the owner may read it
    try:
        with open(descriptor, "wb") as file:
            file.write(secret)
            file.flush()
            yield path
    finally:
        if not in_memory:
            os.unlink(path)
