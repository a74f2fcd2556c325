"""What a shared cache may keep and reuse, row by row; names begin with RFC 9111's section."""

from __future__ import annotations

import string
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistproxy.http.caching import (
    FOREVER,
    NOTHING_ASKED,
    Freshness,
    RequestDirectives,
    ResponseDirectives,
    directives,
    freshness,
    has_content,
    invalidated,
    may_store,
    must_forward,
    request_directives,
    response_directives,
    selects,
    stored_fields,
    variant,
    vary_names,
)
from twistproxy.http.dates import format_date
from twistproxy.http.fields import Fields
from twistproxy.http.message import Request, Response

NOW = 1_000_000_000.0
DAY = 86400.0
CC = b"Cache-Control"

Lines = list[tuple[bytes, bytes]]


def date(seconds: float) -> bytes:
    return format_date(NOW + seconds)


def get(*lines: tuple[bytes, bytes]) -> Request:
    return Request(b"GET", b"/", Fields(lines))


# -- directives --

DIRECTIVES = {
    "5.2_one": (b"no-store", {b"no-store": [None]}),
    "5.2_argument": (b"max-age=60", {b"max-age": [b"60"]}),
    "5.2_quoted": (b'max-age="60"', {b"max-age": [b"60"]}),
    "5.2_upper_case": (b"No-Store, MAX-AGE=1", {b"no-store": [None], b"max-age": [b"1"]}),
    "5.2_comma_in_quotes": (b'private="a, b", public', {b"private": [b"a, b"], b"public": [None]}),
    "5.2_directive_in_quotes": (b'x="no-store"', {b"x": [b"no-store"]}),
    "5.2_escape": (b'x="a\\"b, c"', {b"x": [b'a"b, c']}),
    "5.2_escaped_end": (b'x="a\\\\", y', {b"x": [b"a\\"], b"y": [None]}),
    "5.2_empty_members": (b",, no-store ,\t,", {b"no-store": [None]}),
    "5.2_twice": (b"max-age=1, max-age=2", {b"max-age": [b"1", b"2"]}),
    "5.2_unclosed": (b'x="a, no-store', {b"x": [b'"a'], b"no-store": [None]}),
    "5.2_unclosed_by_escape": (b'x="a\\", no-store', {b"x": [b"a\\"], b"no-store": [None]}),
    "5.2_lone_backslash": (b'x="a, y\\', {b"x": [b'"a'], b"y\\": [None]}),
    "5.2_space_before_equals": (b"no-store =1", {b"no-store": [b"1"]}),
    "5.2_space_after_equals": (b"max-age= 1", {b"max-age": [b" 1"]}),
    "5.2_empty": (b"", {}),
}


@pytest.mark.parametrize(("value", "wanted"), DIRECTIVES.values(), ids=DIRECTIVES)
def test_directives(value: bytes, wanted: dict[bytes, list[bytes | None]]) -> None:
    assert directives(value) == wanted


@given(st.binary())
def test_no_directive_raises(value: bytes) -> None:
    for fields in Fields([(CC, value)]), Fields([(CC, b'"' + value)]):
        request_directives(fields)
        response_directives(fields)


@given(st.text(string.printable).map(lambda text: text.encode()))
def test_an_unquoted_no_store_is_always_found(value: bytes) -> None:
    assert b"no-store" in directives(b"no-store," + value)
    if value.count(b'"') == 0:
        assert b"no-store" in directives(value + b",no-store")


