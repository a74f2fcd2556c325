"""Heads and chunks as bytes (RFC 9112 §4, §7.1)."""

from __future__ import annotations

from http import HTTPStatus

from twistproxy.http.fields import Fields
from twistproxy.http.message import Request, Response

_LENGTH = frozenset({b"content-length"})
_PHRASES = {status.value: status.phrase.encode() for status in HTTPStatus}


def request_head(request: Request, chunked: bool) -> bytes:
    """In HTTP/1.1, whatever the client spoke. chunked: how its body is framed."""
    coding = b"Transfer-Encoding: chunked\r\n" if chunked else b""
    lines = request.fields.encode()
    return b"%b %b HTTP/1.1\r\n%b%b\r\n" % (request.method, request.target, lines, coding)


def response_lines(response: Response, method: bytes) -> bytes:
    """A response's head without its closing empty line; in HTTP/1.1, whatever the server spoke.

    method: of the request. A length is not said where none may be (RFC 9110 §8.6): somebody
    would wait for the body.
    """
    status, fields = response.status, response.fields
    if status < 200 or status == 204 or (method == b"CONNECT" and status < 300):
        fields = fields.without(_LENGTH)
    reason = response.reason or _PHRASES.get(status, b"")
    return b"HTTP/1.1 %d %b\r\n%b" % (status, reason, fields.encode())


def has_body(response: Response, method: bytes) -> bool:
    """Whether a body follows this final response's head, perhaps an empty one (RFC 9112 §6.3)."""
    return method != b"HEAD" and response.status not in (204, 304)


def chunk(data: bytes) -> tuple[bytes, bytes, bytes]:
    """One chunk, in pieces. data: not empty, since that would end the body."""
    return b"%x\r\n" % len(data), data, b"\r\n"


def last_chunk(trailers: Fields | None) -> bytes:
    """The end of a chunked body."""
    return b"0\r\n%b\r\n" % (trailers.encode() if trailers else b"")
