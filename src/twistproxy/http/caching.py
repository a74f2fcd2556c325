"""What a shared cache may keep, and what it forgets (RFC 9111 §3, §4.4), as pure functions.

Beside it: `directives` (what is said to caches), `freshness` (how long, and when stale),
`variants` (Vary), `conditional` (validation), `ranges` (parts). Whatever is malformed, doubled or
contradictory is read so that less is stored and less is reused. Nothing here raises.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from hashlib import blake2b
from typing import Final, NamedTuple
from urllib.parse import urldefrag, urljoin, urlsplit

from twistproxy.http.dates import format_date, parse_date
from twistproxy.http.directives import (
    FOREVER,
    NOTHING_ASKED,
    RequestDirectives,
    ResponseDirectives,
    request_directives,
    response_directives,
)
from twistproxy.http.fields import Fields
from twistproxy.http.freshness import (
    ERRORS,
    HEURISTIC,
    HEURISTIC_MAX,
    NEGATIVE,
    Freshness,
    freshness,
    is_explicit,
    lifetime_of,
    must_forward,
    stale_forbidden,
    stale_if_error,
    stale_if_unreachable,
    stale_while_revalidate,
)
from twistproxy.http.hops import response_fields
from twistproxy.http.message import SAFE, Request, Response
from twistproxy.http.ranges import received_part
from twistproxy.http.variants import Variant, selects, variant, vary_names

__all__ = [
    "CLAUSES",
    "ERRORS",
    "FOREVER",
    "HEURISTIC_MAX",
    "NOTHING_ASKED",
    "Clause",
    "Freshness",
    "RequestDirectives",
    "ResponseDirectives",
    "Variant",
    "freshness",
    "has_content",
    "invalidated",
    "lifetime_of",
    "may_store",
    "must_forward",
    "query_key",
    "request_directives",
    "response_directives",
    "selects",
    "stale_forbidden",
    "stale_if_error",
    "stale_if_unreachable",
    "stale_while_revalidate",
    "stored_fields",
    "variant",
    "vary_names",
]

#: Statuses whose meaning for caches we know (RFC 9111 §5.2.2.3).
UNDERSTOOD: Final = HEURISTIC | {302, 303, 307, 400, 403, 451, 500, 502, 503, 504}
#: Final statuses that are never stored: they answer one request's own fields rather than its
#: target, and kept they would deny the page to others. 428, 429, 431 and 511 may not be (RFC 6585).
OF_THE_REQUEST: Final = frozenset(
    {304, 401, 402, 406, 407, 408, 411, 412, 413, 415, 416, 417, 421, 425, 426, 428, 429, 431, 511}
)

# Fields that are made anew for each reply, and those for a proxy's own client that are no
# business of `hops` (§3.1).
_NOT_STORED = frozenset({b"age", b"content-length", b"proxy-authorization", b"trailer"})
_NOT_STORED_OF_A_PART = _NOT_STORED | {b"content-range"}
# Request fields that name the client and the proxies before the next one.
_REWRITTEN = frozenset({b"forwarded", b"via", b"x-forwarded-for"})
# Request fields that many servers let speak for the method, the target, the host or how the client
# came. They are in no key, so who sends them would choose what others get. To some servers every
# sign in a name that is no letter is a -.
_STEERING = re.compile(
    rb"forwarded|front-end-https|(?:x-)?https|destination|translate|ur[il]"
    rb"|x-(?:forwarded.*|(?:http|invoke|middleware|now|original|rewrite)-.+)"
    rb"|.+-(?:host|override|path|port|prefix|proto|protocol|scheme|ssl|ur[il])"
)
_DASHED = bytes(byte if chr(byte).isalnum() and byte < 128 else ord("-") for byte in range(256))
# Who the client is, proxies before us may tell; whatever else is put there is meant to be repeated.
_WHO = re.compile(rb"x-forwarded-for|.+-(?:ip|addr)")
_ADDRESSES = re.compile(rb"(?:unknown|[0-9A-Fa-f:.\[\]]+|[ \t,]+)*+")
# Nearly every request has no others.
_ORDINARY = frozenset(
    b"""accept accept-encoding accept-language authorization cache-control connection content-length
    content-type cookie dnt host if-modified-since if-none-match pragma priority range referer
    sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform sec-fetch-dest sec-fetch-mode sec-fetch-site
    sec-fetch-user te upgrade-insecure-requests user-agent via""".split()
)
# An error may have been provoked by a head with unusual bytes, or larger than some servers take, or
# by what asks for more than the target.
_UNUSUAL = re.compile(rb"[^\t\x20-\x7e]")
_UNUSUAL_NAME = re.compile(rb"[^0-9A-Za-z_-]")
_LARGE = 4096
_PROVOKING = frozenset(
    b"content-encoding content-type expect if-match if-modified-since if-none-match if-range"
    b" if-unmodified-since max-forwards range".split()
)

# What a QUERY's content is read by; with it they are its key.
_OF_THE_CONTENT = (b"content-type", b"content-encoding", b"content-language")


# -- storing (RFC 9111 §3) -----------------------------------------------------------------------


def may_store(
    request: Request,
    response: Response,
    *,
    url: str | None = None,
    negative_ttl: float = 0.0,
    authorized: bool = False,
    written: Container[bytes] | None = None,
    parts: bool = False,
) -> str | None:
    """Why a shared cache may not store this response, as one of the `CLAUSES`; None if it may.

    HEAD is judged as the GET whose head it shows; its body is nobody's to store. Besides §3 and
    §3.5 (Authorization): a response with Set-Cookie is only stored where ``public`` or
    ``s-maxage`` says that it is meant for everybody, although the RFC leaves that open.

    url: the target's, without which no POST is stored. negative_ttl: see `freshness`. authorized:
    the request got credentials on its way. written: names of request fields that nobody's but our
    words came in; None: not asked for fields that steer a server. parts: single parts of a body
    are stored, too.
    """
    method = request.method
    said = response_directives(response.fields)
    if method == b"POST":
        # RFC 9110 §9.3.3: its answer is what a GET would bring, and says for how long.
        explicit = is_explicit(response.fields, said)
        if url is None or not explicit or not _describes(response.fields, url):
            return "method"
    elif method not in (b"GET", b"HEAD", b"QUERY"):
        return "method"
    elif method != b"QUERY" and has_content(request.fields):
        return "body"
    asked, fields, status = request.fields.combined, response.fields.combined, response.status
    if status < 200 or status in OF_THE_REQUEST:
        return "status"
    if status == 206 and not (
        parts and method == b"GET" and b"range" in asked and received_part(response)
    ):
        return "partial"
    if said.must_understand:
        if status not in UNDERSTOOD:
            return "must-understand"
    elif said.no_store:
        return "no-store"
    if request_directives(request.fields).no_store:
        return "request-no-store"
    if said.private:
        return "private"
    shared = said.public or said.s_maxage is not None
    if not shared:
        if (authorized or b"authorization" in asked) and not said.must_revalidate:
            return "authorization"
        if b"set-cookie" in fields and b"set-cookie" not in said.withheld:
            return "set-cookie"
    chosen_by = vary_names(response.fields)
    if chosen_by is None or not (chosen_by == () or _unseen(request.fields).isdisjoint(chosen_by)):
        return "vary"
    if not (
        shared or is_explicit(response.fields, said) or (negative_ttl > 0 and status in NEGATIVE)
    ):
        if status not in HEURISTIC:
            return "not-heuristic"
        if b"cookie" in asked and b"cookie" not in chosen_by:
            return "cookie"
    if written is not None and (
        _steers(asked, written, chosen_by) or _is_for_an_origin(asked, fields, chosen_by)
    ):
        return "unkeyed"
    if status >= 400 and _is_unusual(request):
        return "provoked"
    return None


def _describes(fields: Fields, url: str) -> bool:
    """Whether the content is a representation of `url` (RFC 9110 §8.7)."""
    value = fields.get(b"content-location")
    if value is None:
        return False
    try:
        return urldefrag(urljoin(url, value.decode("latin-1"))).url == url
    except ValueError:
        return False


def _unseen(request: Fields) -> frozenset[bytes]:
    """Fields that the origin saw otherwise than they came: which variant is it of, then?

    Those that we write, and those that the client let end here (RFC 9110 §7.6.1).
    """
    if b"connection" not in request:
        return _REWRITTEN
    return _REWRITTEN.union(request.tokens(b"connection"))


def _steers(
    asked: Mapping[bytes, bytes], written: Container[bytes], chosen_by: Container[bytes]
) -> bool:
    if _ORDINARY.issuperset(asked):
        return False
    for name, value in asked.items():
        if name in _ORDINARY or name in written or name in chosen_by:
            continue
        plain = name.translate(_DASHED)
        if _WHO.fullmatch(plain):
            if not _ADDRESSES.fullmatch(value):
                return True
        elif _STEERING.fullmatch(plain):
            return True
    return False


def _is_for_an_origin(
    asked: Mapping[bytes, bytes], said: Mapping[bytes, bytes], chosen_by: Container[bytes]
) -> bool:
    """Whether the response may be for scripts of the request's Origin only (CORS)."""
    return (
        b"origin" in asked
        and b"origin" not in chosen_by
        and said.get(b"access-control-allow-origin") != b"*"
    )


