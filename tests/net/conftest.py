"""Certificates, made once, and two TLS ends joined in memory."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

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
from cryptography.x509.oid import NameOID

NOW = datetime.now(UTC)


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
        passphrase: bytes | None = None,
        self_signed: bool = False,
    ) -> Pair:
        """A certificate for `names`, shown to `hosts` (the same), and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        general = [
            x509.IPAddress(ip_address(n)) if n[-1].isdigit() else x509.DNSName(n) for n in names
        ]
        cert = (
            self._build(_name(names[0]), key, days, self_signed)
            .add_extension(x509.SubjectAlternativeName(general), critical=False)
            .sign(key if self_signed else self.key, SHA256())
        )
        stem = self.folder / names[0]
        lock = NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase)
        pair = Pair(hosts or names, Path(f"{stem}.pem"), Path(f"{stem}.key"))
        pair.cert.write_bytes(cert.public_bytes(Encoding.PEM))
        pair.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock))
        return pair

    def _build(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        days: float,
        self_signed: bool = False,
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if self_signed else self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - timedelta(days=30))
            .not_valid_after(NOW + timedelta(days=days))
        )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))
