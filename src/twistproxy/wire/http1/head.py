"""One head, from bytes to a value: llhttp is the tokenizer, the fence here decides.

The start line is ours, since llhttp knows a fixed list of methods and lets through what others
read differently. The field section is llhttp's: it gets it behind the start line of a response
that has no body whatever its fields say, so that it never acts on what it reads. One parser a
section, so that nothing of one message can colour the next. Trailers are a section too.
"""

from __future__ import annotations

import re
from typing import Final

import httptools

from twistproxy.config.model import Limits
from twistproxy.http import errors
from twistproxy.http.errors import Problem
from twistproxy.http.fields import Fields
from twistproxy.http.message import Request, Response

END: Final = b"\r\n\r\n"

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
    end = head.index(b"\r\n")
    line = request_line(head[:end], limits)
    if isinstance(line, Problem):
        return line
    if len(head) > limits.head:
        return errors.HEAD_TOO_LARGE.about(limit=f"{limits.head} bytes")
    fields = section(head[end + 2 :], limits)
    if not isinstance(fields, Fields):
        if fields == _TOO_MANY:
            return errors.HEAD_TOO_LARGE.about(limit=f"{limits.fields} fields")
        return _bad(fields)
    method, target, version = line
    hosts = fields.all(b"host")
    if len(hosts) > 1 or (not hosts and version == (1, 1)):
        return _bad("exactly one Host field is needed")  # RFC 9112 §3.2
    if hosts and not _HOST.fullmatch(hosts[0]):
        return _bad("the Host field is not a host")
    return Request(method, target, fields, version)


def request_line(line: bytes, limits: Limits) -> tuple[bytes, bytes, tuple[int, int]] | Problem:
    """Method, target and version of a request line (RFC 9112 §3)."""
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        return _bad("the request line is not METHOD TARGET HTTP/1.1")
    method, target, major, minor = match.groups()
    version = _VERSIONS.get((major, minor))
    if version is None:
        return errors.VERSION_NOT_SUPPORTED
    if len(target) > limits.uri:
        return errors.URI_TOO_LONG.about(limit=limits.uri)
    return method, target, version


def response(head: bytes, limits: Limits) -> Response | Problem:
    """A response's head, its closing empty line included."""
    end = head.index(b"\r\n")
    match = _STATUS_LINE.fullmatch(head[:end])
    if match is None:
        return _bad_response("the status line is not HTTP/1.1 STATUS REASON")
    fields = section(head[end + 2 :], limits)
    if not isinstance(fields, Fields):
        if fields == _TOO_MANY:
            return errors.RESPONSE_HEAD_TOO_LARGE.about(limit=f"{limits.fields} fields")
        return _bad_response(fields)
    minor, status, reason = match.groups()
    return Response(int(status), fields, reason or b"", (1, int(minor)))


def section(lines: bytes, limits: Limits) -> Fields | str:
    """The fields of a section that ends with an empty line, or why they can't be read."""
    # llhttp reads one more field a line at the most: no need to read to know there are too many.
    if lines.count(b"\r\n") - 1 > limits.fields:
        return _TOO_MANY
    collector = _Collector()
    try:
        httptools.HttpResponseParser(collector).feed_data(_NO_BODY + lines)
    except httptools.HttpParserError as error:
        why = str(error) or "the fields are malformed"
        return why[0].lower() + why[1:]
    if not collector.complete:
        return "the fields do not end where they should"
    return collector.fields


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

    __slots__ = ("complete", "fields")

    def __init__(self) -> None:
        self.fields = Fields()
        self.complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.add(name, value.rstrip(b" \t"))

    def on_message_complete(self) -> None:
        self.complete = True


def _bad(why: str) -> Problem:
    return errors.BAD_REQUEST.about(why=why)


def _bad_response(why: str) -> Problem:
    return errors.BAD_RESPONSE.about(why=why)