def _is_unusual(request: Request) -> bool:
    size = 0
    for name, value in request.fields:
        size += len(name) + len(value)
        if _UNUSUAL.search(value) or _UNUSUAL_NAME.search(name):
            return True
    # What describes the content of a QUERY is in its key.
    return size > _LARGE or (
        request.method != b"QUERY" and not _PROVOKING.isdisjoint(request.fields.combined)
    )


def has_content(fields: Fields) -> bool:
    """Whether a request of these fields has a body, on which its answer may depend."""
    combined = fields.combined
    return b"transfer-encoding" in combined or combined.get(b"content-length", b"0") != b"0"


def query_key(fields: Fields, content: bytes) -> str:
    """What of a QUERY is in its key beside the target: 40 digits.

    Made of its content and what that is read by, each as it came: to bring them into a normal
    form, which caches may, would take knowledge of every format
    (draft-ietf-httpbis-safe-method-w-body §2.7).
    """
    digest = blake2b(digest_size=20)
    for name in _OF_THE_CONTENT:
        value = fields.get(name)
        digest.update(b"-" if value is None else b"%d:%b" % (len(value), value))
    digest.update(content)
    return digest.hexdigest()


def stored_fields(fields: Fields, received: float, part: bool = False) -> Fields:
    """What is kept of a response's fields (§3.1): a copy, without those of one hop or withheld.

    It has a valid Date, that of the receipt where none came (RFC 9110 §6.6.1). part: of a 206,
    whose Content-Range isn't of the whole.
    """
    also = _NOT_STORED_OF_A_PART if part else _NOT_STORED
    withheld = response_directives(fields).withheld
    kept = response_fields(fields, keep_upgrade=False, also=also | withheld if withheld else also)
    date = fields.get(b"date")
    if date is None or parse_date(date, received) is None:
        kept.set(b"Date", format_date(received))
    return kept


