"""The manhole's keys: who may log in (``authorized_keys``), and who it is itself (the host key).

Files are OpenSSH's. A line of authorized_keys whose options we can't keep is refused rather than
read as if the options weren't there.
"""

# Conch has next to no annotations.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path

from attrs import define, field, frozen
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from twisted.conch.ssh.keys import BadKeyError, EncryptedKeyError, Key
from twisted.logger import Logger

from twistproxy.admin import WindowError

log = Logger()

#: Bytes of an authorized_keys file that are read.
_FILE = 1 << 20

#: Options that only take away what the manhole never offers.
_HARMLESS = frozenset(
    {"no-agent-forwarding", "no-port-forwarding", "no-user-rc", "no-x11-forwarding"}
)


@frozen
class Authorized:
    """A key that may log in. comment: what stands behind it in the file."""

    key: Key
    comment: str


@define
class AuthorizedKeys:
    """The file, read again whenever it is asked, so that edits count at the next login."""

    path: Path
    _complaints: frozenset[str] = field(init=False, default=frozenset())

    def find(self, blob: bytes) -> Authorized | None:
        """The entry for a public key in SSH's wire form. Never raises."""
        return next((entry for entry in self.entries() if entry.key.blob() == blob), None)

    def entries(self) -> list[Authorized]:
        """What the file holds; the log says what of it is not used. Never raises."""
        entries, complaints = self._read()
        for complaint in sorted(complaints - self._complaints):  # once, not at every login
            log.warn("{complaint}", complaint=complaint)
        self._complaints = complaints
        return entries

    def _read(self) -> tuple[list[Authorized], frozenset[str]]:
        try:
            with self.path.open("rb") as file:
                text = file.read(_FILE).decode("utf-8", "replace")
        except OSError as error:
            return [], frozenset({f"{self.path}: {error.strerror}: nobody can log in"})
        entries, complaints = [], set()
        for number, line in enumerate(text.splitlines(), 1):
            found = parse_line(line)
            if isinstance(found, Authorized):
                entries.append(found)
            elif found is not None:
                complaints.add(f"{self.path}:{number}: {found}; the line is not used")
        if not entries:
            complaints.add(f"{self.path}: no key is in it: nobody can log in")
        return entries, frozenset(complaints)


def parse_line(line: str) -> Authorized | str | None:
    """A line of authorized_keys (sshd(8)): its key, what is wrong with it, or None for no key."""
    line = line.strip()
    if not line or line.startswith("#"):
        return None
    if found := _key(line):
        return found
    options, rest = _split_options(line)
    found = _key(rest)
    if found is None:
        return "not a public key"
    for option in options:
        if option.lower() not in _HARMLESS:
            return f"the option {option.split('=')[0]} is not supported"
    return found


def _key(text: str) -> Authorized | None:
    """``type base64 comment``"""
    parts = text.split(None, 2)
    if len(parts) < 2:
        return None
    try:
        key = Key.fromString(" ".join(parts[:2]).encode(), type="public_openssh")
        if not key.isPublic() or key.sshType() != parts[0].encode():
            return None
    except Exception:  # Conch raises whatever its parsers raise
        return None
    return Authorized(key, parts[2] if len(parts) > 2 else "")


def _split_options(line: str) -> tuple[list[str], str]:
    """Comma-separated options up to the first blank outside quotes, and what follows."""
    options, quoted, start = [], False, 0
    for at, character in enumerate(line):
        if character == '"' and (at == 0 or line[at - 1] != "\\"):
            quoted = not quoted
        elif character == "," and not quoted:
            options.append(line[start:at])
            start = at + 1
        elif character in " \t" and not quoted:
            return [*options, line[start:at]], line[at:].strip()
    return [*options, line[start:]], ""


def host_key(path: Path) -> Key:
    """The key in `path`, made (ed25519, mode 0600, folder and all) if there is none.

    Raises `WindowError`.
    """
    key = read_host_key(path)
    try:
        if key is None:
            _make(path)
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            log.warn("{path} can be read by others than its owner: chmod 600 it", path=path)
    except OSError as error:
        raise WindowError(f"{error.filename or path}: {error.strerror}") from None
    return key or host_key(path)


def read_host_key(path: Path) -> Key | None:
    """The key in `path`; None: there is none yet. Raises `WindowError`."""
    try:
        key: Key = Key.fromString(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise WindowError(f"{path}: {error.strerror}") from None
    except EncryptedKeyError:
        raise WindowError(f"{path}: it must not have a passphrase") from None
    except (BadKeyError, ValueError):
        raise WindowError(f"{path}: not a private key") from None
    if key.isPublic():
        raise WindowError(f"{path}: not a private key")
    return key


def _make(path: Path) -> None:
    """Complete or not at all, and never in place of another key."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    text = Key(Ed25519PrivateKey.generate()).toString("openssh")
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)  # mode 0600
    except OSError as error:
        error.filename = path  # the temporary one would tell nobody anything
        raise
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        with contextlib.suppress(FileExistsError):  # somebody else was first: theirs it is
            os.link(temporary, path)
    finally:
        os.unlink(temporary)
    log.info("made the manhole's host key {path}", path=path)
