"""Validators and conditions (RFC 9110 §8.8, §13; RFC 9111 §3.2, §4.3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistproxy.http.conditional import (
    ask,
    conditions,
    confirms,
    identified,
    is_unmodified,
    not_modified,
    same_head,
    updated,
)
from twistproxy.http.fields import Fields
from twistproxy.http.message import Request, Response

NOW = 784111800.0
EARLIER = b"Sun, 06 Nov 1994 08:00:00 GMT"
THEN = b"Sun, 06 Nov 1994 08:49:37 GMT"
LATER = b"Sun, 06 Nov 1994 09:00:00 GMT"


def fields(*lines: tuple[bytes, bytes]) -> Fields:
    return Fields(lines)


ASKED = {
    "4.3.1_etag": (fields((b"ETag", b'"a"')), [(b"If-None-Match", b'"a"')]),
    "4.3.1_weak_etag": (fields((b"ETag", b'W/"a"')), [(b"If-None-Match", b'W/"a"')]),
    "4.3.1_last_modified": (fields((b"Last-Modified", THEN)), [(b"If-Modified-Since", THEN)]),
    "4.3.1_both": (
        fields((b"ETag", b'"a"'), (b"Last-Modified", THEN)),
        [(b"If-None-Match", b'"a"'), (b"If-Modified-Since", THEN)],
    ),
    "8.8.3_unquoted_etag": (fields((b"ETag", b"a")), []),
    "8.8.3_two_etags": (fields((b"ETag", b'"a"'), (b"ETag", b'"b"')), []),
    "5.6.7_no_date": (fields((b"Last-Modified", b"yesterday")), []),
    "no_validator": (fields((b"Date", THEN)), []),
}


@pytest.mark.parametrize(("stored", "wanted"), ASKED.values(), ids=ASKED)
def test_conditions(stored: Fields, wanted: list[tuple[bytes, bytes]]) -> None:
    assert conditions(stored) == wanted


def test_our_conditions_take_the_place_of_the_clients() -> None:
    request = fields((b"Host", b"a"), (b"If-None-Match", b'"old"'), (b"If-Modified-Since", EARLIER))
    assert ask(request, [(b"If-None-Match", b'"a"')]) == fields(
        (b"Host", b"a"), (b"If-None-Match", b'"a"')
    )


CONFIRMED = {
    "4.3.4_same_etag": (fields((b"ETag", b'"a"')), fields((b"ETag", b'"a"')), True),
    "4.3.4_other_etag": (fields((b"ETag", b'"a"')), fields((b"ETag", b'"b"')), False),
    "4.3.4_weak_304": (fields((b"ETag", b'"a"')), fields((b"ETag", b'W/"a"')), True),
    "4.3.4_weak_stored": (fields((b"ETag", b'W/"a"')), fields((b"ETag", b'"a"')), True),
    "4.3.4_nothing_said": (fields((b"ETag", b'"a"')), fields(), True),
    "4.3.4_same_date": (fields((b"Last-Modified", THEN)), fields((b"Last-Modified", THEN)), True),
    "4.3.4_other_date": (
        fields((b"Last-Modified", THEN)),
        fields((b"Last-Modified", LATER)),
        False,
    ),
    "4.3.4_etag_outweighs_date": (
        fields((b"ETag", b'"a"'), (b"Last-Modified", THEN)),
        fields((b"ETag", b'"a"'), (b"Last-Modified", LATER)),
        True,
    ),
    "4.3.4_etag_differs_date_same": (
        fields((b"ETag", b'"a"'), (b"Last-Modified", THEN)),
        fields((b"ETag", b'"b"'), (b"Last-Modified", THEN)),
        False,
    ),
}


@pytest.mark.parametrize(("stored", "answer", "wanted"), CONFIRMED.values(), ids=CONFIRMED)
def test_confirms(stored: Fields, answer: Fields, wanted: bool) -> None:
    assert confirms(stored, answer) is wanted


TAG_A, TAG_B, WEAK_A = (
    fields((b"ETag", b'"a"')),
    fields((b"ETag", b'"b"')),
    fields((b"ETag", b'W/"a"')),
)
DATED = fields((b"Last-Modified", THEN))
BARE = fields((b"Server", b"x"))
IDENTIFIED: dict[str, tuple[list[Fields], Fields, list[int]]] = {
    "4.3.4_all_with_a_strong_tag": ([TAG_A, TAG_B, TAG_A], TAG_A, [0, 2]),
    "4.3.4_none_with_a_strong_tag": ([TAG_A, BARE, DATED], TAG_B, []),
    "4.3.4_a_strong_tag_is_not_weak": ([WEAK_A], TAG_A, []),
    "4.3.4_strong_tag_outweighs_date": (
        [DATED, TAG_A],
        fields((b"ETag", b'"a"'), (b"Last-Modified", THEN)),
        [1],
    ),
    "4.3.4_newest_with_a_weak_tag": ([TAG_B, WEAK_A, WEAK_A], WEAK_A, [1]),
    "4.3.4_none_with_a_weak_tag": ([TAG_B, DATED], WEAK_A, []),
    "4.3.4_newest_with_a_date": ([BARE, DATED, DATED], DATED, [1]),
    "4.3.4_other_date": ([DATED], fields((b"Last-Modified", LATER)), []),
    "4.3.4_nothing_said_of_the_only_one": ([BARE], fields(), [0]),
    "4.3.4_nothing_said_but_it_has_a_tag": ([TAG_A], fields(), []),
    "4.3.4_nothing_said_of_one_of_two": ([BARE, BARE], fields(), []),
    "4.3.4_nothing_stored": ([], TAG_A, []),
}


@pytest.mark.parametrize(("stored", "answer", "places"), IDENTIFIED.values(), ids=IDENTIFIED)
def test_identified(stored: list[Fields], answer: Fields, places: list[int]) -> None:
    assert identified(stored, answer) == places


UPDATED = {
    "3.2_replaced": ((b"Cache-Control", b"max-age=1"), (b"Cache-Control", b"max-age=2"), True),
    "3.2_content_type": ((b"Content-Type", b"a/b"), (b"Content-Type", b"c/d"), True),
    "3.2_not_content_length": ((b"Server", b"x"), (b"Content-Length", b"0"), False),
    "3.2_not_content_encoding": (
        (b"Content-Encoding", b"gzip"),
        (b"Content-Encoding", b"br"),
        False,
    ),
    "3.2_not_content_range": ((b"Server", b"x"), (b"Content-Range", b"bytes 0-1/2"), False),
    "3.2_not_the_etags_strength": ((b"ETag", b'W/"a"'), (b"ETag", b'"a"'), False),
}


@pytest.mark.parametrize(("stored", "news", "taken"), UPDATED.values(), ids=UPDATED)
def test_updated(stored: tuple[bytes, bytes], news: tuple[bytes, bytes], taken: bool) -> None:
    result = updated(fields(stored, (b"X-Kept", b"1")), fields(news))
    assert result.get(b"x-kept") == b"1"
    assert (result.get(news[0].lower()) == news[1]) is taken
    if news[0] != stored[0]:
        assert result.get(stored[0].lower()) == stored[1]


def test_updated_replaces_all_lines_of_a_name_by_all_of_the_news() -> None:
    stored = fields((b"Link", b"<a>"), (b"link", b"<b>"), (b"Via", b"1.1 x"))
    result = updated(stored, fields((b"LINK", b"<c>"), (b"Link", b"<d>")))
    assert result.all(b"link") == [b"<c>", b"<d>"]


SAME_HEAD = {
    "4.3.5_same": (fields((b"ETag", b'"a"'), (b"Content-Length", b"5")), True),
    "4.3.5_no_length": (fields((b"ETag", b'"a"')), True),
    "4.3.5_other_length": (fields((b"ETag", b'"a"'), (b"Content-Length", b"6")), False),
    "4.3.5_other_etag": (fields((b"ETag", b'"b"'), (b"Content-Length", b"5")), False),
    "4.3.5_weak_etag": (fields((b"ETag", b'W/"a"')), True),
    "4.3.5_no_validator": (fields(), True),
    "4.3.5_validator_that_we_lack": (fields((b"Last-Modified", THEN)), False),
    "4.3.5_one_of_two_differs": (
        fields((b"ETag", b'"a"'), (b"Last-Modified", THEN)),
        False,
    ),
    "4.3.5_length_that_is_none": (fields((b"Content-Length", b"5, 5")), False),
}


@pytest.mark.parametrize(("head", "wanted"), SAME_HEAD.values(), ids=SAME_HEAD)
def test_same_head(head: Fields, wanted: bool) -> None:
    assert same_head(fields((b"ETag", b'"a"')), 5, head) is wanted


ETAG = (b"ETag", b'"a"')
MODIFIED = (b"Last-Modified", THEN)
INM, IMS = b"If-None-Match", b"If-Modified-Since"
UNMODIFIED = {
    "13.1.2_same_tag": ([(INM, b'"a"')], [ETAG], True),
    "13.1.2_weak_comparison": ([(INM, b'W/"a"')], [ETAG], True),
    "13.1.2_weak_stored": ([(INM, b'"a"')], [(b"ETag", b'W/"a"')], True),
    "13.1.2_one_of_a_list": ([(INM, b'"x", W/"y", "a"')], [ETAG], True),
    "13.1.2_two_lines": ([(INM, b'"x"'), (INM, b'"a"')], [ETAG], True),
    "13.1.2_comma_within_a_tag": ([(INM, b'"a,b"')], [(b"ETag", b'"a,b"')], True),
    "13.1.2_other_tag": ([(INM, b'"b"')], [ETAG], False),
    "13.1.2_part_of_a_tag": ([(INM, b'"xa"')], [ETAG], False),
    "13.1.2_any": ([(INM, b"*")], [ETAG], True),
    "13.1.2_any_without_tag": ([(INM, b"*")], [], True),
    "13.1.2_unquoted": ([(INM, b"a")], [ETAG], False),
    "13.1.2_no_stored_tag": ([(INM, b'"a"')], [MODIFIED], False),
    "13.1.3_same_date": ([(IMS, THEN)], [MODIFIED], True),
    "13.1.3_later_date": ([(IMS, LATER)], [MODIFIED], True),
    "13.1.3_earlier_date": ([(IMS, EARLIER)], [MODIFIED], False),
    "13.1.3_no_date": ([(IMS, b"now")], [MODIFIED], False),
    "13.1.3_two_dates": ([(IMS, LATER), (IMS, LATER)], [MODIFIED], False),
    "13.1.3_old_spelling": ([(IMS, b"Sunday, 06-Nov-94 08:49:37 GMT")], [MODIFIED], True),
    "4.3.2_date_for_last_modified": ([(IMS, LATER)], [(b"Date", THEN)], True),
    "4.3.2_date_is_later": ([(IMS, EARLIER)], [(b"Date", THEN)], False),
    "4.3.2_nothing_to_compare": ([(IMS, LATER)], [], False),
    "13.2.2_tag_outweighs_date": ([(INM, b'"b"'), (IMS, LATER)], [ETAG, MODIFIED], False),
    "13.2.2_tag_without_date": ([(INM, b'"a"'), (IMS, EARLIER)], [ETAG, MODIFIED], True),
    "13.2.2_no_condition": ([], [ETAG, MODIFIED], False),
}


@pytest.mark.parametrize(("asked", "stored", "wanted"), UNMODIFIED.values(), ids=UNMODIFIED)
def test_is_unmodified(
    asked: list[tuple[bytes, bytes]], stored: list[tuple[bytes, bytes]], wanted: bool
) -> None:
    request = Request(b"GET", b"/", Fields(asked))
    assert is_unmodified(request, Response(200, Fields(stored)), NOW) is wanted


@pytest.mark.parametrize("status", [301, 404, 500])
def test_conditions_are_ignored_on_anything_but_a_success(status: int) -> None:  # §13.2.1
    request = Request(b"GET", b"/", fields((INM, b"*")))
    assert not is_unmodified(request, Response(status, fields(ETAG)), NOW)


def test_not_modified_says_what_guides_the_clients_cache() -> None:  # §15.4.5
    full = Response(
        200,
        fields(
            (b"Date", THEN),
            (b"ETag", b'"a"'),
            (b"Cache-Control", b"max-age=5"),
            (b"Vary", b"accept"),
            (b"Content-Location", b"/a"),
            (b"Content-Type", b"text/html"),
            (b"Content-Encoding", b"gzip"),
            (b"Content-Length", b"7"),
        ),
    )
    head = not_modified(full)
    assert head.status == 304
    assert [name for name, _ in head.fields] == [
        b"Date",
        b"ETag",
        b"Cache-Control",
        b"Vary",
        b"Content-Location",
    ]
    assert len(full.fields) == 8


@given(st.binary(), st.binary(), st.binary())
def test_no_value_raises(a: bytes, b: bytes, c: bytes) -> None:
    stored = fields((b"ETag", a), (b"Last-Modified", b), (b"Date", c))
    request = fields((INM, b), (IMS, c))
    ask(request, conditions(stored))
    is_unmodified(Request(b"GET", b"/", request), Response(200, stored), NOW)
    assert confirms(stored, updated(stored, request))