# -- invalidation (RFC 9111 §4.4) ----------------------------------------------------------------


def invalidated(method: bytes, url: str, response: Response) -> list[str]:
    """Whose stored responses are outdated by this answer to a request for `url`.

    The target itself, and Location and Content-Location where they are of its origin; absolute,
    without fragment, else as written (bring them into the normal form of cache keys). Nothing
    for safe methods and errors; a method we don't know may have changed something.
    """
    if method in SAFE or not 200 <= response.status < 400:
        return []
    urls = [url]
    for name in (b"location", b"content-location"):
        value = response.fields.get(name)
        if value is None:
            continue
        try:
            other = urldefrag(urljoin(url, value.decode("latin-1"))).url
            same = _origin(other) == _origin(url)
        except ValueError:  # a port or an IPv6 address that is none
            continue
        if same and other not in urls:
            urls.append(other)
    return urls


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


# -- why -----------------------------------------------------------------------------------------


class Clause(NamedTuple):
    """section: of which document a decision is, "" where it is our own. text: one sentence."""

    section: str
    text: str


#: What the tokens of `may_store`, `must_forward`, `lifetime_of`, `stale_forbidden` and of lookups
#: (RFC 9211 §2.2) mean, for who asks why.
CLAUSES: Final[dict[str, Clause]] = {
    # Not stored.
    "method": Clause("RFC 9111 §3", "Responses to this method are not stored."),
    "body": Clause(
        "RFC 9110 §9.3.1", "The request had a body, which is in no key and may shape the answer."
    ),
    "status": Clause(
        "RFC 9111 §3", "The status answers the fields of one request rather than its target."
    ),
    "partial": Clause(
        "RFC 9111 §3.3", "It is not a single, well described part of a body that was asked for."
    ),
    "must-understand": Clause(
        "RFC 9111 §5.2.2.3", "must-understand forbids to store a status whose meaning is unknown."
    ),
    "no-store": Clause("RFC 9111 §5.2.2.5", "The response says no-store."),
    "request-no-store": Clause("RFC 9111 §5.2.1.5", "The request says no-store."),
    "private": Clause("RFC 9111 §5.2.2.7", "The response is private: for its one client only."),
    "authorization": Clause(
        "RFC 9111 §3.5",
        "The request had credentials, and the response says neither public nor s-maxage nor"
        " must-revalidate.",
    ),
    "set-cookie": Clause(
        "RFC 9111 §7.3",
        "The response sets a cookie, and says neither public nor s-maxage.",
    ),
    "cookie": Clause(
        "RFC 9111 §4.2.2",
        "The request had a cookie, and the response says nothing of its freshness: for whom it is"
        " would be a guess.",
    ),
    "vary": Clause(
        "RFC 9111 §4.1",
        "More than the request's fields chose the response (Vary: *), or fields that change on"
        " their way.",
    ),
    "not-heuristic": Clause(
        "RFC 9111 §4.2.2", "It says nothing of its freshness, and for its status none is guessed."
    ),
    "unkeyed": Clause(
        "RFC 9111 §7.1",
        "The request had a field that many servers follow in the place of its target, or an Origin,"
        " and Vary doesn't name it.",
    ),
    "provoked": Clause(
        "RFC 9111 §7.1", "The error may be of the request's unusual head rather than of its target."
    ),
    "no-freshness": Clause(
        "RFC 9111 §3", "It would never be fresh, and has no validator to confirm it by."
    ),
    # Not reused, or not at once.
    "uri-miss": Clause("RFC 9211 §2.2", "Nothing is stored for this URL."),
    "vary-miss": Clause(
        "RFC 9111 §4.1", "What is stored was chosen by other values of the fields in its Vary."
    ),
    "miss": Clause("RFC 9211 §2.2", "Nothing that is stored can be used."),
    "bypass": Clause("RFC 9211 §2.2", "The cache was not to deal with this request."),
    "stale": Clause("RFC 9111 §4.2", "What is stored is stale, or says no-cache."),
    "request": Clause("RFC 9111 §5.2.1", "The client wants more than what is stored offers."),
    "only-if-cached": Clause("RFC 9111 §5.2.1.7", "The client wants nothing from the origin."),
    # What a lifetime is from.
    "s-maxage": Clause("RFC 9111 §5.2.2.10", "s-maxage says how long shared caches may reuse it."),
    "max-age": Clause("RFC 9111 §5.2.2.1", "max-age says how long it may be reused."),
    "expires": Clause("RFC 9111 §5.3", "Expires says until when it may be reused."),
    "heuristic": Clause(
        "RFC 9111 §4.2.2", "Guessed: a tenth of the time since it was last modified."
    ),
    "negative-ttl": Clause("RFC 9111 §4.2.2", "An error that says nothing: negative_ttl."),
    "none": Clause("RFC 9111 §4.2.1", "Nothing says how long it is fresh: it isn't."),
    # What may be done with it when it is stale, or not.
    "no-cache": Clause("RFC 9111 §5.2.2.4", "no-cache: never reused without the origin's word."),
    "must-revalidate": Clause("RFC 9111 §5.2.2.2", "must-revalidate: never reused stale."),
    "proxy-revalidate": Clause(
        "RFC 9111 §5.2.2.8", "proxy-revalidate: never reused stale by a shared cache."
    ),
    "max-stale": Clause("RFC 9111 §5.2.1.2", "The client takes it stale."),
    "stale-while-revalidate": Clause(
        "RFC 5861 §3", "Served stale at once, while the origin is asked."
    ),
    "stale-if-error": Clause("RFC 5861 §4", "Served stale in the place of an error."),
    "grace": Clause("RFC 9111 §4.2.4", "Served stale, since no server is up."),
}
