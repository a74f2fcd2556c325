"""Certificates, made once; connections on reactors of both kinds."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from talks import KINDS, Full, Net
from twistproxy.net.tls import ServerTls, load

NOW = datetime.now(UTC)
_USES = {"server": ExtendedKeyUsageOID.SERVER_AUTH, "client": ExtendedKeyUsageOID.CLIENT_AUTH}


@frozen
class Pair:
    hosts: tuple[str, ...]
    cert: Path
    key: Path


class Authority:
    """Issues certificates into a folder. `ca`: its own, as PEM file."""

    def __init__(self, folder: Path, name: str = "test authority") -> None:
        self.folder = folder
        self.name = _name(name)
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.ca = folder / "ca.pem"
        cert = self._build(self.name, self.key, 9).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self.ca.write_bytes(cert.sign(self.key, SHA256()).public_bytes(Encoding.PEM))

    def pair(
        self,
        *names: str,
        hosts: tuple[str, ...] | None = None,
        days: float = 9,
        starts: float = -30,
        passphrase: bytes | None = None,
        self_signed: bool = False,
        key: Any = None,
        use: str = "server",
        subject: str | None = None,
    ) -> Pair:
        """A certificate for `names`, shown to `hosts` (the same), and its key.

        starts, days: from and until when it is valid, in days from now.
        """
        key = key or ec.generate_private_key(ec.SECP256R1())
        general = [
            x509.IPAddress(ip_address(n)) if n[-1].isdigit() else x509.DNSName(n) for n in names
        ]
        cert = (
            self._build(_name(subject or names[0]), key, days, self_signed, starts)
            .add_extension(x509.SubjectAlternativeName(general), critical=False)
            .add_extension(x509.ExtendedKeyUsage([_USES[use]]), critical=False)
            .sign(key if self_signed else self.key, SHA256())
        )
        stem = self.folder / names[0]
        lock = NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase)
        pair = Pair(hosts or names, Path(f"{stem}.pem"), Path(f"{stem}.key"))
        pair.cert.write_bytes(cert.public_bytes(Encoding.PEM))
        pair.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock))
        return pair

    def below(self, name: str) -> Authority:
        """An authority that this one has signed, in a folder of its own."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        other = Authority(folder, name)
        cert = self._build(other.name, other.key, 9).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        other.ca.write_bytes(cert.sign(self.key, SHA256()).public_bytes(Encoding.PEM))
        return other

    def _build(
        self,
        subject: x509.Name,
        key: Any,
        days: float,
        self_signed: bool = False,
        starts: float = -30,
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if self_signed else self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW + timedelta(days=starts))
            .not_valid_after(NOW + timedelta(days=days))
        )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


# Real connections


@pytest.fixture(scope="module")
def server_tls(authority: Any) -> ServerTls:
    return ServerTls(load([authority.pair("tls.example")], 0))


@pytest.fixture(scope="module")
def trust(authority: Any) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority.ca)
    context.set_alpn_protocols(["http/1.1"])
    return context


@pytest.fixture(params=KINDS)
def net(
    request: pytest.FixtureRequest, tmp_path: Path, server_tls: ServerTls, trust: ssl.SSLContext
) -> Iterator[Net]:
    """On each kind of transports."""
    net = Net(request.param, tmp_path, server_tls, trust)
    yield net
    net.close()


@pytest.fixture
def native(tmp_path: Path, server_tls: ServerTls, trust: ssl.SSLContext) -> Iterator[Net]:
    """On native transports only: Twisted's own differ."""
    net = Net("native", tmp_path, server_tls, trust)
    yield net
    net.close()


@pytest.fixture
def full() -> Iterator[Full]:
    full = Full()
    yield full
    full.close()
