"""What a shared cache may keep, row by row; names begin with RFC 9111's section."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistproxy.http import caching, freshness
from twistproxy.http.caching import (
    CLAUSES,
    has_content,
    invalidated,
    may_store,
    query_key,
    stored_fields,
)
from twistproxy.http.dates import format_date
from twistproxy.http.fields import Fields
from twistproxy.http.message import Request, Response

NOW = 1_000_000_000.0
CC = b"Cache-Control"
CDN = b"CDN-Cache-Control"

Lines = list[tuple[bytes, bytes]]


def date(seconds: float) -> bytes:
    return format_date(NOW + seconds)


def get(*lines: tuple[bytes, bytes]) -> Request:
    return Request(b"GET", b"/", Fields(lines))


# -- storing --

FRESH = (CC, b"max-age=60")
AUTHORIZATION = (b"Authorization", b"Basic eDp5")
COOKIE = (b"Set-Cookie", b"a=b")
PART = [FRESH, (b"Content-Range", b"bytes 0-1/9")]

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
    "3_public_alone_on_an_unknown_status": ([], 599, [(CC, b"public")]),
    "3_unknown_status": ([], 299, [FRESH]),
    "3_unknown_error": ([], 499, [FRESH]),
    "3_bad_request_that_says_so": ([], 400, [FRESH]),
    "5.2.2.3_must_understand_bad_gateway": ([], 502, [(CC, b"must-understand, max-age=5")]),
    "5.2.2.7_private_on_withheld_cookie": ([], 200, [COOKIE, (CC, b'private="set-cookie"')]),
    "9213_2.2_targeted": ([], 200, [(CC, b"no-store, private"), (CDN, b"max-age=5")]),
    "9213_2.2_explicit": ([], 302, [(CDN, b"max-age=5")]),
    "3.3_whole_for_a_part": ([(b"Range", b"bytes=0-1")], 200, [FRESH]),
    "7.1_error_of_an_ordinary_request": ([(b"User-Agent", b"x" * 2000)], 404, [FRESH]),
    "7.1_success_of_a_large_request": ([(b"X-A", b"x" * 9000)], 200, [FRESH]),
    "request_cookie_explicit": ([(b"Cookie", b"a=b")], 200, [(b"Expires", date(5))]),
    "request_cookie_vary": ([(b"Cookie", b"a=b")], 200, [(b"Vary", b"Cookie")]),
    "request_max_age": ([(CC, b"max-age=0")], 200, [FRESH]),
    "request_cookie": ([(b"Cookie", b"a=b")], 200, [FRESH]),
    "empty_body": ([(b"Content-Length", b"0")], 200, [FRESH]),
}
REFUSED: dict[str, tuple[Lines, int, Lines, str]] = {
    "4.2.2_status_not_heuristic": ([], 302, [], "not-heuristic"),
    "4.2.2_status_unknown": ([], 599, [(b"Last-Modified", date(-9))], "not-heuristic"),
    "4.2.2_bad_request": ([], 400, [], "not-heuristic"),
    "4.2.2_forbidden": ([], 403, [(b"Last-Modified", date(-9))], "not-heuristic"),
    "4.2.2_expires_beside_a_targeted_field": (
        [],
        302,
        [(b"Expires", date(9)), (CDN, b"x")],
        "not-heuristic",
    ),
    "4.2.2_cookie": ([(b"Cookie", b"a=b")], 200, [(b"Last-Modified", date(-9))], "cookie"),
    "4.2.2_cookie_no_cache": ([(b"Cookie", b"a=b")], 200, [(CC, b"no-cache")], "cookie"),
    "3_status_of_the_request_406": ([], 406, [FRESH], "status"),
    "3_status_of_the_request_429": ([], 429, [FRESH], "status"),
    "3_status_of_the_request_511": ([], 511, [FRESH], "status"),
    "3_status_of_the_request_401": ([], 401, [FRESH], "status"),
    "3_status_of_the_request_407": ([], 407, [FRESH], "status"),
    "3_status_of_the_request_412": ([], 412, [FRESH], "status"),
    "3_status_of_the_request_416": ([], 416, [FRESH], "status"),
    "3_status_of_the_request_431": ([], 431, [FRESH], "status"),
    "3_interim": ([], 103, [FRESH], "status"),
    "3_304": ([], 304, [FRESH], "status"),
    "3.3_partial": ([], 206, [FRESH], "partial"),
    "3.3_part_that_nobody_wants": ([(b"Range", b"bytes=0-1")], 206, PART, "partial"),
    "5.2.1.5_request_no_store": ([(CC, b"no-store")], 200, [FRESH], "request-no-store"),
    "9213_2.2_no_store": ([], 200, [FRESH, (CDN, b"no-store")], "no-store"),
    "9213_2.2_private": ([], 200, [FRESH, (CDN, b"private")], "private"),
    "9213_2.1_invalid": ([], 200, [(CC, b"no-store"), (CDN, b'max-age="10000"')], "no-store"),
    "7.1_error_of_a_large_head": ([(b"X-A", b"x" * 5000)], 400, [FRESH], "provoked"),
    "7.1_error_of_an_odd_byte": ([(b"X-A", b"\x07")], 400, [FRESH], "provoked"),
    "7.1_error_of_an_expectation": ([(b"Expect", b"x")], 500, [FRESH], "provoked"),
    "7.1_error_of_a_range": ([(b"Range", b"x")], 400, [FRESH], "provoked"),
    "7.1_error_of_an_odd_name": ([(b"X|A", b"x")], 400, [FRESH], "provoked"),
    "7.1_error_of_a_condition": ([(b"If-Match", b"x")], 400, [FRESH], "provoked"),
    "7.1_error_of_a_type_of_nothing": ([(b"Content-Type", b"x")], 400, [FRESH], "provoked"),
    "5.2.2.5_no_store": ([], 200, [(CC, b"no-store, max-age=60")], "no-store"),
    "5.2.2.5_second_line": ([], 200, [FRESH, (CC, b"no-store")], "no-store"),
    "5.2.2.5_unclosed_quote": ([], 200, [(CC, b'max-age=5, x="a, no-store')], "no-store"),
    "5.2.2.7_private": ([], 200, [(CC, b"private, max-age=60")], "private"),
    "5.2.2.7_private_and_public": ([], 200, [(CC, b"private, public")], "private"),
    "5.2.2.3_must_understand_unknown": (
        [],
        599,
        [(CC, b"must-understand, no-store, max-age=5")],
        "must-understand",
    ),
    "5.2.2.3_must_understand_unknown_alone": (
        [],
        299,
        [(CC, b"must-understand, max-age=5")],
        "must-understand",
    ),
    "5.2.2.3_must_understand_but_the_client": (
        [(CC, b"no-store")],
        200,
        [(CC, b"must-understand, no-store, max-age=5")],
        "request-no-store",
    ),
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
def test_of_others_than_get_nothing_is_stored(method: bytes) -> None:
    assert may_store(Request(method, b"/", Fields()), Response(200, Fields([FRESH]))) == "method"


def test_a_head_is_judged_as_its_get() -> None:
    assert may_store(Request(b"HEAD", b"/", Fields()), Response(200, Fields([FRESH]))) is None


def test_a_query_is_stored_with_its_body() -> None:
    request = Request(b"QUERY", b"/", Fields([(b"Content-Length", b"3")]))
    assert may_store(request, Response(200, Fields([FRESH]))) is None


URL = "http://a.example/x/y?q"
EXPIRES = (b"Expires", date(60))
LOCATED = (b"Content-Location", b"/x/y?q")
POSTED: dict[str, tuple[str | None, int, Lines, str | None]] = {  # RFC 9110 §9.3.3
    "9.3.3_explicit_and_located": (URL, 200, [EXPIRES, LOCATED], None),
    "9.3.3_max_age": (URL, 200, [FRESH, LOCATED], None),
    "8.7_absolute": (URL, 200, [FRESH, (b"Content-Location", URL.encode())], None),
    "8.7_same": (URL, 200, [FRESH, (b"Content-Location", b"")], None),
    "9.3.3_not_explicit": (URL, 200, [LOCATED, (CC, b"public")], "method"),
    "9.3.3_not_located": (URL, 200, [FRESH], "method"),
    "8.7_elsewhere": (URL, 200, [FRESH, (b"Content-Location", b"/x/y")], "method"),
    "8.7_other_host": (URL, 200, [FRESH, (b"Content-Location", b"//b.example/x/y?q")], "method"),
    "8.7_no_url": (URL, 200, [FRESH, (b"Content-Location", b"http://[")], "method"),
    "url_not_told": (None, 200, [FRESH, LOCATED], "method"),
    "5.2.2.5_no_store": (URL, 200, [EXPIRES, LOCATED, (CC, b"no-store")], "no-store"),
}


@pytest.mark.parametrize(("url", "status", "said", "reason"), POSTED.values(), ids=POSTED)
def test_answers_to_post(url: str | None, status: int, said: Lines, reason: str | None) -> None:
    request = Request(b"POST", b"/x/y?q", Fields([(b"Content-Length", b"3")]))
    assert may_store(request, Response(status, Fields(said)), url=url) == reason


RANGE = (b"Range", b"bytes=0-1")
PARTS: dict[str, tuple[bytes, Lines, Lines, str | None]] = {
    "3.3_part": (b"GET", [RANGE], PART, None),
    "3.3_guessed": (b"GET", [RANGE], PART[1:], None),
    "3.3_not_asked_for": (b"GET", [], PART, "partial"),
    "3.3_of_a_head": (b"HEAD", [RANGE], PART, "partial"),
    "3.3_no_range": (b"GET", [RANGE], [FRESH], "partial"),
    "3.3_bad_range": (b"GET", [RANGE], [FRESH, (b"Content-Range", b"bytes 2-1/9")], "partial"),
    "3.3_shorter_than_it_says": (b"GET", [RANGE], [*PART, (b"Content-Length", b"1")], "partial"),
    "3.3_several": (
        b"GET",
        [RANGE],
        [*PART, (b"Content-Type", b"Multipart/Byteranges; boundary=x")],
        "partial",
    ),
    "5.2.2.5_no_store": (b"GET", [RANGE], [(CC, b"no-store"), PART[1]], "no-store"),
}


@pytest.mark.parametrize(("method", "asked", "said", "reason"), PARTS.values(), ids=PARTS)
def test_parts(method: bytes, asked: Lines, said: Lines, reason: str | None) -> None:
    request = Request(method, b"/", Fields(asked))
    assert may_store(request, Response(206, Fields(said)), parts=True) == reason


def test_credentials_that_were_added_on_the_way_count() -> None:  # §3.5
    response = Response(200, Fields([FRESH]))
    assert may_store(get(), response, authorized=True) == "authorization"
    response.fields.set(CC, b"public, max-age=5")
    assert may_store(get(), response, authorized=True) is None


def test_with_a_negative_ttl_errors_are_stored_that_say_nothing() -> None:
    for status in (404, 503):
        assert (
            may_store(get((b"Cookie", b"a=b")), Response(status, Fields()), negative_ttl=5) is None
        )
    assert may_store(get(), Response(503, Fields())) == "not-heuristic"
    assert may_store(get(), Response(403, Fields()), negative_ttl=5) == "not-heuristic"
    assert may_store(get(AUTHORIZATION), Response(404, Fields()), negative_ttl=5) == "authorization"


STEERING: dict[str, tuple[bytes, Lines, str | None]] = {
    "7.1_host": (b"X-Forwarded-Host", [], "unkeyed"),
    "7.1_target": (b"X-Original-URL", [], "unkeyed"),
    "7.1_method": (b"X-HTTP-Method-Override", [], "unkeyed"),
    "7.1_scheme": (b"X-Forwarded-Scheme", [], "unkeyed"),
    "7.1_underscores": (b"X_HTTP_Method-Override", [], "unkeyed"),
    "7.1_dots": (b"X.Forwarded.Host", [], "unkeyed"),
    "7.1_forwarded": (b"Forwarded", [], "unkeyed"),
    "7.1_host_of_a_backend": (b"X-Backend-Host", [], "unkeyed"),
    "7.1_host_of_a_proxy": (b"Proxy-Host", [], "unkeyed"),
    "7.1_url_of_the_base": (b"Base-Url", [], "unkeyed"),
    "7.1_uri": (b"Request-URI", [], "unkeyed"),
    "7.1_target_of_webdav": (b"Destination", [], "unkeyed"),
    "7.1_source_of_a_script": (b"Translate", [], "unkeyed"),
    "7.1_inside_a_framework": (b"X-Invoke-Status", [], "unkeyed"),
    "7.1_no_address": (b"X-Forwarded-For", [], "unkeyed"),
    "7.1_no_address_either": (b"True-Client-IP", [], "unkeyed"),
    "7.1_but_vary": (b"X-Forwarded-Host", [(b"Vary", b"X-Forwarded-Host")], None),
    "7.1_but_ours": (b"X-Forwarded-Proto", [], None),
    "7.1_anything_else": (b"X-A", [], None),
    "7.1_host_itself": (b"Host", [], None),
    "7.1_origin": (b"Origin", [], "unkeyed"),
    "7.1_origin_allowed": (b"Origin", [(b"Access-Control-Allow-Origin", b"x")], "unkeyed"),
    "7.1_origin_like_any": (b"Origin", [(b"Access-Control-Allow-Origin", b"*")], None),
    "7.1_origin_but_vary": (b"Origin", [(b"Vary", b"Origin")], None),
}


@pytest.mark.parametrize(("name", "said", "reason"), STEERING.values(), ids=STEERING)
def test_fields_that_steer_a_server(name: bytes, said: Lines, reason: str | None) -> None:
    request, response = get((name, b"x")), Response(200, Fields([FRESH, *said]))
    assert may_store(request, response, written=frozenset({b"x-forwarded-proto"})) == reason
    assert may_store(request, response) is None  # not asked for


@pytest.mark.parametrize(
    "value", [b"192.0.2.1", b"192.0.2.1, 2001:db8::1", b"unknown,[::1]:80", b""]
)
def test_addresses_of_clients_may_be_told(value: bytes) -> None:
    response = Response(200, Fields([FRESH]))
    for name in (b"X-Forwarded-For", b"X-Client-IP"):
        assert may_store(get((name, value)), response, written=frozenset()) is None
        assert may_store(get((name, value + b"<")), response, written=frozenset()) == "unkeyed"


@given(
    st.sampled_from([b"GET", b"HEAD", b"POST", b"QUERY"]),
    st.integers(100, 599),
    st.lists(
        st.sampled_from(
            [
                (CC, b"no-store"),
                (CC, b"private"),
                (CC, b"public"),
                (CC, b"must-understand"),
                (CC, b"s-maxage=5"),
                (CC, b"max-age=5"),
                (CC, b"must-revalidate"),
                (CDN, b"max-age=5"),
                (CDN, b"no-store"),
                (b"Vary", b"*"),
                COOKIE,
                EXPIRES,
                LOCATED,
            ]
        ),
        unique=True,
    ),
    st.lists(st.sampled_from([AUTHORIZATION, (CC, b"no-store"), RANGE]), unique=True),
)
def test_nothing_is_stored_that_the_rfc_forbids(
    method: bytes, status: int, said: Lines, asked: Lines
) -> None:
    """Its section 3 and 3.5, as one reads them."""
    if may_store(Request(method, b"/", Fields(asked)), Response(status, Fields(said)), url=URL):
        return
    targeted = [each for each in said if each[0] == CDN]
    words = b", ".join(value for name, value in (targeted or said) if name in (CC, CDN))
    assert status >= 200
    assert status not in (206, 304, 428, 429, 431, 511)
    assert b"no-store" not in words or b"must-understand" in words
    if b"must-understand" in words:
        assert status in caching.UNDERSTOOD
    assert b"private" not in words
    assert (CC, b"no-store") not in asked
    assert (b"Vary", b"*") not in said
    if AUTHORIZATION in asked:
        assert any(word in words for word in (b"public", b"must-revalidate", b"s-maxage"))
    explicit = b"max" in words or (EXPIRES in said and not targeted)
    assert explicit or b"public" in words or status in freshness.HEURISTIC
    if method == b"POST":
        assert explicit
        assert LOCATED in said


def test_the_type_of_a_query_is_in_its_key() -> None:
    request = Request(b"QUERY", b"/", Fields([(b"Content-Type", b"x"), (b"Content-Length", b"1")]))
    assert may_store(request, Response(404, Fields([FRESH]))) is None


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
        (b"Proxy-Authentication-Info", b"x"),
        (b"Proxy-Authorization", b"Basic x"),
        (b"Proxy-Connection", b"close"),
        (b"TE", b"trailers"),
        (b"Upgrade", b"x"),
        (b"Age", b"5"),
        (b"Content-Length", b"3"),
        (CC, b'private="x-user", no-cache="X-Once"'),
        (b"X-User", b"me"),
        (b"X-Once", b"1"),
        (b"Via", b"1.1 a"),
    ]
    kept = stored_fields(Fields(lines), NOW)
    assert [name for name, _ in kept] == [b"Date", b"Content-Type", CC, b"Via"]


def test_what_a_targeted_field_withholds_is_not_stored() -> None:
    lines = [(CDN, b'private="x-user"'), (b"X-User", b"me"), (b"X-Once", b"1")]
    kept = stored_fields(Fields([*lines, (CC, b'no-cache="x-once"'), (b"Date", date(0))]), NOW)
    assert [name for name, _ in kept] == [CDN, b"X-Once", CC, b"Date"]


def test_only_of_a_part_the_content_range_is_left_out() -> None:
    fields = Fields([(b"Content-Range", b"bytes 0-1/9"), (b"Date", date(0))])
    assert b"content-range" in stored_fields(fields, NOW)
    assert b"content-range" not in stored_fields(fields, NOW, part=True)


@pytest.mark.parametrize("lines", [[], [(b"Date", b"now")], [(b"Date", date(0))] * 2])
def test_a_response_without_a_valid_date_gets_that_of_its_receipt(lines: Lines) -> None:
    assert stored_fields(Fields(lines), NOW + 7.5).all(b"date") == [date(7)]  # RFC 9110 §6.6.1


# -- the key of a QUERY --

KIND, CODING = b"Content-Type", b"Content-Encoding"


def test_a_query_is_what_it_asks_and_how_that_is_read() -> None:
    keys = [
        query_key(Fields(lines), content)
        for lines, content in [
            ([], b""),
            ([], b"a"),
            ([(KIND, b"")], b"a"),
            ([(KIND, b"text/plain")], b"a"),
            ([(KIND, b"Text/plain")], b"a"),  # not brought into a normal form
            ([(CODING, b"text/plain")], b"a"),
            ([(KIND, b"text/plain"), (CODING, b"gzip")], b"a"),
            ([(b"Content-Language", b"text/plain")], b"a"),
        ]
    ]
    assert len(set(keys)) == len(keys)
    assert {len(key) for key in keys} == {40}


def test_other_fields_are_not_in_the_key_of_a_query() -> None:
    lines = [(b"content-type", b"a/b")]
    assert query_key(Fields([(b"X", b"1"), *lines]), b"a") == query_key(Fields(lines), b"a")


@given(st.binary(), st.binary(), st.binary(), st.binary())
def test_no_two_queries_share_a_key(a: bytes, b: bytes, c: bytes, d: bytes) -> None:
    one, other = Fields([(KIND, a)]), Fields([(KIND, c)])
    assert (query_key(one, b) == query_key(other, d)) is ((a, b) == (c, d))


# -- invalidation --

LOCATION = b"Location"
INVALIDATED: dict[str, tuple[bytes, int, Lines, list[str]]] = {
    "4.4_put": (b"PUT", 204, [], [URL]),
    "4.4_post_redirect": (b"POST", 303, [], [URL]),
    "4.4_unknown_method": (b"BREW", 200, [], [URL]),
    "4.4_get": (b"GET", 200, [(LOCATION, b"/z")], []),
    "4.4_safe_options": (b"OPTIONS", 200, [], []),
    "4.4_query_is_safe": (b"QUERY", 200, [(LOCATION, b"/z")], []),
    "4.4_lower_case_is_another_method": (b"get", 200, [], [URL]),
    "4.4_m_search": (b"M-SEARCH", 200, [], [URL]),
    "4.4_interim": (b"PUT", 103, [], []),
    "4.4_end_of_success": (b"PUT", 399, [], [URL]),
    "4.4_location_of_an_error": (b"POST", 409, [(LOCATION, b"/z")], []),
    "4.4_redirection_elsewhere": (b"POST", 302, [(LOCATION, b"/z")], [URL, "http://a.example/z"]),
    "4.4_userinfo_is_no_origin": (
        b"POST",
        201,
        [(LOCATION, b"http://a.example@b.example/z")],
        [URL],
    ),
    "4.4_backslashes_stay_within": (
        b"POST",
        201,
        [(LOCATION, b"http:\\\\b.example/z")],
        [URL, "http://a.example/x/\\\\b.example/z"],
    ),
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


# -- why --


SOURCE = Path(__file__).parents[2] / "src/twistproxy/http"


def tokens(file: str, function: str) -> set[str]:
    """What a function returns, as literals."""
    (found,) = (
        node
        for node in ast.parse((SOURCE / file).read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name == function
    )
    return {
        node.value
        for each in ast.walk(found)
        if isinstance(each, ast.Return)
        for node in ast.walk(each)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


@pytest.mark.parametrize(
    ("file", "function"),
    [
        ("caching.py", "may_store"),
        ("freshness.py", "must_forward"),
        ("freshness.py", "_lifetime"),
        ("freshness.py", "stale_forbidden"),
    ],
)
def test_each_token_has_its_clause(file: str, function: str) -> None:
    found = tokens(file, function)
    assert found
    assert found <= CLAUSES.keys()


@pytest.mark.parametrize("token", CLAUSES)
def test_a_clause_names_its_section_and_is_a_sentence(token: str) -> None:
    section, text = CLAUSES[token]
    assert section.startswith("RFC ")
    assert "§" in section
    assert text.endswith(".")
    assert "  " not in text
