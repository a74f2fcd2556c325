"""What an operator has answered for longer than once, and the file that has it outlive a restart.

The file is TOML, for people to look at. A thread writes it, whole, after each change; while it
does, further changes wait for one more turn.
"""

from __future__ import annotations

import os
import re
import tempfile
import tomllib
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from attrs import frozen
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistproxy.http.uri import DEFAULT_PORTS
from twistproxy.policy import Question
from twistproxy.tables import table

_log = Logger()

NAME: Final = "answers.toml"
#: Answers that are kept.
KEPT: Final = 10_000
#: Bytes of a file that are read.
_FILE: Final = 16 << 20
#: Answers that a person is shown.
_ROWS: Final = 1000

_HEAD: Final = """\
# What an operator has answered for longer than once. The running process writes this file;
# `answers` lists what is in it, `forget NUMBER` takes one back. Edits count from the next start.
"""


@frozen
class Access:
    """What is asked: who wants to get where, by the rule that asks. Equal ones are one question.

    user: where there is one it is they who want it, wherever they come from; else None.
    client: otherwise, an address; "" for a unix socket. scheme: "" for a tunnel.
    """

    rule: str
    side: str
    user: str | None
    client: str
    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, question: Question, side: str, rule: str) -> Access:
        user, target = question.user, question.target
        client = question.client if user is None else ""
        return cls(rule, side, user, client, target.scheme, target.host, target.port)

    @property
    def who(self) -> str:
        if self.user is None:
            return self.client or "a unix socket"
        return self.user if self.user and self.user.isprintable() else ascii(self.user)

    @property
    def where(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        if not self.scheme:
            return f"{host}:{self.port}"
        port = "" if DEFAULT_PORTS.get(self.scheme) == self.port else f":{self.port}"
        return f"{self.scheme}://{host}{port}"


@frozen
class Standing:
    """An answer that holds until it is taken back, or until then. given, until: seconds of the
    epoch."""

    access: Access
    allowed: bool
    given: float
    until: float | None = None

    @property
    def word(self) -> Literal["hour", "always", "never"]:
        """What the operator said."""
        if not self.allowed:
            return "never"
        return "always" if self.until is None else "hour"


class Full(Exception):
    """No more answers can be kept."""


class Answers:
    """Those that stand, by what they answer and by number.

    path: of their file. in_thread: has a function run in a thread; fires when it has.
    """

    def __init__(
        self,
        path: Path,
        in_thread: Callable[[Callable[[], None]], Deferred[None]],
        wall: Callable[[], float],
    ) -> None:
        #: What is wrong with the file; "" if nothing is.
        self.trouble = ""
        self._path = path
        self._in_thread = in_thread
        self._wall = wall
        self._numbers = count(1)
        self._standing: dict[Access, tuple[int, Standing]] = {}
        self._changed = False
        self._writing = False
        self._idle: list[Deferred[None]] = []

    def __len__(self) -> int:
        return len(self._standing)

    def number(self) -> int:
        """One that neither an answer nor a question has had in this process."""
        return next(self._numbers)

    def load(self) -> None:
        """Take what the file holds. What can't be read is said, and kept beside it. Blocks."""
        found: list[Standing] = []
        try:
            with self._path.open("rb") as file:
                data = file.read(_FILE)
        except FileNotFoundError:
            return
        except OSError as error:
            complaints = [str(error.strerror)]
        else:
            found, complaints = parsed(data)
        now = self._wall()
        for standing in found[:KEPT]:
            if standing.until is None or standing.until > now:
                self._standing[standing.access] = (self.number(), standing)
        for complaint in complaints:
            _log.warn("{path}: {complaint}", path=self._path, complaint=complaint)
        if complaints:
            aside = self._path.with_name(f"{NAME}.broken")
            with suppress(OSError):
                os.replace(self._path, aside)
                _log.warn("{path} is now {aside}", path=self._path, aside=aside)
            self._save()

    def get(self, access: Access) -> Standing | None:
        found = self._standing.get(access)
        if found is None:
            return None
        _, standing = found
        if standing.until is not None and standing.until <= self._wall():
            del self._standing[access]  # from the file it goes with the next change
            return None
        return standing

    def keep(self, number: int, standing: Standing) -> None:
        """Raises `Full`."""
        self._forget_what_is_over()
        if len(self._standing) >= KEPT and standing.access not in self._standing:
            raise Full(f"{KEPT} answers are kept already: `forget` some.")
        self._standing[standing.access] = (number, standing)
        self._save()

    def forget(self, number: int) -> Standing | None:
        """The answer that is taken back; None: there is none of that number."""
        self._forget_what_is_over()
        for access, (one, standing) in self._standing.items():
            if one == number:
                del self._standing[access]
                self._save()
                return standing
        return None

    def close(self) -> Deferred[None]:
        """Fires when all is written."""
        if not self._writing:
            return succeed(None)
        idle: Deferred[None] = Deferred()
        self._idle.append(idle)
        return idle

    def __repr__(self) -> str:
        self._forget_what_is_over()
        rows: list[tuple[object, ...]] = [
            (
                number,
                standing.word,
                standing.access.who,
                standing.access.where,
                standing.access.rule,
                standing.access.side,
                at(standing.given),
                "-" if standing.until is None else at(standing.until),
            )
            for number, standing in list(self._standing.values())[-_ROWS:]
        ]
        head = ("number", "answer", "who", "where", "rule", "side", "given", "until")
        lines = [table(head, rows)]
        if len(rows) < len(self):
            lines.append(f"and {len(self) - len(rows)} older ones")
        if self.trouble:
            lines.append(f"they don't outlive a restart: {self.trouble}")
        return "\n".join(lines)

    def _forget_what_is_over(self) -> None:
        for access in list(self._standing):
            self.get(access)

    # -- the file ---------------------------------------------------------------------

    def _save(self) -> None:
        self._changed = True
        if not self._writing:
            self._writing = True
            self._write()

    def _write(self) -> None:
        self._changed = False
        standing = [standing for _, standing in self._standing.values()]
        writing = self._in_thread(partial(write, self._path, standing))
        writing.addCallbacks(self._written, self._not_written).addBoth(self._go_on)

    def _written(self, _: None) -> None:
        self.trouble = ""

    def _not_written(self, failure: Failure) -> None:
        self.trouble = f"{self._path}: {failure.getErrorMessage()}"
        _log.warn("An operator's answers can't be kept: {why}", why=self.trouble)

    def _go_on(self, _: None) -> None:
        if self._changed:
            self._write()
            return
        self._writing = False
        idle, self._idle = self._idle, []
        for each in idle:
            each.callback(None)


def at(seconds: float) -> str:
    """A time for a person."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


# -- the file's text -----------------------------------------------------------------------------


class _Entry(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One table of the file. TOML has no null: what is None isn't there."""

    rule: str
    side: Literal["forward", "reverse"]
    user: str | None = None
    client: str | None = None
    scheme: Literal["http", "https", ""]
    host: str
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)]
    allow: bool
    given: datetime
    until: datetime | None = None


