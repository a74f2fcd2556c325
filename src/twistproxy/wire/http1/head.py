"""One head, from bytes to a value: llhttp is the tokenizer, the fence here decides.

The start line is ours, since llhttp knows a fixed list of methods and lets through what others
read differently. The field lines are llhttp's: it gets each behind the start line of a response
that has no body whatever its fields say, so that it never acts on what it reads. One parser a
line, so that nothing of one line can colour another. Trailers are a section too.

Most lines of a head were there before: a peer says who it is and what it takes in the same words
each time. What llhttp made of a line is remembered, as HPACK does it for HTTP/2 (RFC 7541 §2.3.2).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import httptools

from twistproxy.config.model import Limits
from twistproxy.http import errors
from twistproxy.http.errors import Problem
from twistproxy.http.fields import Fields, Line, line
from twistproxy.http.message import Request, Response

END: Final = b"\r\n\r\n"

#: Lines that are remembered, of up to so many bytes each: a megabyte or two in all.
LINES_KEPT: Final = 4096
_LINE_MAX: Final = 200
#: Start lines and hosts up to so many bytes are remembered, too.
_START_KEPT: Final = 256
#: Not these: they are secrets, or seldom come twice.
_NOT_KEPT: Final = frozenset(
    {b"authorization", b"cookie", b"proxy-authorization", b"set-cookie", b"x-request-id"}
)

#: Bytes of a method: longer ones are nobody's, and it is what a first line has beside its target.
_METHOD_MAX: Final = 64
_TOKEN = rb"[!#$%%&'*+\-.^_`|~0-9A-Za-z]{1,%d}" % _METHOD_MAX  # RFC 9110 §5.6.2
_REQUEST_LINE = re.compile(rb"(%b) ([\x21-\x7e\x80-\xff]+) HTTP/([0-9])\.([0-9])" % _TOKEN)
_METHOD_BEGUN = re.compile(rb"%b(?: |\Z)" % _TOKEN)
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?")
# A Host is a host and a port, nothing else: RFC 9110 §7.2. What it means is uri's business.
_HOST = re.compile(
    rb"[!$&'()*+;=\-._~%0-9A-Za-z\x80-\xff]*(?::[0-9]*)?|\[[0-9A-Fa-f:.]+\](?::[0-9]*)?"
)
_NO_BODY = b"HTTP/1.1 204 \r\n"
_VERSIONS = {(b"1", b"1"): (1, 1), (b"1", b"0"): (1, 0)}
_TOO_MANY: Final = "too many fields"


def request(head: bytes, limits: Limits) -> Request | Problem:
    """A request's head, its closing empty line included."""
    first, _, lines = head.partition(b"\r\n")
    line = request_line(first, limits)
    if isinstance(line, Problem):
        return line
    if len(head) > limits.head:
        return errors.HEAD_TOO_LARGE.about(limit=f"{limits.head} bytes")
    fields = section(lines, limits)
    if not isinstance(fields, Fields):
        if fields == _TOO_MANY:
            return errors.HEAD_TOO_LARGE.about(limit=f"{limits.fields} fields")
        return _bad(fields)
    method, target, version = line
    host = fields.get(b"host")
    if host is None:
        if version == (1, 1):
            return _bad("exactly one Host field is needed")  # RFC 9112 §3.2
    elif not (_is_host(host) if len(host) <= _START_KEPT else _is_host.__wrapped__(host)):
        several = len(fields.all(b"host")) > 1
        return _bad(
            "exactly one Host field is needed" if several else "the Host field is not a host"
        )
    return Request(method, target, fields, version)


def request_line(line: bytes, limits: Limits) -> tuple[bytes, bytes, tuple[int, int]] | Problem:
    """Method, target and version of a request line (RFC 9112 §3)."""
    read = _request_line(line) if len(line) <= _START_KEPT else _request_line.__wrapped__(line)
    if isinstance(read, tuple) and len(read[1]) > limits.uri:
        return errors.URI_TOO_LONG.about(limit=limits.uri)
    return read


@lru_cache(1024)
def _request_line(line: bytes) -> tuple[bytes, bytes, tuple[int, int]] | Problem:
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        return _bad("the request line is not METHOD TARGET HTTP/1.1")
    method, target, major, minor = match.groups()
    version = _VERSIONS.get((major, minor))
    return errors.VERSION_NOT_SUPPORTED if version is None else (method, target, version)


@lru_cache(1024)
def _is_host(value: bytes) -> bool:
    return _HOST.fullmatch(value) is not None


def response(head: bytes, limits: Limits) -> Response | Problem:
    """A response's head, its closing empty line included."""
    first, _, lines = head.partition(b"\r\n")
    line = _status_line(first) if len(first) <= _START_KEPT else _status_line.__wrapped__(first)
    if line is None:
        return _bad_response("the status line is not HTTP/1.1 STATUS REASON")
    fields = section(lines, limits)
    if not isinstance(fields, Fields):
        if fields == _TOO_MANY:
            return errors.RESPONSE_HEAD_TOO_LARGE.about(limit=f"{limits.fields} fields")
        return _bad_response(fields)
    status, reason, version = line
    return Response(status, fields, reason, version)


