"""What a shared cache may keep, and when it may use it (RFC 9111), as pure functions.

Whatever is malformed, doubled or contradictory is read so that less is stored and less is reused.
Times are wall-clock seconds since 1970, passed in; durations are seconds. Nothing here raises.
"""

from __future__ import annotations

import re
from functools import lru_cache
from math import floor, inf
from typing import Literal, NamedTuple
from urllib.parse import urldefrag, urljoin, urlsplit

from twistproxy.http.dates import format_date, parse_date
from twistproxy.http.fields import Fields
from twistproxy.http.hops import response_fields
from twistproxy.http.message import SAFE, Request, Response

#: Larger numbers of seconds are read as this one (RFC 9111 §1.2.2).
FOREVER = 2**31
#: The longest freshness that we guess when a response says nothing (RFC 9111 §4.2.2).
HEURISTIC_MAX = 86400.0

#: Statuses whose freshness may be guessed (RFC 9110 §15.1); 206 is not: we don't store parts.
HEURISTIC = frozenset({200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501})
#: Statuses that are stored at all (RFC 9111 §3). The rest answer one request's own fields rather
#: than its target (400, 401, 407, 412, 416, 431…), and kept they would deny the page to others.
UNDERSTOOD = HEURISTIC | {302, 303, 307, 403, 451, 500, 502, 503, 504}

# Fields that are made anew for each reply; those of one hop are `hops`' business (§3.1).
_NOT_STORED = frozenset({b"age", b"content-length", b"trailer"})
# Request fields that name the client and the proxies before the next one.
_REWRITTEN = frozenset({b"forwarded", b"via", b"x-forwarded-for"})
# Fields without which the body would be misread: no-cache or private of these means all of it.
_ESSENTIAL = frozenset({b"cache-control", b"date", b"etag", b"expires", b"last-modified", b"vary"})
# List-valued fields whose elements mean the same in any order and case (RFC 9110 §12.5).
_ANY_ORDER = frozenset({b"accept-charset", b"accept-encoding", b"accept-language"})

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
# A quoted string, perhaps never closed, or a comma. Possessive, so linear in any input.
_BREAK = re.compile(rb'"(?:[^"\\]|\\.)*+(?P<close>"?)|,', re.DOTALL)
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)

# Values up to this many bytes are worth remembering how they were read: few differ.
_MEMO = 256

Arguments = list[bytes | None]


# -- directives (RFC 9111 §5.2) ------------------------------------------------------------------


def directives(value: bytes) -> dict[bytes, Arguments]:
    """A Cache-Control value: each name in lower case, with the argument of each occurrence.

    A quote that is never closed doesn't hide what follows it.
    """
    found: dict[bytes, Arguments] = {}
    for member in _members(value):
        name, equals, argument = member.partition(b"=")
        name = name.strip(b" \t").lower()
        if name:
            found.setdefault(name, []).append(_unquoted(argument) if equals else None)
    return found


def _members(value: bytes) -> list[bytes]:
    if b'"' not in value:
        return value.split(b",")
    members, start = [], 0
    for found in _BREAK.finditer(value):
        if found[0] == b",":
            members.append(value[start : found.start()])
            start = found.end()
        elif not found["close"]:
            break
    else:
        return [*members, value[start:]]
    return members + value[start:].split(b",")


def _unquoted(argument: bytes) -> bytes:
    text = argument.rstrip(b" \t")
    if len(text) > 1 and text[:1] == text[-1:] == b'"':
        return _ESCAPED.sub(rb"\1", text[1:-1])
    return text


def _seconds(argument: bytes | None) -> int | None:
    """delta-seconds (RFC 9111 §1.2.2); None if malformed."""
    if argument is None or not argument.isdigit():
        return None
    return min(int(argument), FOREVER) if len(argument) <= 10 else _long(argument)


def _long(digits: bytes) -> int:
    digits = digits.lstrip(b"0")
    return FOREVER if len(digits) > 10 else min(int(digits or b"0"), FOREVER)


