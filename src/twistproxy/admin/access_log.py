"""The access log: one line an exchange, written behind the reactor's back.

A line is made at once, while what it tells of is at hand. A thread writes them, a batch at a
time, and does nothing else, so that it hardly ever holds the interpreter's lock; where the disk
can't keep up, lines are dropped and counted, and nobody waits.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from enum import Enum
from functools import lru_cache
from json.encoder import encode_basestring_ascii as _json
from queue import SimpleQueue
from threading import Thread
from typing import Any, Final, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from twistproxy.exchange import Exchange

_log = Logger()

#: A batch goes to the thread after that many seconds or bytes, whichever comes first.
BATCH_SECONDS = 0.5
BATCH_BYTES = 64 << 10
#: What may wait for the thread, in bytes.
QUEUE_BYTES = 8 << 20
#: How long `close` waits for the thread, in seconds.
CLOSE_SECONDS = 2.0

#: Bytes of a User-Agent whose JSON is kept.
_KEPT: Final = 256

#: Makes a line of an exchange that ended `now`, in seconds of the epoch, after so many seconds:
#: ASCII, with its line feed.
Format = Callable[[Exchange, float, float], str]


def json_line(exchange: Exchange, now: float, duration: float) -> str:
    """One JSON object, all members always there; what peers wrote as latin-1, a character a byte.

    url: in normal form, or the target as received where it has none; a tunnel's is ``host:port``.
    bytes_in, bytes_out: of the client's leg, bodies only; of a tunnel all. server: who answered.
    server_duration: until its head came. rule: whose verdict this was. error: a name of RFC 9209.
    """
    method, version, url, user_agent, referer = _asked(exchange)
    server, cache, waited = exchange.server, exchange.cached, "null"
    if exchange.status == 101 or (server is not None and method == b"CONNECT"):
        cache = "tunnel"
    elif server is not None:
        waited = _seconds(round(exchange.waited * 1e6))
    # What is bare within quotes can't hold one.
    return (
        f'{{"time":"{_iso(int(now * 1000))}"'
        f"{_who(exchange.client, exchange.side, method)}"
        f',"url":{_json(url)}'
        f"{_outcome(version, exchange.status)}"
        f',"bytes_in":{exchange.bytes_in}'
        f',"bytes_out":{exchange.bytes_out}'
        f',"duration":{_seconds(round(duration * 1e6))}'
        f',"server":{_text(None if server is None else server.url)}'
        f',"server_duration":{waited}'
        f"{_reasons(cache, exchange.rule, exchange.error)}"
        f',"request_id":"{exchange.request_id}"'
        f',"user_agent":{_agent(user_agent)}'
        f',"referer":{_text(referer)}}}\n'
    )


def combined_line(exchange: Exchange, now: float, duration: float) -> str:
    """The combined format of Apache and nginx, in UTC."""
    method, version, url, user_agent, referer = _asked(exchange)
    return (
        f"{_word(exchange.client or 'unix:')} - - [{_clf(int(now))}]"
        f' "{_word(method.decode("latin-1"))} {_word(url)} HTTP/{version[0]}.{version[1]}"'
        f" {exchange.status} {exchange.bytes_out}"
        f' "{_quoted(referer or "-")}" "{_quoted((user_agent or b"-").decode("latin-1"))}"\n'
    )


def squid_line(exchange: Exchange, now: float, duration: float) -> str:
    """Squid's native format, for the programs that read it; the content's type is left out.

    ``TIME ELAPSED CLIENT CODE/STATUS BYTES METHOD URL USER HIERARCHY/SERVER TYPE``: seconds of the
    epoch, milliseconds; bytes of the body.
    """
    method, _, url, _, _ = _asked(exchange)
    server = exchange.server
    if server is None:
        way = "HIER_NONE/-"
    else:
        place = server.url.partition("://")[2] or server.url
        way = f"{'FIRSTUP_PARENT' if server.absolute else 'HIER_DIRECT'}/{_word(place)}"
    return (
        f"{now:.3f} {round(duration * 1e3):6d} {_word(exchange.client or 'unix:')}"
        f" {_squid_code(exchange, method)}/{exchange.status:03d} {exchange.bytes_out}"
        f" {_word(method.decode('latin-1'))} {_word(url)} {_word(exchange.user or '-')} {way} -\n"
    )


def _squid_code(exchange: Exchange, method: bytes) -> str:
    """What Squid calls it."""
    if exchange.error == "http_request_denied":
        return "TCP_DENIED"
    if exchange.error is not None:
        return "TCP_MISS_ABORTED" if exchange.server is not None else "NONE"
    if exchange.status == 101 or (exchange.server is not None and method == b"CONNECT"):
        return "TCP_TUNNEL"
    if exchange.cached == "stale":
        again = exchange.cache_status.fwd_status == 304
        return "TCP_REFRESH_UNMODIFIED" if again else "TCP_REFRESH_MODIFIED"
    return _SQUID_CODES.get(exchange.cached or "", "TCP_MISS" if exchange.server else "NONE")


_SQUID_CODES: Final = {"hit": "TCP_HIT", "collapsed": "TCP_CF_HIT"}
#: By their names in the configuration.
FORMATS: dict[str, Format] = {
    "json": json_line,
    "combined": combined_line,
    "squid": squid_line,
}

_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_USERINFO = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*:/+|//)?[^/?#]*@")
_ODD = re.compile(r'[^ -~]|["\\]')
_ODD_OR_SPACE = re.compile(r'[^!-~]|["\\]')


def _asked(exchange: Exchange) -> tuple[bytes, tuple[int, int], str, bytes | None, str | None]:
    """Method, version, URL, User-Agent and Referer."""
    request = exchange.request
    if request is None:
        return b"-", (1, 1), "-", None, None
    target = exchange.target
    url = request.target.decode("latin-1") if target is None else target.url
    value = request.fields.get
    referer = value(b"referer")
    return (
        request.method,
        request.version,
        _without_userinfo(url),
        value(b"user-agent"),
        None if referer is None else _without_userinfo(referer.decode("latin-1")),
    )


def _without_userinfo(url: str) -> str:
    """Credentials end at the last @ of the authority (RFC 3986 §3.2.1)."""
    return _USERINFO.sub(r"\1", url, count=1) if "@" in url and _USERINFO.match(url) else url


# What comes again and again is kept as JSON, and so is the text of a moment and of a while.
# Members that are side by side, and few in all their combinations, are one.


def _text(text: str | None) -> str:
    return "null" if text is None else _json(text)


@lru_cache(1024)
def _who(client: str, side: str, method: bytes) -> str:
    name = method.decode("latin-1")
    return f',"client":{_json(client or "unix:")},"side":"{side}","method":{_json(name)}'


@lru_cache(1024)
def _outcome(version: tuple[int, int], status: int) -> str:
    return f',"http":"{version[0]}.{version[1]}","status":{status}'


@lru_cache(1024)
def _reasons(cache: str | None, rule: str | None, error: str | None) -> str:
    return f',"cache":{_text(cache)},"rule":{_text(rule)},"error":{_text(error)}'


def _agent(value: bytes | None) -> str:
    if value is None:
        return "null"
    return _kept(value) if len(value) <= _KEPT else _json(value.decode("latin-1"))


@lru_cache(1024)
def _kept(value: bytes) -> str:
    return _json(value.decode("latin-1"))


@lru_cache(4096)
def _seconds(microseconds: int) -> str:
    return repr(microseconds / 1e6)


@lru_cache(8)
def _iso(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    return f"{_date_time(seconds)}.{rest:03}Z"


@lru_cache(8)
def _date_time(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


@lru_cache(8)
def _clf(seconds: int) -> str:
    at = time.gmtime(seconds)
    month = _MONTHS[at.tm_mon - 1]  # strftime's follows the locale
    return time.strftime(f"%d/{month}/%Y:%H:%M:%S +0000", at)


def _quoted(text: str) -> str:
    """As nginx and Apache escape within quotes: ``\\xHH`` for what could end them or the line."""
    return text if _is_plain(text) else _ODD.sub(_escape, text)


def _word(text: str) -> str:
    """Likewise, and without spaces; "-" for nothing."""
    if _is_plain(text) and text and " " not in text:
        return text
    return _ODD_OR_SPACE.sub(_escape, text or "-")


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and '"' not in text and "\\" not in text


def _escape(odd: re.Match[str]) -> str:
    return f"\\x{ord(odd[0]):02X}"


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
    """Takes exchanges on the reactor's thread, all of its methods are for that one.

    The thread that writes is started with the first batch: after twistd's fork.
    """

    def __init__(self, target: Target, format: Format, clock: IReactorTime) -> None:
        self._target = target
        self._format = format
        self._clock = clock
        self._batch: list[str] = []
        self._size = 0  # of the batch, bytes
        self._flush_call: IDelayedCall | None = None
        self._orders: SimpleQueue[tuple[bytes, int] | _Order] = SimpleQueue()
        self._thread: Thread | None = None
        self._closed = False
        # Each figure has one writer, so that none needs a lock. The reactor's:
        self._handed = 0  # bytes
        self._dropped = 0
        self._unmade = 0
        # The thread's:
        self._taken = 0  # bytes
        self._lines = 0
        self._failed = 0
        # Of both, whoever comes last:
        self._error: str | None = None

    def write(self, exchange: Exchange, now: float, duration: float) -> None:
        """Have a line written soon, see `Format`. Never blocks or raises."""
        if self._closed:
            self._dropped += 1
            return
        try:
            line = self._format(exchange, now, duration)
        except Exception as error:
            self._unmade += 1
            self._fault(error)
            return
        self._batch.append(line)
        self._size += len(line)
        if self._size >= BATCH_BYTES:
            self.flush()
        elif self._flush_call is None:
            self._flush_call = self._clock.callLater(BATCH_SECONDS, self._time_is_up)

    def flush(self) -> None:
        """Hand what is collected to the thread; where too much waits for it already, drop that."""
        batch, size = self._batch, self._size
        if not batch:
            return
        self._batch, self._size = [], 0
        if self._handed - self._taken + size > QUEUE_BYTES:
            self._dropped += len(batch)
            return
        self._handed += size
        self._order(("".join(batch).encode("ascii"), len(batch)))

    def _time_is_up(self) -> None:
        # A batch that was full before is no reason to move this: the next only goes earlier.
        self._flush_call = None
        self.flush()

    def reopen(self) -> None:
        """Go on in a new file, after the old one was moved away (log rotation)."""
        self.flush()
        self._order(_Order.REOPEN)

    def close(self) -> bool:
        """Write what is there; False where that took longer than CLOSE_SECONDS and is given up."""
        if self._closed:
            return True
        self.flush()
        if self._flush_call is not None:
            self._flush_call.cancel()
            self._flush_call = None
        self._closed = True
        self._order(_Order.CLOSE)
        assert self._thread is not None
        self._thread.join(CLOSE_SECONDS)
        return not self._thread.is_alive()

    def snapshot(self) -> dict[str, Any]:
        """Lines written, dropped (too many were waiting), failed (the target refused them, last
        with that error, or they could not be made), and the bytes that wait.
        """
        return {
            "lines": self._lines,
            "dropped": self._dropped,
            "failed": self._failed + self._unmade,
            "waiting": self._size + self._handed - self._taken,
            "error": self._error,
        }

    def _order(self, order: tuple[bytes, int] | _Order) -> None:
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

    def _write(self, batch: bytes, lines: int) -> None:
        try:
            self._target.write(batch)
        except Exception:
            self._failed += lines
            raise
        finally:
            self._taken += len(batch)
        self._lines += lines
        if self._error is not None:
            self._error = None
            _log.info("The access log is written again")
