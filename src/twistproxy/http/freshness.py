"""How old a stored response is, how long it may be reused, and when stale (RFC 9111 §4.2, 5861).

Times are wall-clock seconds since 1970, passed in; durations are seconds. Nothing here raises.
"""

from __future__ import annotations

from math import floor, inf
from typing import Literal, NamedTuple

from twistproxy.http.dates import parse_date
from twistproxy.http.directives import (
    NOTHING_ASKED,
    RequestDirectives,
    ResponseDirectives,
    response_directives,
    seconds,
)
from twistproxy.http.fields import Fields
from twistproxy.http.message import Response

#: The longest freshness that we guess when a response says nothing (RFC 9111 §4.2.2).
HEURISTIC_MAX = 86400.0
#: Statuses whose freshness may be guessed (RFC 9110 §15.1).
HEURISTIC = frozenset({200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501})
#: Errors that an operator's negative TTL applies to, where they say nothing of their own. Not 403:
#: that depends on who asks.
NEGATIVE = frozenset({404, 405, 410, 414, 451, 500, 501, 502, 503, 504})
#: Statuses that stale-if-error is about (RFC 5861 §4).
ERRORS = frozenset({500, 502, 503, 504})

#: What a lifetime is from.
Basis = Literal["s-maxage", "max-age", "expires", "negative-ttl", "heuristic", "none"]


class Freshness(NamedTuple):
    """How long a stored response may be reused.

    lifetime: seconds from its making (§4.2.1). initial_age: its age when it came (§4.2.3).
    received: when that was. validate: never reused unasked (no-cache).
    strict: never reused stale, whatever anybody allows (§4.2.4).
    immutable: while fresh, a client that reloads needs no confirmation (RFC 8246 §2).
    stale_while_revalidate, stale_if_error: seconds of staleness that the origin allows for these
    (RFC 5861); None: it says nothing of errors.
    """

    lifetime: float
    initial_age: float
    received: float
    validate: bool = False
    strict: bool = False
    immutable: bool = False
    stale_while_revalidate: float = 0.0
    stale_if_error: float | None = None

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


