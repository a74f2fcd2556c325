"""The access log: one line an exchange, written behind the reactor's back.

The road only appends an `Entry` to a list. A thread makes lines of it and writes them, a batch at
a time; where it can't keep up, entries are dropped and counted, and nobody waits.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from enum import Enum
from functools import lru_cache
from queue import SimpleQueue
from threading import Thread
from typing import Any, Literal, Protocol

from attrs import frozen
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

_log = Logger()

#: A batch goes to the thread after that many seconds or bytes, whichever comes first.
BATCH_SECONDS = 0.5
BATCH_BYTES = 64 << 10
#: What may wait for the thread, in bytes.
QUEUE_BYTES = 8 << 20
#: How long `close` waits for the thread, in seconds.
CLOSE_SECONDS = 2.0


@frozen(kw_only=True)
class Entry:
    """What one exchange was. Times in seconds; None or "" where there is nothing to say; what
    peers wrote decoded as latin-1, a character a byte.

    time: wall clock, at the exchange's end. client: text of an address. url: in normal form, or
    the target as received where it has none; a tunnel's is ``host:port``. bytes_in, bytes_out: of
    the client's leg, bodies only; of a tunnel all. server: who answered. server_duration: until
    its head came. rule: whose verdict this was. error: a name of RFC 9209.
    """

    time: float
    client: str
    side: Literal["forward", "reverse"]
    method: str
    url: str
    version: tuple[int, int]
    status: int
    bytes_in: int
    bytes_out: int
    duration: float
    request_id: str
    server: str | None = None
    server_duration: float | None = None
    cache: str | None = None  # hit, miss, stale, bypass, tunnel…
    rule: str | None = None
    error: str | None = None
    user_agent: str | None = None
    referer: str | None = None

    def size(self) -> int:
        """About how long its line is, and what it holds of the memory, in bytes."""
        return 400 + len(self.url) + len(self.user_agent or "") + len(self.referer or "")


def json_line(entry: Entry) -> bytes:
    """One JSON object in ASCII, all members always there."""
    record = {
        "time": _iso(entry.time),
        "client": entry.client,
        "side": entry.side,
        "method": entry.method,
        "url": _without_userinfo(entry.url),
        "http": f"{entry.version[0]}.{entry.version[1]}",
        "status": entry.status,
        "bytes_in": entry.bytes_in,
        "bytes_out": entry.bytes_out,
        "duration": round(entry.duration, 6),
        "server": entry.server,
        "server_duration": entry.server_duration and round(entry.server_duration, 6),
        "cache": entry.cache,
        "rule": entry.rule,
        "error": entry.error,
        "request_id": entry.request_id,
        "user_agent": entry.user_agent,
        "referer": entry.referer and _without_userinfo(entry.referer),
    }
    return _encode(record).encode() + b"\n"


def combined_line(entry: Entry) -> bytes:
    """The combined format of Apache and nginx, in UTC."""
    return b'%b - - [%b] "%b %b HTTP/%d.%d" %d %d "%b" "%b"\n' % (
        _word(entry.client),
        _clf(int(entry.time)),
        _word(entry.method),
        _word(_without_userinfo(entry.url)),
        *entry.version,
        entry.status,
        entry.bytes_out,
        _quoted(_without_userinfo(entry.referer or "-")),
        _quoted(entry.user_agent or "-"),
    )


#: By their names in the configuration.
FORMATS: dict[str, Callable[[Entry], bytes]] = {"json": json_line, "combined": combined_line}

_encode = json.JSONEncoder(separators=(",", ":")).encode
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_USERINFO = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*:/+|//)?[^/?#]*@")
_ODD = re.compile(rb'[^ -~]|["\\]')
_ODD_OR_SPACE = re.compile(rb'[^!-~]|["\\]')


def _without_userinfo(url: str) -> str:
    """Credentials end at the last @ of the authority (RFC 3986 §3.2.1)."""
    return _USERINFO.sub(r"\1", url, count=1) if "@" in url and _USERINFO.match(url) else url


def _quoted(text: str) -> bytes:
    """As nginx and Apache escape within quotes: ``\\xHH`` for what could end them or the line."""
    return _ODD.sub(_escape, text.encode("latin-1", "backslashreplace"))


def _word(text: str) -> bytes:
    """Likewise, and without spaces; "-" for nothing."""
    return _ODD_OR_SPACE.sub(_escape, (text or "-").encode("latin-1", "backslashreplace"))


def _escape(odd: re.Match[bytes]) -> bytes:
    return b"\\x%02X" % odd[0][0]


def _iso(seconds: float) -> str:
    whole = int(seconds)
    return f"{_date_time(whole)}.{int((seconds - whole) * 1000):03}Z"


@lru_cache(8)
def _date_time(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


@lru_cache(8)
def _clf(seconds: int) -> bytes:
    at = time.gmtime(seconds)
    month = _MONTHS[at.tm_mon - 1]  # strftime's follows the locale
    return time.strftime(f"%d/{month}/%Y:%H:%M:%S +0000", at).encode()


class Target(Protocol):
    """Where lines go. Used by one thread; anything it raises is an OSError."""

    def write(self, data: bytes) -> None: ...
    def reopen(self) -> None: ...
    def close(self) -> None: ...


class LogFile:
    """A file that lines are appended to; "-" is the standard output. Raises OSError."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = self._open()
        self._torn = False

    def write(self, data: bytes) -> None:
        """Whole lines. Where that fails in the middle of one, what comes next begins a new one."""
        rest = memoryview(b"\n" + data if self._torn else data)
        while rest:
            count = os.write(self._fd, rest)
            self._torn = rest[count - 1] != ord("\n")
            rest = rest[count:]

    def reopen(self) -> None:
        """Go on in the file that has the name now; where it can't be opened, in the old one."""
        before, self._fd = self._fd, self._open()
        self._torn = False
        self._close(before)

    def close(self) -> None:
        self._close(self._fd)

    def _open(self) -> int:
        if self._path == "-":
            return 1
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)

    def _close(self, fd: int) -> None:
        if self._path != "-":
            os.close(fd)