REQUESTS = {
    "5.2.1_none": ([], NOTHING_ASKED),
    "5.2.1.1_max_age": ([(CC, b"max-age=5")], RequestDirectives(max_age=5)),
    "5.2.1.1_max_age_invalid": ([(CC, b"max-age=5s")], RequestDirectives(max_age=0)),
    "5.2.1.1_max_age_negative": ([(CC, b"max-age=-5")], RequestDirectives(max_age=0)),
    "5.2.1.1_max_age_twice": (
        [(CC, b"max-age=5"), (CC, b"max-age=3")],
        RequestDirectives(max_age=3),
    ),
    "5.2.1.2_max_stale": ([(CC, b"max-stale=9")], RequestDirectives(max_stale=9)),
    "5.2.1.2_max_stale_any": ([(CC, b"max-stale")], RequestDirectives(max_stale=inf)),
    "5.2.1.2_max_stale_invalid": ([(CC, b"max-stale=x")], RequestDirectives(max_stale=0)),
    "5.2.1.2_max_stale_twice": ([(CC, b"max-stale, max-stale=2")], RequestDirectives(max_stale=2)),
    "5.2.1.3_min_fresh": ([(CC, b"min-fresh=9")], RequestDirectives(min_fresh=9)),
    "5.2.1.3_min_fresh_invalid": ([(CC, b"min-fresh")], RequestDirectives(min_fresh=FOREVER)),
    "5.2.1.4_no_cache": ([(CC, b"no-cache")], RequestDirectives(no_cache=True)),
    "5.2.1.5_no_store": ([(CC, b"no-store")], RequestDirectives(no_store=True)),
    "5.2.1.7_only_if_cached": ([(CC, b"only-if-cached")], RequestDirectives(only_if_cached=True)),
    "5.4_pragma": ([(b"Pragma", b"x, No-Cache")], RequestDirectives(no_cache=True)),
    "5.4_pragma_yields": (
        [(b"Pragma", b"no-cache"), (CC, b"max-age=5")],
        RequestDirectives(max_age=5),
    ),
    "5.4_other_pragma": ([(b"Pragma", b"x")], NOTHING_ASKED),
    "long_value": ([(CC, b"x" * 300 + b", no-cache")], RequestDirectives(no_cache=True)),
}


@pytest.mark.parametrize(("lines", "wanted"), REQUESTS.values(), ids=REQUESTS)
def test_request_directives(lines: Lines, wanted: RequestDirectives) -> None:
    assert request_directives(Fields(lines)) == wanted


RESPONSES = {
    "5.2.2.1_max_age": (b"max-age=60", ResponseDirectives(max_age=60)),
    "5.2.2.1_max_age_quoted": (b'max-age="60"', ResponseDirectives(max_age=60)),
    "5.2.2.1_max_age_empty": (b"max-age=", ResponseDirectives(max_age=0)),
    "5.2.2.1_max_age_bare": (b"max-age", ResponseDirectives(max_age=0)),
    "5.2.2.1_max_age_fraction": (b"max-age=60.5", ResponseDirectives(max_age=0)),
    "5.2.2.1_max_age_plus": (b"max-age=+60", ResponseDirectives(max_age=0)),
    "5.2.2.1_max_age_spaced": (b"max-age = 60", ResponseDirectives(max_age=0)),
    "5.2.2.1_max_age_single_quotes": (b"max-age='60'", ResponseDirectives(max_age=0)),
    "5.2.2.1_max_age_twice": (b"max-age=60, max-age=5", ResponseDirectives(max_age=5)),
    "5.2.2.1_one_invalid": (b"max-age=60, max-age=x", ResponseDirectives(max_age=0)),
    "1.2.2_overflow": (b"max-age=99999999999999999999", ResponseDirectives(max_age=FOREVER)),
    "1.2.2_very_long": (b"max-age=" + b"9" * 9999, ResponseDirectives(max_age=FOREVER)),
    "1.2.2_leading_zeros": (b"max-age=0000000000000060", ResponseDirectives(max_age=60)),
    "1.2.2_only_zeros": (b"max-age=" + b"0" * 20, ResponseDirectives(max_age=0)),
    "5.2.2.2_must_revalidate": (b"must-revalidate", ResponseDirectives(must_revalidate=True)),
    "5.2.2.3_must_understand": (b"must-understand, no-store", ResponseDirectives()),
    "5.2.2.4_no_cache": (b"no-cache", ResponseDirectives(no_cache=True)),
    "5.2.2.4_with_fields": (
        b'no-cache="Set-Cookie, x-a"',
        ResponseDirectives(withheld=frozenset({b"set-cookie", b"x-a"})),
    ),
    "5.2.2.4_token_form": (b"no-cache=x-a", ResponseDirectives(withheld=frozenset({b"x-a"}))),
    "5.2.2.4_no_fields": (b'no-cache=""', ResponseDirectives(no_cache=True)),
    "5.2.2.4_both_forms": (b'no-cache="x-a", no-cache', ResponseDirectives(no_cache=True)),
    "5.2.2.4_no_field_name": (b'no-cache="a b"', ResponseDirectives(no_cache=True)),
    "5.2.2.4_of_the_body": (b'no-cache="content-encoding"', ResponseDirectives(no_cache=True)),
    "5.2.2.5_no_store": (b"NO-STORE", ResponseDirectives(no_store=True)),
    "5.2.2.5_with_argument": (b"no-store=1", ResponseDirectives(no_store=True)),
    "5.2.2.7_private": (b"private", ResponseDirectives(private=True)),
    "5.2.2.7_with_fields": (
        b'private="X-User"',
        ResponseDirectives(withheld=frozenset({b"x-user"})),
    ),
    "5.2.2.7_of_vary": (b'private="vary"', ResponseDirectives(private=True)),
    "5.2.2.8_proxy_revalidate": (b"proxy-revalidate", ResponseDirectives(proxy_revalidate=True)),
    "5.2.2.9_public": (b"public", ResponseDirectives(public=True)),
    "5.2.2.10_s_maxage": (b"s-maxage=7", ResponseDirectives(s_maxage=7)),
    "5.2.2.10_s_maxage_invalid": (b"s-maxage=a", ResponseDirectives(s_maxage=0)),
    "5.2.3_unknown": (b"community=UCI", ResponseDirectives()),
    "long_value": (b"x" * 300 + b", no-store", ResponseDirectives(no_store=True)),
}


