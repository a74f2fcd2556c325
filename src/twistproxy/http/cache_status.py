"""The Cache-Status field (RFC 9211): what our cache did with a request, in one list member."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from twistproxy.http.fields import Fields, Line, line

_TOKEN = re.compile(r"[A-Za-z*][!#$%&'*+\-.^_`|~:/0-9A-Za-z]*")  # RFC 9651 §3.3.4
_UNPRINTABLE = re.compile(r"[^ -~]")


class CacheStatus(NamedTuple):
    """One cache's account of one request.

    Either ``hit``, or ``fwd`` says why the request went on (RFC 9211 §2.2): "bypass", "method",
    "uri-miss", "vary-miss", "request", "stale". ttl: seconds of freshness left, negative when
    stale. The cache key is never told: it would name pools.
    """

    hit: bool = False
    fwd: str | None = None
    fwd_status: int | None = None
    ttl: int | None = None
    stored: bool = False
    collapsed: bool = False
    detail: str | None = None

    def encode(self, cache: bytes = b"twistproxy") -> bytes:
        """The list member. cache: our name in it, a token."""
        parts = [cache]
        if self.hit:
            parts.append(b"hit")
        elif self.fwd is not None:
            parts.append(b"fwd=%b" % self.fwd.encode("ascii"))
            if self.fwd_status is not None:
                parts.append(b"fwd-status=%d" % self.fwd_status)
        if self.ttl is not None:
            parts.append(b"ttl=%d" % self.ttl)
        if self.stored:
            parts.append(b"stored")
        if self.collapsed:
            parts.append(b"collapsed")
        if self.detail is not None:
            parts.append(b"detail=" + _token_or_string(self.detail))
        return b"; ".join(parts)

    def append_to(self, fields: Fields, cache: bytes = b"twistproxy") -> None:
        """Add us after the caches nearer to the origin, whose members stay (RFC 9211 §2)."""
        fields.append(_line(self, cache))


@lru_cache(512)  # few differ, but for the seconds
def _line(status: CacheStatus, cache: bytes) -> Line:
    return line(b"Cache-Status", status.encode(cache))


def _token_or_string(text: str) -> bytes:
    if _TOKEN.fullmatch(text):
        return text.encode("ascii")
    text = _UNPRINTABLE.sub("?", text).replace("\\", "\\\\").replace('"', '\\"')
    return b'"%b"' % text.encode("ascii")
