"""authorized_keys and the host key."""

from __future__ import annotations

from errno import EACCES
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as ecdsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.conch.ssh.keys import Key
from twisted.logger import LogLevel, capturedLogs

from twistproxy.admin import WindowError, keys
from twistproxy.admin.keys import Authorized, AuthorizedKeys, host_key, parse_line

KEY = Key(Ed25519PrivateKey.generate())
PUBLIC = KEY.public().toString("openssh").decode()
OTHER = Key(ecdsa(SECP256R1())).public().toString("openssh").decode()
BLOB = KEY.public().blob()

GOOD = {
    "alone": (PUBLIC, ""),
    "with a comment": (f"{PUBLIC} anna@desk of hers", "anna@desk of hers"),
    "with blanks around": (f"  {PUBLIC}\t ", ""),
    "another type": (OTHER, ""),
    "options that take nothing away": (f"no-port-forwarding,no-X11-forwarding {PUBLIC} a", "a"),
}
BAD = {
    "from": (f'from="10.0.0.0/8" {PUBLIC}', "the option from is not supported"),
    "a blank and a comma within quotes": (
        f'no-user-rc,command="echo \\"a, b\\" c" {PUBLIC}',
        "the option command is not supported",
    ),
    "restrict": (f"restrict {PUBLIC}", "the option restrict is not supported"),
    "an expiry": (f'expiry-time="20200101" {PUBLIC}', "the option expiry-time is not supported"),
    "a key within an option": (f'environment="A={PUBLIC}"', "not a public key"),
    "an authority": (f"cert-authority {PUBLIC}", "the option cert-authority is not supported"),
    "no base64": ("ssh-ed25519 ?", "not a public key"),
    "cut": (PUBLIC[:40], "not a public key"),
    "another type's name": (PUBLIC.replace("ed25519", "rsa"), "not a public key"),
    "a word": ("nonsense", "not a public key"),
}


@pytest.mark.parametrize(("line", "comment"), GOOD.values(), ids=GOOD)
def test_a_line_with_a_key(line: str, comment: str) -> None:
    found = parse_line(line)
    assert isinstance(found, Authorized)
    assert found.comment == comment


@pytest.mark.parametrize(("line", "complaint"), BAD.values(), ids=BAD)
def test_a_line_that_is_not_used(line: str, complaint: str) -> None:
    found = parse_line(line)
    assert isinstance(found, str)
    assert found.startswith(complaint)


@pytest.mark.parametrize("line", ["", "   ", "# " + PUBLIC, "  #"])
def test_a_line_that_is_none(line: str) -> None:
    assert parse_line(line) is None


def test_a_private_key_is_no_entry() -> None:
    assert isinstance(parse_line(KEY.toString("openssh").decode().replace("\n", " ")), str)


class TestAuthorizedKeys:
    def test_edits_count(self, tmp_path: Path) -> None:
        path = tmp_path / "authorized_keys"
        keys = AuthorizedKeys(path)
        path.write_text(f"{OTHER} bert\n")
        assert keys.find(BLOB) is None
        path.write_text(f"{OTHER} bert\n{PUBLIC} anna\n")
        found = keys.find(BLOB)
        assert found is not None
        assert found.comment == "anna"
        path.write_text(f"#{PUBLIC}\n")
        assert keys.find(BLOB) is None

    def test_complaints_come_once_with_their_line(self, tmp_path: Path) -> None:
        path = tmp_path / "authorized_keys"
        path.write_text(f"# us\nrestrict {PUBLIC}\n{PUBLIC}\n")
        keys = AuthorizedKeys(path)
        with capturedLogs() as logged:
            assert keys.find(BLOB) is not None
            assert keys.find(BLOB) is not None
        assert [event["complaint"] for event in logged] == [
            f"{path}:2: the option restrict is not supported; the line is not used"
        ]

    def test_without_the_file_nobody_comes_in(self, tmp_path: Path) -> None:
        with capturedLogs() as logged:
            assert AuthorizedKeys(tmp_path / "none").find(BLOB) is None
        assert [event["log_level"] for event in logged] == [LogLevel.warn]

    def test_a_file_without_a_key_is_said(self, tmp_path: Path) -> None:
        path = tmp_path / "authorized_keys"
        path.write_text(f"# {PUBLIC}\n")
        with capturedLogs() as logged:
            assert AuthorizedKeys(path).entries() == []
        assert [event["complaint"] for event in logged] == [
            f"{path}: no key is in it: nobody can log in"
        ]

    def test_bytes_that_are_no_text(self, tmp_path: Path) -> None:
        path = tmp_path / "authorized_keys"
        path.write_bytes(b"\xff\xfe\0\n" + PUBLIC.encode() + b"\n")
        with capturedLogs():
            assert AuthorizedKeys(path).find(BLOB) is not None


class TestHostKey:
    def test_is_made_once(self, tmp_path: Path) -> None:
        path = tmp_path / "var" / "deep" / "ssh_host_key"
        key = host_key(path)
        assert key.sshType() == b"ssh-ed25519"
        assert path.stat().st_mode & 0o777 == 0o600
        assert [file.name for file in path.parent.iterdir()] == ["ssh_host_key"]
        assert host_key(path) == key

    def test_that_others_can_read_is_said(self, tmp_path: Path) -> None:
        path = tmp_path / "key"
        host_key(path)
        path.chmod(0o644)
        with capturedLogs() as logged:
            host_key(path)
        assert [event["log_level"] for event in logged] == [LogLevel.warn]

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            (b"nonsense", "not a private key"),
            (b"", "not a private key"),
            (PUBLIC.encode(), "not a private key"),
            (KEY.toString("openssh", passphrase=b"secret"), "must not have a passphrase"),
        ],
        ids=["nonsense", "empty", "public", "passphrase"],
    )
    def test_that_can_not_be_used(self, tmp_path: Path, content: bytes, why: str) -> None:
        path = tmp_path / "key"
        path.write_bytes(content)
        with pytest.raises(WindowError, match=why):
            host_key(path)
        assert path.read_bytes() == content

    def test_in_a_folder_that_can_not_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(WindowError, match="file: File exists"):
            host_key(tmp_path / "file" / "key")

    def test_in_a_folder_that_can_not_be_written(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def mkstemp(dir: Path, prefix: str) -> tuple[int, str]:
            raise PermissionError(EACCES, "Permission denied", f"{dir}/{prefix}x1y2")

        monkeypatch.setattr(keys.tempfile, "mkstemp", mkstemp)
        with pytest.raises(WindowError, match=r"/key: Permission denied$"):
            host_key(tmp_path / "key")
