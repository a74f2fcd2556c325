"""Where a message's body ends (RFC 9112 §6), decided so that nobody can read it otherwise.

Stricter than the RFC's recipients have to be: whatever two implementations are known to read
differently is refused, never repaired.
"""

from __future__ import annotations

from typing import Final

from twistproxy.http import errors
from twistproxy.http.errors import Problem
from twistproxy.http.fields import Fields
from twistproxy.http.message import Request, Response

#: In the place of a length: the body comes in chunks (§7.1), or lasts until the close (§6.3).
CHUNKED: Final = -1
UNTIL_CLOSE: Final = -2

# More than any disk holds, and still a machine word everywhere.
_DIGITS: Final = 18

_VERSIONS_OF_HTTP: Final = (b"http", b"h2", b"h2c")

#: What may not come after a body, since it was needed before it (RFC 9110 §6.5.1).
NOT_IN_TRAILERS: Final = frozenset(
    b"""age authorization cache-control connection content-encoding content-length content-range
    content-type cookie date expect expires forwarded host if-match if-modified-since
    if-none-match if-range if-unmodified-since keep-alive location max-forwards pragma
    proxy-authenticate proxy-authorization proxy-connection range retry-after server set-cookie te
    trailer transfer-encoding upgrade vary via warning www-authenticate x-forwarded-for
    x-forwarded-host x-forwarded-port x-forwarded-proto x-forwarded-server x-forwarded-ssl
    x-powered-by x-real-ip""".split()
)


def request_framing(request: Request) -> int | Problem:
    """The length of a request's body, or CHUNKED (RFC 9112 §6.3)."""
    fields = request.fields.combined
    coding = fields.get(b"transfer-encoding")
    length = fields.get(b"content-length")
    if coding is None and length is None:
        # HTTP/1.0 has no other way to say how long a body is (RFC 1945 §7.2.2).
        if request.version == (1, 0) and request.method in (b"POST", b"PUT"):
            return errors.LENGTH_REQUIRED
        return 0
    if request.method in (b"CONNECT", b"TRACE"):
        return _bad(f"{request.method.decode()} has no body")
    if coding is None:
        assert length is not None
        return int(length) if _is_length(length) else _bad("Content-Length is no number")
    if length is not None:
        return _bad("both Content-Length and Transfer-Encoding")
    if request.version == (1, 0):
        return _bad("Transfer-Encoding in HTTP/1.0")
    if coding.lower() == b"chunked":
        return CHUNKED
    codings = request.fields.tokens(b"transfer-encoding")
    if codings[-1:] != [b"chunked"] or b"chunked" in codings[:-1]:
        return _bad("chunked is not the last transfer coding, once")  # §6.3 rule 4
    return errors.UNKNOWN_CODING


def response_framing(response: Response, method: bytes) -> int | Problem:
    """The length of a final response's body, CHUNKED or UNTIL_CLOSE (RFC 9112 §6.3)."""
    fields = response.fields.combined
    coding = fields.get(b"transfer-encoding")
    length = fields.get(b"content-length")
    if length is not None:
        if coding is not None:
            return errors.BAD_RESPONSE.about(why="both Content-Length and Transfer-Encoding")
        if not _is_length(length):
            return errors.BAD_RESPONSE.about(why="Content-Length is no number")
    if coding is not None and (response.version == (1, 0) or coding.lower() != b"chunked"):
        return errors.RESPONSE_CODING
    if method == b"HEAD" or response.status in (204, 304):
        return 0
    if method == b"CONNECT" and 200 <= response.status < 300:
        return 0
    if coding is not None:
        return CHUNKED
    return UNTIL_CLOSE if length is None else int(length)


def keeps_alive(version: tuple[int, int], fields: Fields) -> bool:
    """Whether the sender of this head will use the connection again (RFC 9112 §9.3)."""
    value = fields.get(b"connection")
    if value is None:
        return version >= (1, 1)
    if value == b"keep-alive":
        return True
    options = fields.tokens(b"connection")
    if version >= (1, 1):
        return b"close" not in options
    return b"keep-alive" in options and b"close" not in options


def wants_upgrade(request: Request) -> bool:
    """Whether an Upgrade is asked for that a proxy may pass on (RFC 9110 §7.8).

    Not with a body, which the two sides could frame differently, and not to another version of
    HTTP: a tunnel of requests past every rule (RFC 9113 §3.1 took that upgrade out).
    """
    fields = request.fields
    if b"upgrade" not in fields.combined:
        return False
    protocols = {token.partition(b"/")[0] for token in fields.tokens(b"upgrade")}
    return (
        bool(protocols)
        and request.version == (1, 1)
        and b"upgrade" in fields.tokens(b"connection")
        and b"content-length" not in fields
        and b"transfer-encoding" not in fields
        and protocols.isdisjoint(_VERSIONS_OF_HTTP)
    )


def takes_upgrade(request: Request, response: Response) -> bool:
    """Whether a 101 switches to what was asked for (RFC 9110 §7.8): each protocol that it names,
    at least one, was offered."""
    offered = request.fields.tokens(b"upgrade")
    taken = response.fields.tokens(b"upgrade")
    return bool(taken) and all(protocol in offered for protocol in taken)


def _is_length(value: bytes) -> bool:
    return value.isdigit() and len(value) <= _DIGITS


def _bad(why: str) -> Problem:
    return errors.BAD_REQUEST.about(why=why)