class _Order(Enum):
    REOPEN = "reopen"
    CLOSE = "close"


class AccessLog:
    """Takes entries on the reactor's thread, all of its methods are for that one.

    The thread that writes is started with the first batch: after twistd's fork.
    """

    def __init__(
        self, target: Target, format: Callable[[Entry], bytes], clock: IReactorTime
    ) -> None:
        self._target = target
        self._format = format
        self._clock = clock
        self._batch: list[Entry] = []
        self._size = 0  # of the batch, bytes
        self._flush_call: IDelayedCall | None = None
        self._orders: SimpleQueue[tuple[list[Entry], int] | _Order] = SimpleQueue()
        self._thread: Thread | None = None
        self._closed = False
        # Each figure has one writer, so that none needs a lock. The reactor's:
        self._handed = 0  # bytes
        self._dropped = 0
        # The thread's:
        self._taken = 0  # bytes
        self._lines = 0
        self._failed = 0
        self._error: str | None = None

    def write(self, entry: Entry) -> None:
        """Have a line written soon. Never blocks or raises."""
        if self._closed:
            self._dropped += 1
            return
        self._batch.append(entry)
        self._size += entry.size()
        if self._size >= BATCH_BYTES:
            self.flush()
        elif self._flush_call is None:
            self._flush_call = self._clock.callLater(BATCH_SECONDS, self.flush)

    def flush(self) -> None:
        """Hand what is collected to the thread; where too much waits for it already, drop that."""
        if self._flush_call is not None and self._flush_call.active():
            self._flush_call.cancel()
        self._flush_call = None
        batch, size = self._batch, self._size
        if not batch:
            return
        self._batch, self._size = [], 0
        if self._handed - self._taken + size > QUEUE_BYTES:
            self._dropped += len(batch)
            return
        self._handed += size
        self._order((batch, size))

    def reopen(self) -> None:
        """Go on in a new file, after the old one was moved away (log rotation)."""
        self.flush()
        self._order(_Order.REOPEN)

    def close(self) -> bool:
        """Write what is there; False where that took longer than CLOSE_SECONDS and is given up."""
        if self._closed:
            return True
        self.flush()
        self._closed = True
        self._order(_Order.CLOSE)
        assert self._thread is not None
        self._thread.join(CLOSE_SECONDS)
        return not self._thread.is_alive()

    def snapshot(self) -> dict[str, Any]:
        """Lines written, dropped (too many were waiting), failed (the target refused them, last
        with that error), and the bytes that wait.
        """
        return {
            "lines": self._lines,
            "dropped": self._dropped,
            "failed": self._failed,
            "waiting": self._size + self._handed - self._taken,
            "error": self._error,
        }

    def _order(self, order: tuple[list[Entry], int] | _Order) -> None:
        if self._thread is None:
            # A daemon, since a file system that hangs must not keep the process.
            self._thread = Thread(target=self._work, name="access log", daemon=True)
            self._thread.start()
        self._orders.put(order)

    def _work(self) -> None:
        while (order := self._orders.get()) is not _Order.CLOSE:
            try:
                if isinstance(order, _Order):
                    self._target.reopen()
                else:
                    self._write(*order)
            except Exception as error:  # a full disk, mostly; whatever it is, the next may succeed
                self._fault(error)
        try:
            self._target.close()
        except OSError as error:
            self._fault(error)

    def _fault(self, error: Exception) -> None:
        if self._error is None:
            _log.error("The access log can't be written: {error}", error=error)
        self._error = str(error)

    def _write(self, batch: list[Entry], size: int) -> None:
        try:
            self._target.write(b"".join(map(self._format, batch)))
        except Exception:
            self._failed += len(batch)
            raise
        finally:
            self._taken += size
        self._lines += len(batch)
        if self._error is not None:
            self._error = None
            _log.info("The access log is written again")