def _least(arguments: Arguments | None) -> int | None:
    """The shortest of the durations given, where a malformed one is 0; None if there is none."""
    return None if arguments is None else min(_seconds(each) or 0 for each in arguments)


class RequestDirectives(NamedTuple):
    """What a client asks of caches (RFC 9111 §5.2.1). max_stale: `inf` for any staleness."""

    no_cache: bool = False
    no_store: bool = False
    only_if_cached: bool = False
    max_age: int | None = None
    max_stale: float = 0
    min_fresh: int = 0


NOTHING_ASKED = RequestDirectives()


def request_directives(fields: Fields) -> RequestDirectives:
    """Of a request's Cache-Control, or of its Pragma where that is all there is (§5.4)."""
    combined = fields.combined
    value = combined.get(b"cache-control")
    if value is None:
        if b"pragma" in combined and b"no-cache" in fields.tokens(b"pragma"):
            return RequestDirectives(no_cache=True)
        return NOTHING_ASKED
    return _asked(value) if len(value) <= _MEMO else _asked.__wrapped__(value)


@lru_cache(maxsize=128)
def _asked(value: bytes) -> RequestDirectives:
    found = directives(value)
    return RequestDirectives(
        no_cache=b"no-cache" in found,
        no_store=b"no-store" in found,
        only_if_cached=b"only-if-cached" in found,
        max_age=_least(found.get(b"max-age")),
        max_stale=min(
            inf if each is None else _seconds(each) or 0 for each in found.get(b"max-stale", [b"0"])
        ),
        min_fresh=max(_or_forever(_seconds(each)) for each in found.get(b"min-fresh", [b"0"])),
    )


def _or_forever(seconds: int | None) -> int:
    return FOREVER if seconds is None else seconds


class ResponseDirectives(NamedTuple):
    """What a response allows a shared cache (RFC 9111 §5.2.2).

    withheld: names of fields that may not be kept (``private="…"``) or not be used again without
    asking (``no-cache="…"``); we keep neither.
    """

    no_cache: bool = False
    no_store: bool = False
    private: bool = False
    public: bool = False
    must_revalidate: bool = False
    proxy_revalidate: bool = False
    max_age: int | None = None
    s_maxage: int | None = None
    withheld: frozenset[bytes] = frozenset()


NOTHING_SAID = ResponseDirectives()


def response_directives(fields: Fields) -> ResponseDirectives:
    """Of a response's Cache-Control.

    must-understand takes the force from no-store (§5.2.2.3): a status that we don't understand
    isn't stored in any case.
    """
    value = fields.get(b"cache-control")
    if value is None:
        return NOTHING_SAID
    return _said(value) if len(value) <= _MEMO else _said.__wrapped__(value)


@lru_cache(maxsize=128)
def _said(value: bytes) -> ResponseDirectives:
    found = directives(value)
    no_cache, unused = _of_fields(found.get(b"no-cache", []))
    private, unkept = _of_fields(found.get(b"private", []))
    return ResponseDirectives(
        no_cache=no_cache,
        no_store=b"no-store" in found and b"must-understand" not in found,
        private=private,
        public=b"public" in found,
        must_revalidate=b"must-revalidate" in found,
        proxy_revalidate=b"proxy-revalidate" in found,
        max_age=_least(found.get(b"max-age")),
        s_maxage=_least(found.get(b"s-maxage")),
        withheld=unused | unkept,
    )


def _of_fields(arguments: Arguments) -> tuple[bool, frozenset[bytes]]:
    """Of no-cache and private: whether the whole response is meant, else which fields."""
    names: set[bytes] = set()
    for argument in arguments:
        listed = [name.strip(b" \t") for name in (argument or b"").lower().split(b",")]
        listed = [name for name in listed if name]
        if not listed or not all(map(_can_be_withheld, listed)):
            return True, frozenset()
        names.update(listed)
    return False, frozenset(names)


def _can_be_withheld(name: bytes) -> bool:
    return (
        _NAME.fullmatch(name) is not None
        and name not in _ESSENTIAL
        and not name.startswith(b"content-")
    )