@pytest.mark.parametrize(("value", "wanted"), RESPONSES.values(), ids=RESPONSES)
def test_response_directives(value: bytes, wanted: ResponseDirectives) -> None:
    assert response_directives(Fields([(CC, value)])) == wanted


# -- storing --

FRESH = (CC, b"max-age=60")
AUTHORIZATION = (b"Authorization", b"Basic eDp5")
COOKIE = (b"Set-Cookie", b"a=b")

STORED: dict[str, tuple[Lines, int, Lines]] = {
    "3_max_age": ([], 200, [FRESH]),
    "3_s_maxage": ([], 302, [(CC, b"s-maxage=60")]),
    "3_expires": ([], 302, [(b"Expires", date(60))]),
    "3_public": ([], 302, [(CC, b"public")]),
    "3_heuristic_status": ([], 200, []),
    "3_heuristic_404": ([], 404, []),
    "3_explicit_500": ([], 500, [FRESH]),
    "3_no_cache_is_stored": ([], 200, [(CC, b"no-cache"), (b"ETag", b'"a"')]),
    "3.5_authorization_public": ([AUTHORIZATION], 200, [(CC, b"public, max-age=5")]),
    "3.5_authorization_s_maxage": ([AUTHORIZATION], 200, [(CC, b"s-maxage=5")]),
    "3.5_authorization_must_revalidate": (
        [AUTHORIZATION],
        200,
        [(CC, b"max-age=5, must-revalidate")],
    ),
    "5.2.2.3_must_understand": ([], 200, [(CC, b"must-understand, no-store, max-age=5")]),
    "5.2.2.7_private_field": ([], 200, [(CC, b'private="x-user", max-age=5')]),
    "7.3_set_cookie_public": ([], 200, [COOKIE, (CC, b"public, max-age=5")]),
    "7.3_set_cookie_s_maxage": ([], 200, [COOKIE, (CC, b"s-maxage=5")]),
    "7.3_set_cookie_withheld": ([], 200, [COOKIE, (CC, b'no-cache="set-cookie", max-age=5')]),
    "4.1_vary_on_another_than_ended_here": (
        [(b"Connection", b"X-B"), (b"X-A", b"1")],
        200,
        [FRESH, (b"Vary", b"X-A")],
    ),
    "4.1_vary": ([], 200, [FRESH, (b"Vary", b"Accept, X-A")]),
    "request_max_age": ([(CC, b"max-age=0")], 200, [FRESH]),
    "request_cookie": ([(b"Cookie", b"a=b")], 200, [FRESH]),
    "empty_body": ([(b"Content-Length", b"0")], 200, [FRESH]),
}
REFUSED: dict[str, tuple[Lines, int, Lines, str]] = {
    "3_status_not_heuristic": ([], 302, [], "status"),
    "3_status_unknown": ([], 299, [FRESH], "status"),
    "3_status_of_the_request_400": ([], 400, [FRESH], "status"),
    "3_status_of_the_request_401": ([], 401, [FRESH], "status"),
    "3_status_of_the_request_407": ([], 407, [FRESH], "status"),
    "3_status_of_the_request_412": ([], 412, [FRESH], "status"),
    "3_status_of_the_request_416": ([], 416, [FRESH], "status"),
    "3_status_of_the_request_431": ([], 431, [FRESH], "status"),
    "3_interim": ([], 103, [FRESH], "status"),
    "3_304": ([], 304, [FRESH], "status"),
    "3.3_partial": ([], 206, [FRESH], "partial"),
    "3.3_range_request": ([(b"Range", b"bytes=0-1")], 200, [FRESH], "range"),
    "5.2.1.5_request_no_store": ([(CC, b"no-store")], 200, [FRESH], "no-store"),
    "5.2.2.5_no_store": ([], 200, [(CC, b"no-store, max-age=60")], "no-store"),
    "5.2.2.5_second_line": ([], 200, [FRESH, (CC, b"no-store")], "no-store"),
    "5.2.2.5_unclosed_quote": ([], 200, [(CC, b'max-age=5, x="a, no-store')], "no-store"),
    "5.2.2.7_private": ([], 200, [(CC, b"private, max-age=60")], "private"),
    "5.2.2.7_private_and_public": ([], 200, [(CC, b"private, public")], "private"),
    "5.2.2.3_must_understand_unknown": ([], 299, [(CC, b"must-understand, max-age=5")], "status"),
    "3.5_authorization": ([AUTHORIZATION], 200, [FRESH], "authorization"),
    "3.5_authorization_proxy_revalidate": (
        [AUTHORIZATION],
        200,
        [(CC, b"max-age=5, proxy-revalidate")],
        "authorization",
    ),
    "7.3_set_cookie": ([], 200, [FRESH, COOKIE], "set-cookie"),
    "4.1_vary_any": ([], 200, [FRESH, (b"Vary", b"*")], "vary"),
    "4.1_vary_any_among_others": ([], 200, [FRESH, (b"Vary", b"accept, *")], "vary"),
    "4.1_vary_second_line": ([], 200, [FRESH, (b"Vary", b"a"), (b"Vary", b"*")], "vary"),
    "4.1_vary_on_who_asks": ([], 200, [FRESH, (b"Vary", b"Accept, X-Forwarded-For")], "vary"),
    "4.1_vary_on_what_ended_here": (
        [(b"Connection", b"close, X-A"), (b"X-A", b"1")],
        200,
        [FRESH, (b"Vary", b"x-a")],
        "vary",
    ),
    "4.1_vary_no_name": ([], 200, [FRESH, (b"Vary", b"a b")], "vary"),
    "request_body": ([(b"Content-Length", b"3")], 200, [FRESH], "body"),
    "request_chunked": ([(b"Transfer-Encoding", b"chunked")], 200, [FRESH], "body"),
}


