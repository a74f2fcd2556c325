"""What is said to caches, row by row; names begin with RFC 9111's section, or another's number."""

from __future__ import annotations

import string
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistproxy.http.directives import (
    FOREVER,
    NOTHING_ASKED,
    NOTHING_SAID,
    RequestDirectives,
    ResponseDirectives,
    directives,
    request_directives,
    response_directives,
)
from twistproxy.http.fields import Fields

CC = b"Cache-Control"
CDN = b"CDN-Cache-Control"
OURS = b"Twistproxy-Cache-Control"
EXPIRES = b"Expires"

Lines = list[tuple[bytes, bytes]]


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
    for name in (CC, CDN):
        for fields in Fields([(name, value)]), Fields([(name, b'"' + value)]):
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
    "5861_4_stale_if_error": ([(CC, b"stale-if-error=9")], RequestDirectives(stale_if_error=9)),
    "5861_4_stale_if_error_invalid": (
        [(CC, b"stale-if-error")],
        RequestDirectives(stale_if_error=0),
    ),
    "5861_4_stale_if_error_twice": (
        [(CC, b"stale-if-error=9, stale-if-error=3")],
        RequestDirectives(stale_if_error=3),
    ),
    "8246_2_immutable_means_nothing_here": ([(CC, b"immutable")], RequestDirectives()),
    "9213_2_targeted_fields_are_for_responses": ([(CDN, b"no-cache")], NOTHING_ASKED),
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
    "5.2.2.3_must_understand": (
        b"must-understand, no-store",
        ResponseDirectives(must_understand=True, no_store=True),
    ),
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
    "5861_3_stale_while_revalidate": (
        b"stale-while-revalidate=9",
        ResponseDirectives(stale_while_revalidate=9),
    ),
    "5861_3_invalid": (b"stale-while-revalidate", ResponseDirectives()),
    "5861_3_twice": (
        b"stale-while-revalidate=9, stale-while-revalidate=3",
        ResponseDirectives(stale_while_revalidate=3),
    ),
    "5861_4_stale_if_error": (b"stale-if-error=9", ResponseDirectives(stale_if_error=9)),
    "5861_4_none": (b"stale-if-error=0", ResponseDirectives(stale_if_error=0)),
    "5861_4_invalid": (b"stale-if-error=x", ResponseDirectives(stale_if_error=0)),
    "8246_2_immutable": (b"immutable", ResponseDirectives(immutable=True)),
    "8246_2_arguments_mean_nothing": (b"immutable=0", ResponseDirectives(immutable=True)),
    "5.2.3_unknown": (b"community=UCI", ResponseDirectives()),
    "long_value": (b"x" * 300 + b", no-store", ResponseDirectives(no_store=True)),
}


@pytest.mark.parametrize(("value", "wanted"), RESPONSES.values(), ids=RESPONSES)
def test_response_directives(value: bytes, wanted: ResponseDirectives) -> None:
    assert response_directives(Fields([(CC, value)])) == wanted


def cdn(**said: object) -> ResponseDirectives:
    return ResponseDirectives(source=b"cdn-cache-control", **said)  # type: ignore[arg-type]


