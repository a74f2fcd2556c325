"""The Cache-Status field (RFC 9211): what our cache did with a request, in one list member."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from twistproxy.http.fields import Fields, Line, line

#: Why a request goes on to a server (RFC 9211 §2.2): the cache has nothing to do with it
#: (bypass, method), has nothing for it (uri-miss, vary-miss, miss where it isn't known which, only
#: a part: partial), or something that is too old for it (stale), or that the client doesn't want
#: (request).
FORWARDED = frozenset(
    {"bypass", "method", "uri-miss", "vary-miss", "miss", "request", "stale", "partial"}
)

_TOKEN = re.compile(r"[A-Za-z*][!#$%&'*+\-.^_`|~:/0-9A-Za-z]*")  # RFC 9651 §3.3.4
_UNPRINTABLE = re.compile(r"[^ -~]")


class CacheStatus(NamedTuple):
    """One cache's account of one request.

    Either ``hit``, or ``fwd`` says why the request went on: one of `FORWARDED`. fwd_status: of the
    server's answer. ttl: seconds of freshness left, negative when stale. stored: what came was
    kept. collapsed: it was asked for by another request's fetch. key: the cache key, for those who
    may know it only, since it names pools. detail: what else there is to say; nothing secret.
    """

    hit: bool = False
    fwd: str | None = None
    fwd_status: int | None = None
    ttl: int | None = None
    stored: bool = False
    collapsed: bool = False
    detail: str | None = None
    key: str | None = None

    def encode(self, cache: bytes = b"twistproxy") -> bytes:
        """The list member. cache: our name in it, a token."""
        parts = [cache]
        if self.hit:
            parts.append(b"hit")
        elif self.fwd is not None:
            parts.append(b"fwd=%b" % self.fwd.encode("ascii"))
            if self.fwd_status is not None:
                parts.append(b"fwd-status=%d" % self.fwd_status)
            if self.collapsed:
                parts.append(b"collapsed")
        if self.ttl is not None:
            parts.append(b"ttl=%d" % self.ttl)
        if self.stored:
            parts.append(b"stored")
        if self.key is not None:
            parts.append(b"key=" + _string(self.key))
        if self.detail is not None:
            parts.append(b"detail=" + _token_or_string(self.detail))
        return b"; ".join(parts)

    def append_to(self, fields: Fields, cache: bytes = b"twistproxy") -> None:
        """Add us after the caches nearer to the origin, whose members stay (RFC 9211 §2)."""
        fields.append(_line(self, cache))


@lru_cache(512)
def went_on(
    fwd: str | None, detail: str | None, fwd_status: int | None = None, stored: bool = False
) -> CacheStatus:
    """Why a request went on, and what came of it: few differ, so each is made once."""
    return CacheStatus(fwd=fwd, detail=detail, fwd_status=fwd_status, stored=stored)


@lru_cache(512)  # few differ, but for the seconds
def _line(status: CacheStatus, cache: bytes) -> Line:
    return line(b"Cache-Status", status.encode(cache))


def _token_or_string(text: str) -> bytes:
    if _TOKEN.fullmatch(text):
        return text.encode("ascii")
    return _string(text)


def _string(text: str) -> bytes:
    text = _UNPRINTABLE.sub("?", text).replace("\\", "\\\\").replace('"', '\\"')
    return b'"%b"' % text.encode("ascii")
