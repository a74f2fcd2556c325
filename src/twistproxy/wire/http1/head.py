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

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # RFC 9110 §5.6.2
_REQUEST_LINE = re.compile(rb"(%b) ([\x21-\x7e\x80-\xff]+) HTTP/([0-9])\.([0-9])" % _TOKEN)
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*))?")
_METHOD_START = re.compile(rb"(?:\r?\n?)[!#$%&'*+\-.^_`|~0-9A-Za-z]*(?: |$)")
# A Host is a host and a port, nothing else: RFC 9110 §7.2. What it means is uri's business.
_HOST = re.compile(
    rb"[!$&'()*+;=\-._~%0-9A-Za-z\x80-\xff]*(?::[0-9]*)?|\[[0-9A-Fa-f:.]+\](?::[0-9]*)?"
)
_NO_BODY = b"HTTP/1.1 204 \r\n"
_VERSIONS = {(b"1", b"1"): (1, 1), (b"1", b"0"): (1, 0)}


def request(head: bytes, limits: Limits) -> Request | Problem:
    """A request's head, its closing empty line included."""
    end = head.index(b"\r\n")
    line = request_line(head[:end], limits)
    if isinstance(line, Problem):
        return line
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
        return errors.BAD_RESPONSE.about(why="the status line is not HTTP/1.1 STATUS REASON")
    fields = section(head[end + 2 :], limits)
    if not isinstance(fields, Fields):
        if fields == _TOO_MANY:
            return errors.RESPONSE_HEAD_TOO_LARGE.about(limit=f"{limits.fields} fields")
        return errors.BAD_RESPONSE.about(why=fields)
    minor, status, reason = match.groups()
    return Response(int(status), fields, reason or b"", (1, int(minor)))


def may_begin_response(data: bytes) -> bool:
    """Whether a head whose end has not come can still become one."""
    begin = b"HTTP/1."
    return data[:7] == begin[: len(data)] and _whole_lines(data, 0)


_TOO_MANY: Final = "too many fields"


def section(lines: bytes, limits: Limits) -> Fields | str:
    """The fields of a section that ends with an empty line, or why they can't be read."""
    # llhttp reads one more field a line at the most: no need to read to know there are too many.
    if lines.count(b"\r\n") - 1 > limits.fields:
        return _TOO_MANY
    collector = _Collector()
    try:
        httptools.HttpResponseParser(collector).feed_data(_NO_BODY + lines)
    except httptools.HttpParserError as error:
        return str(error)[0].lower() + str(error)[1:]
    if not collector.complete:
        return "the fields do not end where they should"
    return collector.fields


def unfinished(data: bytes, start: int, limits: Limits) -> Problem | None:
    """What is wrong already with a request's head whose end has not come.

    start: where the bytes begin that were not looked at before. So that nobody waits for the
    rest of what can't become a request.
    """
    if not start and not _METHOD_START.match(data[:64]):
        return _bad("this is no HTTP request")
    fresh = max(0, start - 1)
    if not _whole_lines(data, fresh):
        return _bad("a line does not end with CRLF")
    line_end = data.find(b"\r\n")
    if line_end < 0:
        if len(data) > limits.uri + 256:  # the longest method that we wait for, and the version
            return errors.URI_TOO_LONG.about(limit=limits.uri)
    elif line_end >= fresh:
        line = request_line(data[:line_end], limits)
        if isinstance(line, Problem):
            return line
    if len(data) > limits.head:
        return errors.HEAD_TOO_LARGE.about(limit=f"{limits.head} bytes")
    return None


def _whole_lines(data: bytes, start: int) -> bool:
    """Whether no CR or LF stands alone from start on; a CR at the end may get its LF yet."""
    pairs = data.count(b"\r\n", start)
    returns = data.count(b"\r", start) - data.endswith(b"\r")
    feeds = data.count(b"\n", start)
    if start and data[start : start + 1] == b"\n" and data[start - 1 : start] == b"\r":
        feeds -= 1
    return pairs == returns == feeds


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
