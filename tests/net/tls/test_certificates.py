from __future__ import annotations

import errno
import os
import ssl
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa, x25519

from handshakes import KINDS, Client, Talk, server_end
from twistproxy.net.tls import ServerTls, load

NOW = datetime.now(UTC).timestamp()


def broken(authority: Any, folder: Path) -> dict[str, tuple[Any, str, str]]:
    """Name → (pair, file that is at fault, what is said about it)."""
    good = authority.pair("good.example")
    text = folder / "text.pem"
    text.write_text("not PEM")
    torn = folder / "torn.pem"
    torn.write_bytes(good.cert.read_bytes()[:200])
    return {
        "no such file": (
            evolve(good, cert=folder / "none.pem"),
            str(folder / "none.pem"),
            "can't be read: No such file or directory",
        ),
        "a folder": (evolve(good, key=folder), str(folder), "can't be read: Is a directory"),
        "not PEM": (evolve(good, cert=text), str(text), "no certificate in PEM form is in it"),
        "torn": (evolve(good, cert=torn), str(torn), "no certificate in PEM form is in it"),
        "key in place of the certificate": (
            evolve(good, cert=good.key),
            str(good.key),
            "no certificate in PEM form is in it",
        ),
        "certificate in place of the key": (
            evolve(good, key=good.cert),
            str(good.cert),
            "no private key in PEM form is in it",
        ),
        "another's key": (
            evolve(good, key=authority.pair("other.example").key),
            str(authority.folder / "other.example.key"),
            f"is not the key of {good.cert}",
        ),
        "encrypted": (
            authority.pair("locked.example", passphrase=b"secret"),
            str(authority.folder / "locked.example.key"),
            "the key is encrypted; write it without a passphrase",
        ),
        "too weak": (
            authority.pair("weak.example", key=rsa.generate_private_key(65537, 1024)),
            str(authority.folder / "weak.example.pem"),
            "can't be used: ee key too small",
        ),
        "of a kind that signs nothing": (
            authority.pair("x.example", key=x25519.X25519PrivateKey.generate()),
            str(authority.folder / "x.example.pem"),
            "can't be used: unknown certificate type",
        ),
    }


def test_what_is_wrong_is_said_with_the_file(authority: Any, tmp_path: Path) -> None:
    cases = broken(authority, tmp_path)
    for name, (pair, path, text) in cases.items():
        certificates = load([pair], NOW)
        assert [str(e) for e in certificates.errors.values()] == [f"{path}: {text}"], name
    everything = load([pair for pair, _, _ in cases.values()], NOW)
    assert [place for place, _ in everything.errors] == list(range(len(cases)))
    for (place, which), error in everything.errors.items():
        assert error.path == getattr([*cases.values()][place][0], which)


def test_both_files_of_a_pair_are_said(authority: Any, tmp_path: Path) -> None:
    (tmp_path / "none").touch()
    pair = evolve(authority.pair("both.example"), cert=tmp_path / "none", key=tmp_path / "none")
    assert list(load([pair], NOW).errors) == [(0, "cert"), (0, "key")]


def test_an_unreadable_key(authority: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = authority.pair("unreadable.example")
    read = Path.read_bytes

    def read_some(path: Path) -> bytes:
        if path == pair.key:
            raise PermissionError(errno.EACCES, "Permission denied")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", read_some)
    error = load([pair], NOW).errors[0, "key"]
    assert str(error) == f"{pair.key}: can't be read: Permission denied"


def test_dates_are_warnings(authority: Any) -> None:
    expired = authority.pair("expired.example", days=-1)
    certificates = load([expired], NOW)
    assert not certificates.errors
    (warning,) = certificates.warnings
    assert warning.startswith(f"{expired.cert}: expired on ")
    early = load([expired], NOW - 90 * 86400)
    assert early.warnings[0].startswith(f"{expired.cert}: not valid before ")


def test_reprs_hold_no_keys(authority: Any) -> None:
    certificates = load([authority.pair("repr.example")], NOW)
    for thing in (certificates, certificates.default, ServerTls(certificates)):
        assert "Context" not in repr(thing)
        assert "PRIVATE" not in repr(thing)


@pytest.mark.parametrize("kind", KINDS)
def test_the_whole_chain_is_sent(authority: Any, kind: str) -> None:
    pair = authority.pair("chained.example")
    lone = len_of_flight(kind, pair)
    pair.cert.write_bytes(pair.cert.read_bytes() + authority.ca.read_bytes())
    extra = len(ssl.PEM_cert_to_DER_cert(authority.ca.read_text()))
    assert len_of_flight(kind, pair) - lone >= extra


def len_of_flight(kind: str, pair: Any) -> int:
    """Bytes of the server's first answer."""
    end, client = server_end(kind, ServerTls(load([pair], NOW))), Client("chained.example")
    end.begin()
    client.begin()
    end.feed(client.take())
    return len(end.take())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "make",
    [ed25519.Ed25519PrivateKey.generate, lambda: rsa.generate_private_key(65537, 2048)],
    ids=["Ed25519", "RSA"],
)
def test_other_kinds_of_keys(authority: Any, kind: str, make: Any) -> None:
    pair = authority.pair("kind.example", key=make())
    assert Talk(server_end(kind, ServerTls(load([pair], NOW))), Client()).shown == "kind.example"


@pytest.mark.parametrize("kind", KINDS)
def test_one_file_of_everything(authority: Any, kind: str) -> None:
    """Some keep the key beside the certificate; another pair's key in it does no harm."""
    pair, other = authority.pair("one-file.example"), authority.pair("other.example")
    pair.cert.write_bytes(other.key.read_bytes() + pair.cert.read_bytes() + pair.key.read_bytes())
    talk = Talk(server_end(kind, ServerTls(load([pair], NOW))), Client())
    assert talk.shown == "one-file.example"
    certificates = load([evolve(pair, key=pair.cert)], NOW)
    assert list(certificates.errors) == [(0, "key")]  # the first key in it is another's


@pytest.mark.parametrize("memory", [True, False], ids=["in memory", "in a file"])
def test_each_file_is_read_once_and_the_key_stays_nowhere(
    authority: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory: bool
) -> None:
    """Replaced in the middle, both kinds would else show different certificates."""
    pair = authority.pair("once.example")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    if not memory:
        monkeypatch.setattr("twistproxy.net.tls.certificates.sys.platform", "other")
    elif sys.platform != "linux":
        pytest.skip("there is no such thing")
    read: list[Path] = []
    loaded: list[tuple[str, int]] = []
    real_read, real_load = Path.read_bytes, ssl.SSLContext.load_cert_chain

    def read_once(path: Path) -> bytes:
        read.append(path)
        data = real_read(path)
        path.unlink()
        return data

    def load_chain(context: ssl.SSLContext, path: str) -> None:
        assert Path(path).parent == (Path("/proc/self/fd") if memory else tmp_path)
        loaded.append((path, os.stat(path).st_mode & 0o077))
        real_load(context, path)

    monkeypatch.setattr(Path, "read_bytes", read_once)
    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", load_chain)
    descriptors = len(os.listdir("/dev/fd"))
    certificates = load([pair], NOW)
    assert not certificates.errors
    assert read == [pair.cert, pair.key]
    ((path, others),) = loaded
    assert memory or others == 0
    assert not Path(path).exists()
    assert list(tmp_path.iterdir()) == []
    assert len(os.listdir("/dev/fd")) == descriptors
