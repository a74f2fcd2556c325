"""Requests and responses as values: what a head says, free of how it came (RFC 9110 §3.4, §6)."""

from __future__ import annotations

from twistproxy.http.fields import Fields

#: Methods whose repetition does no more than one (RFC 9110 §9.2.2).
IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"QUERY", b"TRACE", b"PUT", b"DELETE"})
#: Methods that ask for no change (RFC 9110 §9.2.1), also QUERY with its body
#: (draft-ietf-httpbis-safe-method-w-body §2).
SAFE = frozenset({b"GET", b"HEAD", b"OPTIONS", b"QUERY", b"TRACE"})


class Request:
    """The head of a request. ``target`` is as received (RFC 9112 §3.2), ``version`` (1, 1)."""

    __slots__ = ("fields", "method", "target", "version")

    def __init__(
        self,
        method: bytes,
        target: bytes,
        fields: Fields,
        version: tuple[int, int] = (1, 1),
    ) -> None:
        self.method = method
        self.target = target
        self.fields = fields
        self.version = version

    def __repr__(self) -> str:
        path, mark, _ = self.target.decode("latin-1").partition("?")  # a query may hold secrets
        return f"<Request {self.method.decode('latin-1')} {path}{mark and '?…'}>"


class Response:
    """The head of a response. An empty ``reason`` is sent as the usual phrase."""

    __slots__ = ("fields", "reason", "status", "version")

    def __init__(
        self,
        status: int,
        fields: Fields,
        reason: bytes = b"",
        version: tuple[int, int] = (1, 1),
    ) -> None:
        self.status = status
        self.fields = fields
        self.reason = reason
        self.version = version

    def __repr__(self) -> str:
        return f"<Response {self.status}>"
