"""Fields that belong to one connection only, and the marks a request collects on its way.

What speaks of a connection stays on it (RFC 9110 §7.6.1); `Via` (§7.6.3) and `Max-Forwards`
(§7.6.2) tell how far a request has come.
"""

from __future__ import annotations

from functools import lru_cache

from twistproxy.http.fields import Fields, Line, line

_CONNECTION = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"transfer-encoding",
        b"upgrade",
    }
)
_REQUEST = _CONNECTION | {b"proxy-authorization"}
# A challenge is for whoever talks to the proxy that makes it (§11.7.1). We never pass the answer
# on, so we don't pass the question on either, not even with a 407: the client would send its
# credentials for us to somebody else, or be asked without end.
_RESPONSE = _CONNECTION | {b"proxy-authenticate", b"proxy-authentication-info"}

#: Fields that `Connection` can't take away. They are meant for everybody on the way (§7.6.1: a
#: sender must not nominate them); without them a server or a cache would judge another request
#: or response than we did: unframed, misrouted, anonymous, storable. Nominating them is an attack.
END_TO_END = frozenset(
    b"age allow authorization cache-control cache-status cdn-cache-control content-encoding"
    b" content-length content-location content-range content-security-policy content-type cookie"
    b" date etag expect expires forwarded host if-match if-modified-since if-none-match if-range"
    b" if-unmodified-since last-modified location max-forwards origin pragma proxy-status range"
    b" referer retry-after server-timing set-cookie strict-transport-security surrogate-control"
    b" trailer twistproxy-cache-control vary via www-authenticate x-forwarded-for"
    b" x-forwarded-host x-forwarded-proto x-request-id".split()
)

#: Protocols that no `Upgrade` leads to: HTTP inside the tunnel would pass policy and cache unseen.
_NOT_BY_UPGRADE = frozenset({b"h2c", b"h2", b"http"})
_ORDINARY = frozenset({b"keep-alive", b"close", b"Keep-Alive", b"Close"})


def request_fields(
    fields: Fields, keep_upgrade: bool, also: frozenset[bytes] = frozenset()
) -> Fields:
    """A copy of a request's fields as the next hop may see them.

    keep_upgrade: the upgrade is offered on; `Upgrade` stays, without other versions of HTTP, and
    ``Connection: Upgrade`` with it (§7.8). `Trailer` is kept, as the trailers are.
    also: names of further fields that are left out.
    """
    return _forwarded(fields, _both(_REQUEST, also) if also else _REQUEST, keep_upgrade)


def response_fields(
    fields: Fields, keep_upgrade: bool, also: frozenset[bytes] = frozenset()
) -> Fields:
    """A copy of a response's fields as the client may see them.

    keep_upgrade: this is the 101 that takes an upgrade which was offered on.
    also: names of further fields that are left out.
    """
    return _forwarded(fields, _both(_RESPONSE, also) if also else _RESPONSE, keep_upgrade)


@lru_cache(8)
def _both(one: frozenset[bytes], other: frozenset[bytes]) -> frozenset[bytes]:
    return one | other


def _forwarded(fields: Fields, dropped: frozenset[bytes], keep_upgrade: bool) -> Fields:
    options = fields.get(b"connection")
    if options is not None and options not in _ORDINARY:
        dropped = dropped | (frozenset(fields.tokens(b"connection")) - END_TO_END)
    kept = fields.without(dropped)
    if keep_upgrade and (protocols := _upgrade(fields)):
        kept.add(b"Connection", b"Upgrade")
        kept.add(b"Upgrade", protocols)
    return kept


def _upgrade(fields: Fields) -> bytes:
    protocols = [part.strip(b" \t") for part in (fields.get(b"upgrade") or b"").split(b",")]
    return b", ".join(
        protocol
        for protocol in protocols
        if protocol and protocol.lower().partition(b"/")[0] not in _NOT_BY_UPGRADE
    )


@lru_cache(16)
def via(version: tuple[int, int], pseudonym: bytes) -> Line:
    """What to append to a message of this HTTP version that came through us (RFC 9110 §7.6.3).

    pseudonym: a token without dots and colons, which no host has, so that it can't be mistaken
    for one.
    """
    return line(b"Via", b"%d.%d %b" % (*version, pseudonym))


def names_us(fields: Fields, pseudonym: bytes) -> bool:
    """Whether the message came through us before.

    Commas end an element within comments too. A comment that names us is then a false alarm,
    which hits its sender only; while an unclosed one can't hide what proxies after it append.
    """
    value = fields.get(b"via")
    if value is None or pseudonym.lower() not in value.lower():
        return False
    return any(
        len(words) > 1 and words[1] == pseudonym.lower()
        for words in (element.split() for element in value.lower().split(b","))
    )


def max_forwards(fields: Fields) -> int | None:
    """How many more proxies may pass the request on; None without the field or malformed.

    It counts for TRACE and OPTIONS only (RFC 9110 §7.6.2).
    """
    value = fields.get(b"max-forwards")
    if value is None or not value.isdigit():
        return None
    digits = value.lstrip(b"0")
    return int(digits or b"0") if len(digits) < 10 else 10**9  # as good as no limit
