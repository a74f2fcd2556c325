"""How long and when stale, row by row; names begin with RFC 9111's section, or another's number."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistproxy.http.dates import format_date
from twistproxy.http.directives import (
    FOREVER,
    NOTHING_ASKED,
    RequestDirectives,
    request_directives,
    response_directives,
)
from twistproxy.http.fields import Fields
from twistproxy.http.freshness import (
    ERRORS,
    HEURISTIC,
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
from twistproxy.http.message import Response

NOW = 1_000_000_000.0
DAY = 86400.0
CC = b"Cache-Control"
CDN = b"CDN-Cache-Control"
FRESH = (CC, b"max-age=60")

Lines = list[tuple[bytes, bytes]]


def date(seconds: float) -> bytes:
    return format_date(NOW + seconds)


def asks(value: bytes | None) -> RequestDirectives:
    return NOTHING_ASKED if value is None else request_directives(Fields([(CC, value)]))


def says(value: bytes) -> Freshness:
    return freshness(Response(200, Fields([(CC, value)])), NOW, NOW)


LIFETIMES: dict[str, tuple[int, Lines, float]] = {
    "4.2.1_s_maxage_first": (200, [(CC, b"max-age=5, s-maxage=7"), (b"Expires", date(9))], 7),
    "4.2.1_max_age_next": (200, [(CC, b"max-age=5"), (b"Expires", date(9))], 5),
    "4.2.1_expires": (200, [(b"Date", date(0)), (b"Expires", date(9))], 9),
    "4.2.1_expires_by_the_origins_clock": (200, [(b"Date", date(-50)), (b"Expires", date(9))], 59),
    "4.2.1_expires_without_date": (200, [(b"Expires", date(9))], 9),
    "4.2.1_expires_with_invalid_date": (200, [(b"Date", b"x"), (b"Expires", date(9))], 9),
    "4.2.1_invalid_max_age_hides_expires": (200, [(CC, b"max-age=x"), (b"Expires", date(9))], 0),
    "5.3_expires_past": (200, [(b"Date", date(0)), (b"Expires", date(-9))], 0),
    "5.3_expires_0": (200, [(b"Expires", b"0")], 0),
    "5.3_expires_invalid_hides_heuristic": (
        200,
        [(b"Expires", b"-1"), (b"Last-Modified", date(-1000))],
        0,
    ),
    "5.3_expires_twice": (200, [(b"Expires", date(9)), (b"Expires", date(9))], 0),
    "4.2.2_tenth": (200, [(b"Date", date(0)), (b"Last-Modified", date(-1000))], 100),
    "4.2.2_tenth_without_date": (200, [(b"Last-Modified", date(-1000))], 100),
    "4.2.2_at_most_a_day": (200, [(b"Date", date(0)), (b"Last-Modified", date(-99 * DAY))], DAY),
    "4.2.2_modified_in_the_future": (200, [(b"Date", date(0)), (b"Last-Modified", date(9))], 0),
    "4.2.2_invalid": (200, [(b"Last-Modified", b"x")], 0),
    "4.2.2_status_not_heuristic": (302, [(b"Last-Modified", date(-1000))], 0),
    "4.2.2_public": (302, [(CC, b"public"), (b"Last-Modified", date(-1000))], 100),
    "4.2.2_nothing": (200, [], 0),
    "5.4_pragma_of_a_response_means_nothing": (200, [FRESH, (b"Pragma", b"no-cache")], 60),
    "5.5_warning_means_nothing": (200, [FRESH, (b"Warning", b'110 - "stale"')], 60),
    "4.2.1_two_lines": (200, [(CC, b"max-age=5"), (CC, b"s-maxage=7")], 7),
    "4.2.1_zero_hides_expires": (200, [(CC, b"max-age=0"), (b"Expires", date(9))], 0),
    "4.2.1_expires_before_a_date_to_come": (
        200,
        [(b"Date", date(400)), (b"Expires", date(300))],
        0,
    ),
    "5.3_expires_empty": (200, [(b"Expires", b"")], 0),
    "5.3_expires_other_zone": (200, [(b"Expires", date(9).replace(b"GMT", b"UTC"))], 0),
    "5.3_expires_lower_case": (200, [(b"Date", date(0)), (b"Expires", date(9).lower())], 9),
    "4.2.2_404": (404, [(b"Last-Modified", date(-1000))], 100),
    "4.2.2_501": (501, [(b"Last-Modified", date(-1000))], 100),
    "4.2.2_unknown_status": (599, [(b"Last-Modified", date(-1000))], 0),
    "4.2.2_unknown_status_public": (599, [(CC, b"public"), (b"Last-Modified", date(-1000))], 100),
    "9213_2.2_targeted": (200, [FRESH, (CDN, b"max-age=9")], 9),
    "9213_2.2_hides_expires": (200, [(b"Expires", date(9)), (CDN, b"must-revalidate")], 0),
    "9213_2.2_not_last_modified": (200, [(b"Last-Modified", date(-1000)), (CDN, b"x")], 100),
    "9213_2.1_invalid_hides_nothing": (200, [(b"Expires", date(9)), (CDN, b"max-age=")], 9),
}


@pytest.mark.parametrize(("status", "lines", "seconds"), LIFETIMES.values(), ids=LIFETIMES)
def test_lifetime(status: int, lines: Lines, seconds: float) -> None:
    assert freshness(Response(status, Fields(lines)), NOW, NOW).lifetime == seconds


AGES: dict[str, tuple[Lines, float, float]] = {  # fields, seconds it was asked before, age
    "4.2.3_just_made": ([(b"Date", date(0))], 0, 0),
    "4.2.3_apparent_age": ([(b"Date", date(-20))], 0, 20),
    "4.2.3_age_value": ([(b"Date", date(0)), (b"Age", b"30")], 0, 30),
    "4.2.3_the_larger": ([(b"Date", date(-20)), (b"Age", b"30")], 0, 30),
    "4.2.3_apparent_larger": ([(b"Date", date(-40)), (b"Age", b"30")], 0, 40),
    "4.2.3_response_delay": ([(b"Date", date(0)), (b"Age", b"30")], 5, 35),
    "4.2.3_delay_without_age": ([(b"Date", date(0))], 5, 5),
    "4.2.3_origins_clock_ahead": ([(b"Date", date(500))], 0, 0),
    "4.2.3_our_clock_stepped_back": ([(b"Date", date(0))], -5, 0),
    "4.2.3_no_date": ([], 0, 0),
    "4.2.3_invalid_date": ([(b"Date", b"x")], 2, 2),
    "5.1_negative": ([(b"Age", b"-7200")], 0, 0),
    "5.1_text": ([(b"Age", b"abc")], 0, 0),
    "5.1_decimal": ([(b"Age", b"7200.0")], 0, 0),
    "5.1_empty": ([(b"Age", b"")], 0, 0),
    "5.1_invalid_but_date": ([(b"Age", b"x"), (b"Date", date(-9))], 0, 9),
    "5.1_one_line": ([(b"Age", b"7200, 0")], 0, 7200),
    "5.1_one_line_reversed": ([(b"Age", b"0, 7200")], 0, 0),
    "5.1_first_is_invalid": ([(b"Age", b"x, 7")], 0, 0),
    "5.1_empty_elements": ([(b"Age", b", 7")], 0, 7),
    "5.1_leading_zeros": ([(b"Age", b"007")], 0, 7),
    "5.1_2_to_the_31": ([(b"Age", b"2147483648")], 0, FOREVER),
    "4.2.3_two_dates": ([(b"Date", date(-9)), (b"Date", date(-9))], 0, 0),
    "5.1_first_of_a_list": ([(b"Age", b"7"), (b"Age", b"9")], 0, 7),
    "5.1_overflow": ([(b"Age", b"9" * 30)], 0, FOREVER),
}


@pytest.mark.parametrize(("lines", "before", "age"), AGES.values(), ids=AGES)
def test_age(lines: Lines, before: float, age: float) -> None:
    fresh = freshness(Response(200, Fields(lines)), NOW - before, NOW)
    assert fresh.age(NOW) == age
    assert fresh.age(NOW + 10) == age + 10
    assert fresh.age(NOW - 10) == age  # a clock that stepped back


def test_a_dates_rounding_does_not_cost_a_second() -> None:
    fresh = freshness(Response(200, Fields([(b"Date", date(0))])), NOW + 0.9, NOW + 0.9)
    assert fresh.age(NOW + 0.9) == 0


def test_time_to_live_is_in_whole_seconds() -> None:  # RFC 9211 §2.4
    fresh = Freshness(10, 2, NOW)
    assert [fresh.ttl(NOW + s) for s in (0, 0.5, 8, 8.5)] == [8, 7, 0, -1]


# Stored with a lifetime of 100 s; asked at an age of … with …; forwarded because …
FORWARDED: dict[str, tuple[bytes, float, bytes | None, str | None]] = {
    "4.2_fresh": (b"max-age=100", 99, None, None),
    "4.2_at_its_end": (b"max-age=100", 100, None, "stale"),
    "4.2_stale": (b"max-age=100", 101, None, "stale"),
    "5.2.2.4_no_cache": (b"max-age=100, no-cache", 0, None, "stale"),
    "5.2.2.4_no_cache_max_stale": (b"max-age=100, no-cache", 0, b"max-stale", "stale"),
    "5.2.1.4_request_no_cache": (b"max-age=100", 0, b"no-cache", "request"),
    "5.2.1.1_within_max_age": (b"max-age=100", 50, b"max-age=50", None),
    "5.2.1.1_over_max_age": (b"max-age=100", 51, b"max-age=50", "request"),
    "5.2.1.1_max_age_0": (b"max-age=100", 0, b"max-age=0", "request"),
    "5.2.1.1_max_age_does_not_prolong": (b"max-age=100", 150, b"max-age=200", "stale"),
    "5.2.1.2_within_max_stale": (b"max-age=100", 150, b"max-stale=50", None),
    "5.2.1.2_over_max_stale": (b"max-age=100", 151, b"max-stale=50", "stale"),
    "5.2.1.2_any_staleness": (b"max-age=100", 9999, b"max-stale", None),
    "5.2.1.2_just_stale": (b"max-age=100", 100, b"max-stale=0", "stale"),
    "5.2.1.2_max_age_too": (b"max-age=100", 150, b"max-stale=99, max-age=120", "request"),
    "5.2.1.3_enough_left": (b"max-age=100", 50, b"min-fresh=50", None),
    "5.2.1.3_not_enough_left": (b"max-age=100", 51, b"min-fresh=50", "request"),
    "8246_2_reload_of_an_immutable": (b"max-age=100, immutable", 50, b"max-age=0", None),
    "8246_2_only_while_fresh": (b"max-age=100, immutable", 100, b"max-age=0", "request"),
    "8246_2_but_no_cache": (b"max-age=100, immutable", 50, b"no-cache", "request"),
    "8246_2_but_min_fresh": (b"max-age=100, immutable", 51, b"min-fresh=50", "request"),
    "5861_3_is_stale": (b"max-age=100, stale-while-revalidate=9", 101, None, "stale"),
    "5.2.1.3_with_max_stale": (b"max-age=100", 101, b"min-fresh=1, max-stale", "stale"),
    "5.2.1.5_no_store_reuses": (b"max-age=100", 50, b"no-store", None),
    "5.2.1.7_only_if_cached": (b"max-age=100", 50, b"only-if-cached", None),
    "5.2.2.2_must_revalidate": (b"max-age=100, must-revalidate", 101, b"max-stale", "stale"),
    "5.2.2.2_must_revalidate_fresh": (b"max-age=100, must-revalidate", 99, b"max-stale", None),
    "5.2.2.8_proxy_revalidate": (b"max-age=100, proxy-revalidate", 101, b"max-stale", "stale"),
    "5.2.2.10_s_maxage_as_well": (b"s-maxage=100", 101, b"max-stale", "stale"),
}


@pytest.mark.parametrize(("said", "age", "asked", "reason"), FORWARDED.values(), ids=FORWARDED)
def test_must_forward(said: bytes, age: float, asked: bytes | None, reason: str | None) -> None:
    fresh = says(said)
    assert must_forward(fresh, asks(asked), NOW + age) == reason
    assert fresh.usable(NOW + age) is (age < 100 and b"no-cache" not in said)


# -- bases --

BASES: dict[str, tuple[int, Lines, str]] = {
    "5.2.2.10": (200, [(CC, b"max-age=5, s-maxage=5")], "s-maxage"),
    "5.2.2.1": (200, [(CC, b"max-age=5"), (b"Expires", date(5))], "max-age"),
    "5.3": (200, [(b"Expires", date(5)), (b"Last-Modified", date(-50))], "expires"),
    "4.2.2": (200, [(b"Last-Modified", date(-50))], "heuristic"),
    "4.2.1": (200, [(b"ETag", b'"a"')], "none"),
}


@pytest.mark.parametrize(("status", "lines", "basis"), BASES.values(), ids=BASES)
def test_what_a_lifetime_is_from(status: int, lines: Lines, basis: str) -> None:
    response = Response(status, Fields(lines))
    assert lifetime_of(response, NOW)[0] == basis
    said = response_directives(response.fields)
    assert is_explicit(response.fields, said) is (basis in {"s-maxage", "max-age", "expires"})


def test_expires_is_not_explicit_beside_a_targeted_field() -> None:
    fields = Fields([(b"Expires", date(5)), (CDN, b"x")])
    assert not is_explicit(fields, response_directives(fields))


def test_the_longest_guess_is_the_operators() -> None:
    response = Response(200, Fields([(b"Date", date(0)), (b"Last-Modified", date(-99 * DAY))]))
    assert freshness(response, NOW, NOW, heuristic_max=5).lifetime == 5
    assert freshness(response, NOW, NOW, heuristic_max=30 * DAY).lifetime == 9.9 * DAY


NEGATIVES: dict[str, tuple[int, Lines, float]] = {  # with a negative TTL of 7 s
    "404": (404, [], 7),
    "503": (503, [], 7),
    "instead_of_a_guess": (410, [(b"Last-Modified", date(-1000))], 7),
    "explicit": (404, [FRESH], 60),
    "explicit_zero": (404, [(CC, b"max-age=0")], 0),
    "expired": (404, [(b"Expires", b"0")], 0),
    "who_asks": (403, [], 0),
    "no_error": (200, [], 0),
    "redirection": (302, [], 0),
    "unknown": (599, [], 0),
}


@pytest.mark.parametrize(("status", "lines", "lifetime"), NEGATIVES.values(), ids=NEGATIVES)
def test_negative_ttl(status: int, lines: Lines, lifetime: float) -> None:
    response = Response(status, Fields(lines))
    assert freshness(response, NOW, NOW, negative_ttl=7).lifetime == lifetime
    if lifetime == 7:
        assert freshness(response, NOW, NOW).lifetime != 7


def test_negative_are_errors() -> None:
    assert min(NEGATIVE) >= 400
    assert {status for status in HEURISTIC if status >= 400} | ERRORS <= NEGATIVE


# -- stale --

SWR = b"max-age=100, stale-while-revalidate=20"
SIE = b"max-age=100, stale-if-error=20"
# Of a lifetime of 100 s; asked at an age of … with …; whether it is served.
MEANWHILE: dict[str, tuple[bytes, float, bytes | None, bool]] = {
    "5861_3_within": (SWR, 120, None, True),
    "5861_3_after": (SWR, 121, None, False),
    "5861_3_at_once": (SWR, 100, None, True),
    "5861_3_not_said": (b"max-age=100", 100, None, False),
    "5861_3_of_nothing": (b"max-age=100, stale-while-revalidate=0", 100, None, False),
    "5861_3_never_fresh": (b"max-age=0, stale-while-revalidate=20", 9, None, True),
    "5.2.2.2_must_revalidate": (SWR + b", must-revalidate", 101, None, False),
    "5.2.2.8_proxy_revalidate": (SWR + b", proxy-revalidate", 101, None, False),
    "5.2.2.10_s_maxage": (SWR + b", s-maxage=100", 101, None, False),
    "5.2.2.4_no_cache": (SWR + b", no-cache", 101, None, False),
    "5.2.1.4_request_no_cache": (SWR, 101, b"no-cache", False),
    "5.2.1.1_max_age_wants_nothing_stale": (SWR, 105, b"max-age=200", False),
    "5.2.1.1_over_max_age": (SWR, 106, b"max-age=105", False),
    "5.2.1.2_over_max_stale": (SWR, 106, b"max-stale=5", False),
    "5.2.1.1_reload": (b"max-age=0, stale-while-revalidate=20", 0, b"max-age=0", False),
    "5.2.1.3_min_fresh": (SWR, 101, b"min-fresh=1", False),
    "5861_4_is_for_errors": (SIE, 101, None, False),
}


@pytest.mark.parametrize(("said", "age", "asked", "served"), MEANWHILE.values(), ids=MEANWHILE)
def test_stale_while_revalidate(said: bytes, age: float, asked: bytes | None, served: bool) -> None:
    assert stale_while_revalidate(says(said), asks(asked), NOW + age) is served


ON_ERROR: dict[str, tuple[bytes, float, bytes | None, bool]] = {
    "5861_4_within": (SIE, 120, None, True),
    "5861_4_after": (SIE, 121, None, False),
    "5861_4_not_said": (b"max-age=100", 101, None, False),
    "5861_4_of_nothing": (b"max-age=100, stale-if-error=0", 100, None, False),
    "5861_4_of_the_client": (b"max-age=100", 120, b"stale-if-error=20", True),
    "5861_4_of_the_client_after": (b"max-age=100", 121, b"stale-if-error=20", False),
    "5861_4_the_clients_is_shorter": (SIE, 111, b"stale-if-error=10", False),
    "5861_4_the_origins_is_shorter": (SIE, 121, b"stale-if-error=99", False),
    "5861_4_whatever_else_is_said": (SIE, 110, b"max-age=0, min-fresh=5", True),
    "5861_4_still_fresh": (SIE, 50, b"max-age=0", True),
    "5.2.1.4_request_no_cache": (SIE, 110, b"no-cache", False),
    "5.2.1.4_request_no_cache_fresh": (SIE, 50, b"no-cache", False),
    "5.2.2.2_must_revalidate": (SIE + b", must-revalidate", 101, None, False),
    "5.2.2.2_must_revalidate_fresh": (SIE + b", must-revalidate", 99, b"max-age=0", True),
    "5.2.2.2_whatever_the_client_takes": (
        b"max-age=100, must-revalidate",
        101,
        b"stale-if-error=20",
        False,
    ),
    "5.2.2.8_proxy_revalidate": (SIE + b", proxy-revalidate", 101, None, False),
    "5.2.2.10_s_maxage": (SIE + b", s-maxage=100", 101, None, False),
    "5.2.2.4_no_cache": (SIE + b", no-cache", 101, None, False),
    "5.2.2.4_no_cache_fresh": (SIE + b", no-cache", 50, None, False),
    "5861_3_is_for_successes": (SWR, 101, None, False),
}


@pytest.mark.parametrize(("said", "age", "asked", "served"), ON_ERROR.values(), ids=ON_ERROR)
def test_stale_if_error(said: bytes, age: float, asked: bytes | None, served: bool) -> None:
    assert stale_if_error(says(said), asks(asked), NOW + age) is served


UNREACHABLE: dict[str, tuple[bytes, float, bytes | None, bool]] = {  # with a grace of 30 s
    "4.2.4_within": (b"max-age=100", 130, None, True),
    "4.2.4_after": (b"max-age=100", 131, None, False),
    "4.2.4_reload": (b"max-age=100", 110, b"max-age=0", True),
    "4.2.4_never_fresh": (b"max-age=0", 30, None, True),
    "5.2.1.2_within_max_stale": (b"max-age=100", 105, b"max-stale=5", True),
    "5.2.1.2_over_max_stale": (b"max-age=100", 106, b"max-stale=5", False),
    "5.2.1.2_any_staleness": (b"max-age=100", 131, b"max-stale", False),
    "5.2.1.4_request_no_cache": (b"max-age=100", 101, b"no-cache", False),
    "5.2.2.2_must_revalidate": (b"max-age=100, must-revalidate", 101, None, False),
    "5.2.2.8_proxy_revalidate": (b"max-age=100, proxy-revalidate", 101, None, False),
    "5.2.2.10_s_maxage": (b"s-maxage=100", 101, None, False),
    "5.2.2.4_no_cache": (b"max-age=100, no-cache", 101, None, False),
    "5861_4_says_less": (SIE, 121, None, False),
    "5861_4_says_more": (b"max-age=100, stale-if-error=99", 199, None, True),
    "5861_4_says_none": (b"max-age=100, stale-if-error=0", 101, None, False),
    "5861_4_the_client_says_less": (b"max-age=100", 111, b"stale-if-error=10", False),
}


@pytest.mark.parametrize(("said", "age", "asked", "served"), UNREACHABLE.values(), ids=UNREACHABLE)
def test_stale_if_unreachable(said: bytes, age: float, asked: bytes | None, served: bool) -> None:
    assert stale_if_unreachable(says(said), asks(asked), NOW + age, grace=30) is served


def test_without_grace_nothing_is_served_stale() -> None:
    assert not stale_if_unreachable(says(b"max-age=100"), NOTHING_ASKED, NOW + 100, grace=0)


FORBIDDEN = {
    b"no-cache, must-revalidate": "no-cache",
    b"must-revalidate, s-maxage=1": "must-revalidate",
    b"proxy-revalidate": "proxy-revalidate",
    b"s-maxage=1": "s-maxage",
    b"max-age=1, stale-if-error=1": None,
}


@pytest.mark.parametrize(("said", "directive"), FORBIDDEN.items(), ids=map(repr, FORBIDDEN))
def test_what_forbids_staleness(said: bytes, directive: str | None) -> None:
    assert stale_forbidden(response_directives(Fields([(CC, said)]))) == directive
    fresh = says(said)
    assert (fresh.strict or fresh.validate) is (directive is not None)


# -- a slow, obvious model --

SAID = st.fixed_dictionaries(
    {},
    optional={
        name: st.sampled_from([0, 1, 5, 10]) if number else st.none()
        for name, number in {
            "max-age": True,
            "s-maxage": True,
            "stale-while-revalidate": True,
            "stale-if-error": True,
            "no-cache": False,
            "must-revalidate": False,
            "proxy-revalidate": False,
            "immutable": False,
        }.items()
    },
)
ASKED = st.fixed_dictionaries(
    {},
    optional={
        "max-age": st.sampled_from([0, 3, 12]),
        "max-stale": st.sampled_from([0, 4]),
        "min-fresh": st.sampled_from([0, 2]),
        "stale-if-error": st.sampled_from([0, 6]),
        "no-cache": st.none(),
    },
)


def written(told: dict[str, int | None]) -> bytes:
    return ", ".join(k if v is None else f"{k}={v}" for k, v in told.items()).encode()


def forbidden(said: dict[str, int | None], asked: dict[str, int | None], age: int) -> bool:
    """What RFC 9111 lets nobody reuse unasked, as one reads it."""
    lifetime = said.get("s-maxage", said.get("max-age", 0)) or 0
    stale = age >= lifetime
    if "no-cache" in said or "no-cache" in asked:
        return True
    if stale and {"must-revalidate", "proxy-revalidate", "s-maxage"} & said.keys():
        return True
    if not stale and lifetime - age < (asked.get("min-fresh") or 0):
        return True
    if stale and asked.get("min-fresh"):
        return True
    young = asked.get("max-age", inf) >= max(age, 1)
    if not young and not ("immutable" in said and not stale):
        return True
    return (stale and age - lifetime > (asked.get("max-stale") or 0)) or (
        stale and not asked.get("max-stale")
    )


@given(SAID, ASKED, st.integers(0, 25))
def test_what_is_reused_is_what_the_rfc_allows(
    said: dict[str, int | None], asked: dict[str, int | None], age: int
) -> None:
    fresh, wants = says(written(said)), asks(written(asked))
    now = NOW + age
    refused = must_forward(fresh, wants, now) is not None
    assert refused is forbidden(said, asked, age)
    strict = {"no-cache", "must-revalidate", "proxy-revalidate", "s-maxage"} & said.keys()
    stale = age >= fresh.lifetime
    late = {
        "meanwhile": stale_while_revalidate(fresh, wants, now),
        "error": stale_if_error(fresh, wants, now),
        "unreachable": stale_if_unreachable(fresh, wants, now, 7),
    }
    if "no-cache" in said or "no-cache" in asked or (stale and strict):
        assert not any(late.values())
    if stale and not strict:
        past = age - fresh.lifetime
        assert not late["meanwhile"] or past <= (said.get("stale-while-revalidate") or 0)
        for limits in (said, asked):
            if "stale-if-error" in limits:
                assert not late["error"] or past <= limits["stale-if-error"]
                assert not late["unreachable"] or past <= limits["stale-if-error"]
        if "stale-if-error" not in said | asked:
            assert not late["error"]
            assert not late["unreachable"] or past <= 7


@given(
    st.lists(st.tuples(st.sampled_from([b"Age", b"Date", b"Expires", CC, CDN]), st.binary())),
    st.floats(0, 2e9),
    st.floats(0, 2e9),
)
def test_no_field_raises_and_no_age_is_negative(lines: Lines, asked: float, came: float) -> None:
    fresh = freshness(Response(200, Fields(lines)), asked, came)
    assert 0 <= fresh.age(came) < inf
    assert 0 <= fresh.lifetime < inf