def freshness(
    response: Response,
    requested: float,
    received: float,
    heuristic_max: float = HEURISTIC_MAX,
    negative_ttl: float = 0.0,
) -> Freshness:
    """Of a response that was asked for and whose head came at these times.

    heuristic_max: of a guess. negative_ttl: lifetime of errors that say nothing (`NEGATIVE`).
    """
    fields = response.fields
    said = response_directives(fields)
    date = _date(fields, b"date", received)
    # In whole seconds, as a Date is: its rounding must not cost what lives for a second.
    apparent = 0.0 if date is None else max(0.0, received // 1 - date)
    corrected = _age_value(fields) + max(0.0, received - requested)
    _, lifetime = _lifetime(response, said, date, received, heuristic_max, negative_ttl)
    return Freshness(
        lifetime,
        max(apparent, corrected),
        received,
        said.no_cache,
        said.must_revalidate or said.proxy_revalidate or said.s_maxage is not None,
        said.immutable,
        said.stale_while_revalidate,
        said.stale_if_error,
    )


def _age_value(fields: Fields) -> int:
    """Of a list the first counts; what is no number doesn't (§5.1)."""
    value = fields.get(b"age")
    if value is None:
        return 0
    for member in value.split(b",", 8):
        if member := member.strip(b" \t"):
            return seconds(member) or 0
    return 0


def lifetime_of(
    response: Response,
    received: float,
    heuristic_max: float = HEURISTIC_MAX,
    negative_ttl: float = 0.0,
) -> tuple[Basis, float]:
    """What the freshness lifetime of a response is from, and its seconds (§4.2.1)."""
    said = response_directives(response.fields)
    date = _date(response.fields, b"date", received)
    return _lifetime(response, said, date, received, heuristic_max, negative_ttl)


def _lifetime(
    response: Response,
    said: ResponseDirectives,
    date: int | None,
    received: float,
    heuristic_max: float,
    negative_ttl: float,
) -> tuple[Basis, float]:
    if said.s_maxage is not None:
        return "s-maxage", said.s_maxage
    if said.max_age is not None:
        return "max-age", said.max_age
    fields = response.fields
    made = received if date is None else date
    if b"expires" in fields.combined and not said.targeted:
        expires = _date(fields, b"expires", received)
        return "expires", 0.0 if expires is None else max(0.0, expires - made)
    if negative_ttl > 0 and response.status in NEGATIVE:
        return "negative-ttl", negative_ttl
    modified = _date(fields, b"last-modified", received)
    if modified is None or not (response.status in HEURISTIC or said.public):
        return "none", 0.0
    return "heuristic", min(max(0.0, made - modified) / 10, heuristic_max)


def is_explicit(fields: Fields, said: ResponseDirectives) -> bool:
    """Whether a response of these fields itself says how long it is fresh (§4.2.1)."""
    if said.max_age is not None or said.s_maxage is not None:
        return True
    return b"expires" in fields.combined and not said.targeted


def _date(fields: Fields, name: bytes, now: float) -> int | None:
    value = fields.get(name)
    return None if value is None else parse_date(value, now)


# -- may it be reused (RFC 9111 §4) --------------------------------------------------------------


def must_forward(
    fresh: Freshness, asked: RequestDirectives, now: float
) -> Literal["stale", "request"] | None:
    """Why a stored response can't answer without asking its origin; None if it can.

    "request": the client wants it asked; "stale": it is, or says so. Both as in RFC 9211 §2.2.
    """
    if fresh.validate:
        return "stale"
    age = fresh.age(now)
    left = fresh.lifetime - age
    if asked is NOTHING_ASKED:
        return None if left > 0 else "stale"
    if asked.no_cache:
        return "request"
    if _too_old(age, asked) and not (fresh.immutable and left > 0):
        return "request"
    if left > 0:
        return "request" if left < asked.min_fresh else None
    if fresh.strict or asked.min_fresh or not asked.max_stale or -left > asked.max_stale:
        return "stale"
    return None


def stale_while_revalidate(fresh: Freshness, asked: RequestDirectives, now: float) -> bool:
    """Whether it may answer at once, stale, while its origin is asked (RFC 5861 §3).

    Not where must-revalidate & co. forbid staleness (RFC 9111 §4.2.4), nor for a client that says
    itself what it takes: who names a max-age wants nothing stale without a max-stale (§5.2.1.1),
    and what that allows needs no other leave.
    """
    if fresh.validate or fresh.strict or not fresh.stale_while_revalidate:
        return False
    if asked.no_cache or asked.max_age is not None or asked.min_fresh or asked.max_stale:
        return False
    return fresh.age(now) - fresh.lifetime <= fresh.stale_while_revalidate


def _too_old(age: float, asked: RequestDirectives) -> bool:
    # Zero asks for confirmation, even of what came this second.
    return asked.max_age is not None and (asked.max_age == 0 or age > asked.max_age)


def stale_if_error(fresh: Freshness, asked: RequestDirectives, now: float) -> bool:
    """Whether it may answer in place of one of the `ERRORS`, or of none at all (RFC 5861 §4).

    Where origin and client both say how stale it may be, the shorter counts. What the client
    would rather have (max-age, min-fresh) counts for less than an answer; no-cache doesn't.
    """
    window = _shorter(fresh.stale_if_error, asked.stale_if_error)
    return _within(fresh, asked, now, 0.0 if window is None else window)


def stale_if_unreachable(
    fresh: Freshness, asked: RequestDirectives, now: float, grace: float
) -> bool:
    """Whether it may answer since no server is up: for `grace` seconds (RFC 9111 §4.2.4).

    But for those that a stale-if-error allows, where there is one; and no longer than the client's
    max-stale.
    """
    window = _shorter(fresh.stale_if_error, asked.stale_if_error)
    if window is None:
        window = min(grace, asked.max_stale or inf)
    return _within(fresh, asked, now, window)


def _shorter(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def _within(fresh: Freshness, asked: RequestDirectives, now: float, window: float) -> bool:
    if fresh.validate or asked.no_cache:  # RFC 9111 §5.2.2.4, §5.2.1.4
        return False
    staleness = fresh.age(now) - fresh.lifetime
    if staleness < 0:
        return True  # it was the client that wanted it confirmed
    return not fresh.strict and window > 0 and staleness <= window


def stale_forbidden(said: ResponseDirectives) -> str | None:
    """The directive by which a response may never be reused stale (§4.2.4); None if it may be."""
    if said.no_cache:
        return "no-cache"
    if said.must_revalidate:
        return "must-revalidate"
    if said.proxy_revalidate:
        return "proxy-revalidate"
    return None if said.s_maxage is None else "s-maxage"
