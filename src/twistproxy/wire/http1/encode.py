"""Heads and chunks as bytes (RFC 9112 §4, §7.1)."""

from __future__ import annotations

from http import HTTPStatus

from twistproxy.http.fields import Fields
from twistproxy.http.message import Response


_PHRASES = {status.value: status.phrase.encode() for status in HTTPStatus}


def status_line(response: Response) -> bytes:
    """We speak HTTP/1.1, whatever the server spoke (RFC 9110 §6.2)."""
    reason = response.reason or _PHRASES.get(response.status, b"")
    return b"HTTP/1.1 %d %b\r\n" % (response.status, reason)


def has_length(response: Response, method: bytes) -> bool:
    """Whether a Content-Length would be said of this response's own body (RFC 9110 §8.6)."""
    return method != b"HEAD" and response.status >= 200 and response.status not in (204, 304)


def chunk(data: bytes) -> tuple[bytes, bytes, bytes]:
    """One chunk, in pieces. data: not empty, since that would end the body."""
    return b"%x\r\n" % len(data), data, b"\r\n"


def last_chunk(trailers: Fields | None) -> bytes:
    """The end of a chunked body."""
    if trailers:
        return b"0\r\n" + trailers.encode() + b"\r\n"
    return b"0\r\n\r\n"