# -- storing (RFC 9111 §3) -----------------------------------------------------------------------


def may_store(request: Request, response: Response) -> str | None:
    """Why a shared cache may not store this response, as a token; None if it may.

    HEAD is judged as the GET whose head it shows; its body is nobody's to store. Besides §3 and
    §3.5 (Authorization): a response with Set-Cookie is only stored where ``public`` or
    ``s-maxage`` says that it is meant for everybody, although the RFC leaves that open.
    """
    if request.method not in (b"GET", b"HEAD"):
        return "method"
    if has_content(request.fields):
        return "body"
    asked, fields, status = request.fields.combined, response.fields.combined, response.status
    if b"range" in asked:
        return "range"
    if status == 206:
        return "partial"
    if status not in UNDERSTOOD:
        return "status"
    said = response_directives(response.fields)
    if said.no_store or request_directives(request.fields).no_store:
        return "no-store"
    if said.private:
        return "private"
    shared = said.public or said.s_maxage is not None
    if not shared:
        if b"authorization" in asked and not said.must_revalidate:
            return "authorization"
        if b"set-cookie" in fields and b"set-cookie" not in said.withheld:
            return "set-cookie"
    if b"vary" in fields:
        chosen_by = vary_names(response.fields)
        if chosen_by is None or not _unseen(request.fields).isdisjoint(chosen_by):
            return "vary"
    explicit = shared or said.max_age is not None or b"expires" in fields
    if not explicit and status not in HEURISTIC:
        return "status"
    return None


def _unseen(request: Fields) -> frozenset[bytes]:
    """Fields that the origin saw otherwise than they came: which variant is it of, then?

    Those that we write, and those that the client let end here (RFC 9110 §7.6.1).
    """
    if b"connection" not in request:
        return _REWRITTEN
    return _REWRITTEN.union(request.tokens(b"connection"))


def has_content(fields: Fields) -> bool:
    """Whether a request of these fields has a body, on which its answer may depend."""
    combined = fields.combined
    return b"transfer-encoding" in combined or combined.get(b"content-length", b"0") != b"0"


def stored_fields(fields: Fields, received: float) -> Fields:
    """What is kept of a response's fields (§3.1): a copy, without those of one hop or withheld.

    It has a valid Date, that of the receipt where none came (RFC 9110 §6.6.1).
    """
    withheld = response_directives(fields).withheld
    also = _NOT_STORED | withheld if withheld else _NOT_STORED
    kept = response_fields(fields, keep_upgrade=False, also=also)
    if _date(fields, b"date", received) is None:
        kept.set(b"Date", format_date(received))
    return kept


# -- freshness and age (RFC 9111 §4.2) -----------------------------------------------------------


class Freshness(NamedTuple):
    """How long a stored response may be reused.

    lifetime: seconds from its making (§4.2.1). initial_age: its age when it came (§4.2.3).
    received: when that was. validate: never reused unasked (no-cache).
    strict: never reused stale, whatever the client allows (§4.2.4).
    """

    lifetime: float
    initial_age: float
    received: float
    validate: bool = False
    strict: bool = False

    def age(self, now: float) -> float:
        """Seconds since the origin made or confirmed it; the clock may step back."""
        elapsed = now - self.received
        return self.initial_age + elapsed if elapsed > 0 else self.initial_age

    def usable(self, now: float) -> bool:
        """Whether it can be reused unasked by anybody."""
        return not self.validate and self.age(now) < self.lifetime

    def ttl(self, now: float) -> int:
        """Whole seconds of freshness left, negative when stale (RFC 9211 §2.4)."""
        return floor(self.lifetime - self.age(now))