HOUR = (CC, b"max-age=3600")
OF_CC = ResponseDirectives(max_age=3600)
SELECTED: dict[str, tuple[Lines, ResponseDirectives]] = {
    "2.2_instead_of_cache_control": ([(CDN, b"max-age=1"), HOUR], cdn(max_age=1)),
    "2.2_wholly": ([(CDN, b"max-age=1"), (CC, b"no-store, private")], cdn(max_age=1)),
    "2.2_restricts_too": ([(CDN, b"no-store"), HOUR], cdn(no_store=True)),
    "2.2_in_any_order_of_lines": ([HOUR, (CDN, b"private")], cdn(private=True)),
    "2.2_ours_first": (
        [(CDN, b"max-age=1"), (OURS, b"max-age=2"), HOUR],
        ResponseDirectives(max_age=2, source=b"twistproxy-cache-control"),
    ),
    "2.2_the_next_if_ours_is_invalid": (
        [(CDN, b"max-age=1"), (OURS, b"MAX-AGE=2"), HOUR],
        cdn(max_age=1),
    ),
    "2.2_no_directive_of_ours": ([(CDN, b"none"), (CC, b"no-store")], cdn()),
    "2.2_others_are_not_for_us": ([(b"Other-CDN-Cache-Control", b"no-store"), HOUR], OF_CC),
    "2.2_all_directives": (
        [
            (
                CDN,
                b"max-age=1, s-maxage=2, no-cache, must-revalidate, proxy-revalidate, public,"
                b" immutable, must-understand, stale-while-revalidate=3, stale-if-error=4",
            )
        ],
        cdn(
            max_age=1,
            s_maxage=2,
            no_cache=True,
            must_revalidate=True,
            proxy_revalidate=True,
            public=True,
            immutable=True,
            must_understand=True,
            stale_while_revalidate=3,
            stale_if_error=4,
        ),
    ),
    "2.1_extension": ([(CDN, b"foobar, max-age=1, x=(a b), y=1.5;z")], cdn(max_age=1)),
    "2.1_parameters_mean_nothing": ([(CDN, b"max-age=1;no-store, x;y=z")], cdn(max_age=1)),
    "2.1_two_lines": ([(CDN, b"max-age=1"), (CDN, b"public")], cdn(max_age=1, public=True)),
    "2.1_last_of_a_name": ([(CDN, b"max-age=9, max-age=1")], cdn(max_age=1)),  # RFC 9651 §4.2.2
    "2.1_fields_as_string": (
        [(CDN, b'no-cache="x-a, x-b", private="x-c"')],
        cdn(withheld=frozenset({b"x-a", b"x-b", b"x-c"})),
    ),
    "2.1_fields_as_token": ([(CDN, b"private=x-c")], cdn(withheld=frozenset({b"x-c"}))),
    "2.1_large": ([(CDN, b"max-age=99999999999")], cdn(max_age=FOREVER)),
    "2.1_negative": ([(CDN, b"max-age=-1"), HOUR], cdn(max_age=0)),
    "2.1_empty": ([(CDN, b""), HOUR], OF_CC),
    "2.1_blank": ([(CDN, b"  "), HOUR], OF_CC),
    "2.1_unknown_type": ([(CDN, b"max-age=1, &&&&&"), HOUR], OF_CC),
    "2.1_upper_case": ([(CDN, b"Max-Age=1"), HOUR], OF_CC),
    "2.1_trailing_comma": ([(CDN, b"max-age=1,"), HOUR], OF_CC),
    "2.1_empty_line_before": ([(CDN, b""), (CDN, b"max-age=1"), HOUR], OF_CC),
    "2.1_space_before_equals": ([(CDN, b"max-age =1"), HOUR], OF_CC),
    "2.1_space_after_equals": ([(CDN, b"max-age= 1"), HOUR], OF_CC),
    "2.1_sixteen_digits": ([(CDN, b"max-age=1234567890123456"), HOUR], OF_CC),
    "2.1_single_quotes": ([(CDN, b"max-age='1'"), HOUR], OF_CC),
    "2.1_not_ascii": ([(CDN, b"max-age=1, \xe9"), HOUR], OF_CC),
    "2.1_invalid_no_store": ([(CDN, b"no-store, =1"), HOUR], OF_CC),
    "2.1_number_in_quotes": ([(CDN, b'max-age="1"'), HOUR], OF_CC),
    "2.1_decimal": ([(CDN, b"max-age=1.0"), HOUR], OF_CC),
    "2.1_number_missing": ([(CDN, b"max-age"), HOUR], OF_CC),
    "2.1_list_for_number": ([(CDN, b"s-maxage=(1 2)"), HOUR], OF_CC),
    "2.1_number_for_flag": ([(CDN, b"public=1, max-age=1"), HOUR], OF_CC),
    "2.1_flag_that_is_false": ([(CDN, b"public=?0, max-age=1"), HOUR], OF_CC),
    "2.1_bytes_for_fields": ([(CDN, b"no-cache=:aGk=:"), HOUR], cdn(no_cache=True)),
    "2.1_no_store_in_any_form": ([(CDN, b"no-store=?0"), HOUR], cdn(no_store=True)),
    "2.1_private_beside_a_wrong_type": (
        [(CDN, b'private, max-age="1"'), HOUR],
        cdn(private=True, max_age=0),
    ),
    "2.1_too_long": ([(CDN, b"max-age=1, " + b"a, " * 2000 + b"b"), HOUR], OF_CC),
    "2.1_long": ([(CDN, b"max-age=1, " + b"a, " * 200 + b"b"), HOUR], cdn(max_age=1)),
    "2.1_invalid_alone": ([(CDN, b"max-age=")], NOTHING_SAID),
}


@pytest.mark.parametrize(
    ("lines", "wanted"), SELECTED.values(), ids=[f"9213_{n}" for n in SELECTED]
)
def test_targeted_fields(lines: Lines, wanted: ResponseDirectives) -> None:
    said = response_directives(Fields(lines))
    assert said == wanted
    assert said.targeted is (wanted.source != b"cache-control")


def test_a_targeted_field_can_not_be_withheld() -> None:
    said = response_directives(Fields([(CC, b'private="cdn-cache-control"')]))
    assert said.private
    assert not said.withheld


@given(st.text(st.sampled_from('no-stre,"=\\ 1()?;')).map(str.encode))
def test_a_targeted_field_is_read_like_cache_control_or_not_at_all(value: bytes) -> None:
    """What parses as a dictionary means what it would mean in Cache-Control, if it is not odd."""
    said = response_directives(Fields([(CDN, value)]))
    same = response_directives(Fields([(CC, value)]))
    if said.targeted and b"?" not in value and b";" not in value and b"(" not in value:
        assert said._replace(source=same.source) == same