def parsed(data: bytes) -> tuple[list[Standing], list[str]]:
    """What a file holds, and what of it can't be understood."""
    try:
        # As it was written: a name in a client's credentials may be anything.
        read: dict[str, Any] = tomllib.loads(data.decode("utf-8", "surrogatepass"))
    except ValueError as error:
        return [], [str(error)]
    entries = read.pop("answer", [])
    complaints = [f"{key}: no such key" for key in read]
    if not isinstance(entries, list):
        return [], [*complaints, "answer: not a list of tables"]
    standing = []
    for place, entry in enumerate(entries):
        try:
            standing.append(_standing(msgspec.convert(entry, _Entry)))
        except (ValueError, OverflowError) as error:
            complaints.append(f"answer[{place}]: {error}")
    return standing, complaints


def _standing(entry: _Entry) -> Standing:
    if (entry.user is None) == (entry.client is None):
        raise ValueError("either user or client")
    access = Access(
        entry.rule,
        entry.side,
        entry.user,
        entry.client or "",
        entry.scheme,
        entry.host,
        entry.port,
    )
    until = None if entry.until is None else entry.until.timestamp()
    return Standing(access, entry.allow, entry.given.timestamp(), until)


def text(standing: Iterable[Standing]) -> str:
    """What `parsed` reads, times in whole seconds."""
    return _HEAD + "".join(map(_table, standing))


def _table(standing: Standing) -> str:
    access = standing.access
    who = ("client", access.client) if access.user is None else ("user", access.user)
    values: list[tuple[str, str]] = [
        ("rule", _string(access.rule)),
        ("side", _string(access.side)),
        (who[0], _string(who[1])),
        ("scheme", _string(access.scheme)),
        ("host", _string(access.host)),
        ("port", str(access.port)),
        ("allow", "true" if standing.allowed else "false"),
        ("given", at(standing.given)),
    ]
    if standing.until is not None:
        values.append(("until", at(standing.until)))
    return "\n[[answer]]\n" + "".join(f"{key} = {value}\n" for key, value in values)


def _string(value: str) -> str:
    escaped = _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", value)
    return f'"{escaped}"'


_ESCAPED: Final = re.compile(r'[\x00-\x1f\x7f"\\]')


def write(path: Path, standing: Iterable[Standing]) -> None:
    """Replace the file, as a whole or not at all; only its owner may read it. Raises OSError."""
    data = text(standing).encode("utf-8", "surrogatepass")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