@pytest.mark.parametrize(("asked", "status", "said"), STORED.values(), ids=STORED)
def test_may_be_stored(asked: Lines, status: int, said: Lines) -> None:
    assert may_store(get(*asked), Response(status, Fields(said))) is None


@pytest.mark.parametrize(("asked", "status", "said", "reason"), REFUSED.values(), ids=REFUSED)
def test_may_not_be_stored(asked: Lines, status: int, said: Lines, reason: str) -> None:
    assert may_store(get(*asked), Response(status, Fields(said))) == reason


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"DELETE", b"OPTIONS", b"TRACE", b"get", b"X"])
def test_only_get_is_stored(method: bytes) -> None:
    assert may_store(Request(method, b"/", Fields()), Response(200, Fields([FRESH]))) == "method"


def test_a_head_is_judged_as_its_get() -> None:
    assert may_store(Request(b"HEAD", b"/", Fields()), Response(200, Fields([FRESH]))) is None


def test_has_content() -> None:
    assert not has_content(Fields())
    assert has_content(Fields([(b"Content-Length", b"00")]))  # odd: as if it had some


def test_stored_fields_are_those_of_the_response_not_of_the_hop() -> None:  # §3.1
    lines = [
        (b"Date", date(0)),
        (b"Content-Type", b"text/html"),
        (b"Connection", b"close, X-Hop, Cache-Control"),  # the last is not its to take away
        (b"X-Hop", b"1"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Keep-Alive", b"timeout=5"),
        (b"Proxy-Authenticate", b"Basic"),
        (b"Age", b"5"),
        (b"Content-Length", b"3"),
        (CC, b'private="x-user", no-cache="X-Once"'),
        (b"X-User", b"me"),
        (b"X-Once", b"1"),
        (b"Via", b"1.1 a"),
    ]
    kept = stored_fields(Fields(lines), NOW)
    assert [name for name, _ in kept] == [b"Date", b"Content-Type", CC, b"Via"]


@pytest.mark.parametrize("lines", [[], [(b"Date", b"now")], [(b"Date", date(0))] * 2])
def test_a_response_without_a_valid_date_gets_that_of_its_receipt(lines: Lines) -> None:
    assert stored_fields(Fields(lines), NOW + 7.5).all(b"date") == [date(7)]  # RFC 9110 §6.6.1


# -- freshness and age --

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
    "5.1_age_invalid": (200, [FRESH, (b"Age", b"-3")], 0),
    "5.1_age_text": (200, [FRESH, (b"Age", b"x")], 0),
    "5.1_age_list": (200, [FRESH, (b"Age", b"3, x")], 60),
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
    fresh = freshness(Response(200, Fields([(CC, said)])), NOW, NOW)
    wanted = NOTHING_ASKED if asked is None else request_directives(Fields([(CC, asked)]))
    assert must_forward(fresh, wanted, NOW + age) == reason
    assert fresh.usable(NOW + age) is (age < 100 and b"no-cache" not in said)


# -- variants --

A = b"Accept"
AE = b"Accept-Encoding"
VARIANTS: dict[str, tuple[bytes, Lines, Lines, bool]] = {
    "4.1_no_vary": (b"", [(A, b"a")], [(A, b"b")], True),
    "4.1_same": (b"accept", [(A, b"a")], [(A, b"a")], True),
    "4.1_other": (b"accept", [(A, b"a")], [(A, b"b")], False),
    "4.1_absent_in_both": (b"accept", [], [], True),
    "4.1_absent_then_present": (b"accept", [], [(A, b"a")], False),
    "4.1_present_then_absent": (b"accept", [(A, b"a")], [], False),
    "4.1_empty_is_not_absent": (b"accept", [(A, b"")], [], False),
    "4.1_other_fields_are_free": (b"accept", [(A, b"a")], [(A, b"a"), (b"X", b"1")], True),
    "4.1_one_of_two_differs": (b"a, b", [(b"A", b"1"), (b"B", b"1")], [(b"A", b"1")], False),
    "4.1_case_of_names": (b"ACCEPT", [(b"aCCept", b"a")], [(A, b"a")], True),
    "4.1_lines_combined": (b"x", [(b"X", b"1"), (b"X", b"2")], [(b"X", b"1, 2")], True),
    "4.1_order_matters": (b"x", [(b"X", b"1, 2")], [(b"X", b"2, 1")], False),
    "4.1_case_matters": (b"x", [(b"X", b"a")], [(b"X", b"A")], False),
    "4.1_encodings_any_order": (AE, [(AE, b"gzip, br")], [(AE, b"BR ,gzip")], True),
    "4.1_encodings_differ": (AE, [(AE, b"gzip, br")], [(AE, b"gzip")], False),
    "4.1_encoding_quality": (AE, [(AE, b"gzip;q=1")], [(AE, b"gzip;q=0")], False),
    "4.1_long_encodings": (AE, [(AE, b"a" * 300)], [(AE, b"a" * 300)], True),
    "4.1_cookie": (b"Cookie", [(b"Cookie", b"a=1")], [(b"Cookie", b"a=2")], False),
}


@pytest.mark.parametrize(("vary", "first", "second", "same"), VARIANTS.values(), ids=VARIANTS)
def test_variants(vary: bytes, first: Lines, second: Lines, same: bool) -> None:
    response = Fields([(b"Vary", vary)] if vary else [])
    stored = variant(Fields(first), response)
    assert selects(Fields(first), stored)
    assert selects(Fields(second), stored) is same


def test_vary_names_in_one_order_each_once() -> None:
    assert vary_names(Fields([(b"Vary", b"B, a"), (b"vary", b"b,,")])) == (b"a", b"b")
    assert vary_names(Fields()) == ()


# -- invalidation --

URL = "http://a.example/x/y?q"
LOCATION = b"Location"
INVALIDATED: dict[str, tuple[bytes, int, Lines, list[str]]] = {
    "4.4_put": (b"PUT", 204, [], [URL]),
    "4.4_post_redirect": (b"POST", 303, [], [URL]),
    "4.4_unknown_method": (b"BREW", 200, [], [URL]),
    "4.4_get": (b"GET", 200, [(LOCATION, b"/z")], []),
    "4.4_safe_options": (b"OPTIONS", 200, [], []),
    "4.4_error": (b"PUT", 404, [], []),
    "4.4_server_error": (b"DELETE", 500, [], []),
    "4.4_location": (b"POST", 201, [(LOCATION, b"/z")], [URL, "http://a.example/z"]),
    "4.4_relative": (b"POST", 201, [(LOCATION, b"z#f")], [URL, "http://a.example/x/z"]),
    "4.4_absolute": (
        b"POST",
        201,
        [(LOCATION, b"http://A.example:80/z")],
        [URL, "http://A.example:80/z"],
    ),
    "4.4_content_location": (
        b"PUT",
        200,
        [(LOCATION, b"/z"), (b"Content-Location", b"/w")],
        [URL, "http://a.example/z", "http://a.example/w"],
    ),
    "4.4_target_once": (b"PUT", 200, [(b"Content-Location", b"?q")], [URL]),
    "4.4_other_host": (b"POST", 201, [(LOCATION, b"http://b.example/z")], [URL]),
    "4.4_other_port": (b"POST", 201, [(LOCATION, b"http://a.example:81/z")], [URL]),
    "4.4_other_scheme": (b"POST", 201, [(LOCATION, b"https://a.example/z")], [URL]),
    "4.4_network_path": (b"POST", 201, [(LOCATION, b"//b.example/z")], [URL]),
    "4.4_no_scheme_to_follow": (b"POST", 201, [(LOCATION, b"javascript:0")], [URL]),
    "4.4_bad_port": (b"POST", 201, [(LOCATION, b"http://a.example:x/z")], [URL]),
    "4.4_bad_ipv6": (b"POST", 201, [(LOCATION, b"http://[::1/z")], [URL]),
}


@pytest.mark.parametrize(
    ("method", "status", "lines", "urls"), INVALIDATED.values(), ids=INVALIDATED
)
def test_invalidated(method: bytes, status: int, lines: Lines, urls: list[str]) -> None:
    assert invalidated(method, URL, Response(status, Fields(lines))) == urls


@given(st.binary())
def test_no_location_raises(value: bytes) -> None:
    assert invalidated(b"PUT", URL, Response(200, Fields([(LOCATION, value)])))[0] == URL