def freshness(response: Response, requested: float, received: float) -> Freshness:
    """Of a response that was asked for and whose head came at these times.

    A list of ages counts as its first; an Age that is no number makes the response stale (§5.1).
    """
    fields = response.fields
    said = response_directives(fields)
    date = _date(fields, b"date", received)
    age = fields.get(b"age")
    age_value = 0 if age is None else _seconds(age.partition(b",")[0].rstrip(b" \t"))
    # In whole seconds, as a Date is: its rounding must not cost what lives for a second.
    apparent = 0.0 if date is None else max(0.0, received // 1 - date)
    corrected = (age_value or 0) + max(0.0, received - requested)
    made = received if date is None else date
    return Freshness(
        lifetime=0.0 if age_value is None else _lifetime(response, said, made, received),
        initial_age=max(apparent, corrected),
        received=received,
        validate=said.no_cache,
        strict=said.must_revalidate or said.proxy_revalidate or said.s_maxage is not None,
    )


def _lifetime(response: Response, said: ResponseDirectives, made: float, now: float) -> float:
    if said.s_maxage is not None:
        return said.s_maxage
    if said.max_age is not None:
        return said.max_age
    fields = response.fields
    if b"expires" in fields:
        expires = _date(fields, b"expires", now)
        return 0.0 if expires is None else max(0.0, expires - made)
    modified = _date(fields, b"last-modified", now)
    if modified is None or not (response.status in HEURISTIC or said.public):
        return 0.0
    return min(max(0.0, made - modified) / 10, HEURISTIC_MAX)


def _date(fields: Fields, name: bytes, now: float) -> int | None:
    value = fields.get(name)
    return None if value is None else parse_date(value, now)


def must_forward(
    fresh: Freshness, asked: RequestDirectives, now: float
) -> Literal["stale", "request"] | None:
    """Why a stored response can't answer without asking its origin; None if it can (§4).

    "request": the client wants it asked; "stale": it is, or says so. Both as in RFC 9211 §2.2.
    """
    if fresh.validate:
        return "stale"
    age = fresh.age(now)
    left = fresh.lifetime - age
    if asked is NOTHING_ASKED:
        return None if left > 0 else "stale"
    if asked.no_cache or asked.max_age == 0 or (asked.max_age is not None and age > asked.max_age):
        return "request"
    if left > 0:
        return "request" if left < asked.min_fresh else None
    if fresh.strict or asked.min_fresh or not asked.max_stale or -left > asked.max_stale:
        return "stale"
    return None


# -- variants (RFC 9111 §4.1) --------------------------------------------------------------------

#: What a request must have to be answered by a variant: names in order, with normal values.
Variant = tuple[tuple[bytes, bytes | None], ...]


def vary_names(fields: Fields) -> tuple[bytes, ...] | None:
    """The request fields that chose this response; None: more than fields chose it (``*``)."""
    value = fields.get(b"vary")
    if value is None:
        return ()
    return _varied_by(value) if len(value) <= _MEMO else _varied_by.__wrapped__(value)


@lru_cache(maxsize=128)
def _varied_by(value: bytes) -> tuple[bytes, ...] | None:
    names = {name for part in value.lower().split(b",") if (name := part.strip(b" \t"))}
    return tuple(sorted(names)) if all(map(_is_name, names)) else None


def _is_name(text: bytes) -> bool:
    return text != b"*" and _NAME.fullmatch(text) is not None


def variant(request: Fields, response: Fields) -> Variant:
    """Which variant this response is: () where its Vary names nothing."""
    if b"vary" not in response.combined:
        return ()
    return tuple((name, _normal(name, request)) for name in vary_names(response) or ())


def selects(request: Fields, wanted: Variant) -> bool:
    """Whether a request of these fields may be answered by that variant."""
    for name, value in wanted:  # noqa: SIM110  a hit's time is spent here
        if _normal(name, request) != value:
            return False
    return True


def _normal(name: bytes, fields: Fields) -> bytes | None:
    # Only where the field is known to mean the same: a wrong match would be a wrong answer.
    value = fields.get(name)
    if value is None or name not in _ANY_ORDER or len(value) > _MEMO:
        return value
    return _in_order(value)


@lru_cache(maxsize=256)
def _in_order(value: bytes) -> bytes:
    return b",".join(sorted({part.strip(b" \t") for part in value.lower().split(b",")}))


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