@lru_cache(256)
def _status_line(line: bytes) -> tuple[int, bytes, tuple[int, int]] | None:
    """Status, reason phrase and version (RFC 9112 §4)."""
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        return None
    minor, status, reason = match.groups()
    return int(status), reason or b"", (1, int(minor))


def section(lines: bytes, limits: Limits) -> Fields | str:
    """The fields of a section that ends with an empty line, or why they can't be read."""
    raws = lines.split(b"\r\n")
    del raws[-2:]  # the empty line, and what is behind it: nothing
    if len(raws) > limits.fields:
        return _TOO_MANY
    known = _known
    found = [known.get(raw) for raw in raws]
    if None in found:
        for place, raw in enumerate(raws):
            if found[place] is None:
                line = _line(raw)
                if isinstance(line, str):
                    return line
                found[place] = line
    return Fields.of(found)  # type: ignore[arg-type]  # no None is left


def lines_kept() -> int:
    """How many lines are remembered now; never more than `LINES_KEPT`."""
    return len(_known)


_known: dict[bytes, Line] = {}


def _line(raw: bytes) -> Line | str:
    """A field line, or why it can't be read."""
    if b"\r" in raw or b"\n" in raw:
        return "a line does not end with CRLF"
    collector = _Collector()
    try:
        httptools.HttpResponseParser(collector).feed_data(b"%b%b\r\n\r\n" % (_NO_BODY, raw))
    except httptools.HttpParserError as error:
        why = str(error) or "the fields are malformed"
        return why[0].lower() + why[1:]
    if not collector.complete or len(collector.lines) != 1:
        return "the fields are malformed"
    found = collector.lines[0]
    if len(raw) <= _LINE_MAX and found[0] not in _NOT_KEPT:
        if len(_known) >= LINES_KEPT:
            _known.clear()
        _known[raw] = found
    return found


class Unfinished:
    """A head, or trailers, whose end has not come: what is wrong with it already.

    So that nobody waits for the rest of what can't become one. Each method takes all that has
    come so far and looks at each byte once: a head that comes a byte at a time must not cost
    the square of its length.
    """

    __slots__ = ("_lines", "_seen")

    def __init__(self) -> None:
        self._seen = 0  # never between a CR and its LF
        self._lines = 0

    def end(self, data: bytes) -> int:
        """Where the empty line that ends it begins (at `END`); -1 while that has not come."""
        return data.find(END, max(0, self._seen - 3))

    def request(self, data: bytes, limits: Limits) -> Problem | None:
        """Of a request's head."""
        first = not self._lines
        if first and not _METHOD_BEGUN.match(data[: _METHOD_MAX + 1]):
            return _bad("this is no HTTP request")
        if not self._takes_in(data):
            return _bad("a line does not end with CRLF")
        if not self._lines:
            if len(data) > _METHOD_MAX + limits.uri + len("  HTTP/1.1\r"):
                return errors.URI_TOO_LONG.about(limit=limits.uri)
        elif first:
            line = request_line(data[: data.index(b"\r\n")], limits)
            if isinstance(line, Problem):
                return line
        if len(data) > limits.head:
            return errors.HEAD_TOO_LARGE.about(limit=f"{limits.head} bytes")
        if self._lines - 1 > limits.fields:
            return errors.HEAD_TOO_LARGE.about(limit=f"{limits.fields} fields")
        return None

    def response(self, data: bytes, limits: Limits) -> Problem | None:
        """Of a response's head, but for its size, which counts with those before it."""
        first, begin = not self._lines, b"HTTP/1."
        if data[:7] != begin[: len(data)] or not self._takes_in(data):
            return _bad_response("it is not HTTP")
        if first and self._lines and not _STATUS_LINE.fullmatch(data[: data.index(b"\r\n")]):
            return _bad_response("the status line is not HTTP/1.1 STATUS REASON")
        if self._lines - 1 > limits.fields:
            return errors.RESPONSE_HEAD_TOO_LARGE.about(limit=f"{limits.fields} fields")
        return None

    def trailers(self, data: bytes, limits: Limits) -> str | None:
        """Of trailers."""
        if not self._takes_in(data):
            return "a line of the trailers does not end with CRLF"
        if len(data) > limits.head or self._lines > limits.fields:
            return "the trailers do not end"
        return None

    def _takes_in(self, data: bytes) -> bool:
        """Whether no CR or LF stands alone; a CR at the end may get its LF yet."""
        start, end = self._seen, len(data) - data.endswith(b"\r")
        lines = data.count(b"\r\n", start, end)
        self._lines += lines
        self._seen = end
        return lines == data.count(b"\r", start, end) == data.count(b"\n", start, end)


class _Collector:
    """What llhttp calls back. Values lose the white space behind them (RFC 9112 §5.1)."""

    __slots__ = ("complete", "lines")

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.lines.append(line(name, value.rstrip(b" \t")))

    def on_message_complete(self) -> None:
        self.complete = True


def _bad(why: str) -> Problem:
    return errors.BAD_REQUEST.about(why=why)


def _bad_response(why: str) -> Problem:
    return errors.BAD_RESPONSE.about(why=why)
