"""Parts of bodies, row by row; names begin with RFC 9110's section."""

from __future__ import annotations

from email import message_from_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistproxy.http.dates import format_date
from twistproxy.http.fields import Fields
from twistproxy.http.message import Request, Response
from twistproxy.http.ranges import (
    MOST,
    MOST_KEPT,
    ContentRange,
    Parts,
    Span,
    ask_for,
    is_current,
    is_settled,
    not_satisfiable,
    parse_content_range,
    parse_range,
    partial,
    pieces,
    received_part,
    requested,
    same_strongly,
    size_of,
)

NOW = 1_000_000_000.0
BODY = b"0123456789A"
Lines = list[tuple[bytes, bytes]]


def date(seconds: float) -> bytes:
    return format_date(NOW + seconds)


# Of eleven bytes; None: ignored.
ASKED: dict[str, tuple[bytes, list[tuple[int, int]] | None]] = {
    "14.1.2_first_two": (b"bytes=0-1", [(0, 2)]),
    "14.1.2_to_the_end": (b"bytes=1-", [(1, 11)]),
    "14.1.2_last_one": (b"bytes=-1", [(10, 11)]),
    "14.1.2_one_byte": (b"bytes=3-3", [(3, 4)]),
    "14.1.2_over_the_end": (b"bytes=9-99", [(9, 11)]),
    "14.1.2_more_than_all_from_the_end": (b"bytes=-99", [(0, 11)]),
    "14.1.2_all": (b"bytes=0-", [(0, 11)]),
    "14.1.2_two": (b"bytes=0-0,-1", [(0, 1), (10, 11)]),
    "14.1.2_in_the_order_asked": (b"bytes=8-9,0-1,4-5", [(8, 10), (0, 2), (4, 6)]),
    "14.1.2_behind_the_end": (b"bytes=11-", []),
    "14.1.2_suffix_of_nothing": (b"bytes=-0", []),
    "14.1.2_only_one_is_there": (b"bytes=99-,2-3", [(2, 4)]),
    "14.1.2_leading_zeros": (b"bytes=000-001", [(0, 2)]),
    "14.1.1_last_before_first": (b"bytes=5-4", None),
    "14.1.1_one_of_the_set_is_invalid": (b"bytes=0-1,5-4", None),
    "14.1.1_nothing": (b"bytes=", None),
    "14.1.1_only_a_dash": (b"bytes=-", None),
    "14.1.1_negative": (b"bytes=--1", None),
    "14.1.1_text": (b"bytes=a-b", None),
    "14.1.1_space_within": (b"bytes=0 -1", None),
    "14.1.1_plus": (b"bytes=+0-1", None),
    "14.1.1_space_before_equals": (b"bytes =0-1", None),
    "14.1.1_huge": (b"bytes=0-" + b"9" * 5000, None),
    "14.1_other_unit": (b"lines=0-1", None),
    "14.1_unit_in_any_case": (b"Bytes=0-1", [(0, 2)]),
    "14.1_no_unit": (b"0-1", None),
    "5.6.1_empty_elements_and_space": (b"bytes=, 0-1 ,\t4-5,", [(0, 2), (4, 6)]),
    "5.6.1_only_commas": (b"bytes=,,,", None),
    "15.3.7.2_overlapping": (b"bytes=0-5,3-7", [(0, 8)]),
    "15.3.7.2_touching": (b"bytes=0-3,4-7", [(0, 8)]),
    "15.3.7.2_in_one_another": (b"bytes=2-3,0-9", [(0, 10)]),
    "15.3.7.2_stands_where_the_first_stood": (b"bytes=6-7,0-1,5-6", [(5, 8), (0, 2)]),
    "14.2_as_many_as_we_give": (b"bytes=" + b",".join([b"0-0"] * MOST), [(0, 1)]),
    "14.2_too_many": (b"bytes=" + b",".join([b"0-0"] * (MOST + 1)), None),
    "14.2_very_many": (b"bytes=" + b"0-0," * 20_000, None),
}


@pytest.mark.parametrize(("value", "spans"), ASKED.values(), ids=ASKED)
def test_parse_range(value: bytes, spans: list[tuple[int, int]] | None) -> None:
    assert parse_range(value, len(BODY)) == spans


def test_of_nothing_there_are_no_parts() -> None:
    assert parse_range(b"bytes=0-", 0) is None
    assert parse_range(b"bytes=-1", 0) is None


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=6),
    st.integers(1, 25),
)
def test_parts_are_the_bytes_that_were_asked_for_once_each(
    pairs: list[tuple[int, int]], length: int
) -> None:
    value = b"bytes=" + b", ".join(b"%d-%d" % (min(pair), max(pair)) for pair in pairs)
    spans = parse_range(value, length)
    assert spans is not None
    wanted = {n for pair in pairs for n in range(min(pair), max(pair) + 1) if n < length}
    given_ = [n for span in spans for n in range(span.start, span.end)]
    assert sorted(given_) == sorted(wanted)


@given(st.text(st.sampled_from("bytes=0123-, ")).map(str.encode), st.integers(0, 30))
def test_parts_never_raise_nor_leave_the_body(value: bytes, length: int) -> None:
    for span in parse_range(value, length) or ():
        assert 0 <= span.start < span.end <= length


# -- If-Range --

ETAG = (b"ETag", b'"a"')
OLD = [(b"Last-Modified", date(-3600)), (b"Date", date(0))]
CURRENT: dict[str, tuple[bytes | None, Lines, bool]] = {
    "13.1.5_none": (None, [], True),
    "13.1.5_same_tag": (b'"a"', [ETAG], True),
    "13.1.5_other_tag": (b'"b"', [ETAG], False),
    "13.1.5_weak_tag": (b'W/"a"', [ETAG], False),
    "13.1.5_weak_stored": (b'"a"', [(b"ETag", b'W/"a"')], False),
    "13.1.5_both_weak": (b'W/"a"', [(b"ETag", b'W/"a"')], False),
    "13.1.5_no_tag_stored": (b'"a"', OLD, False),
    "13.1.5_same_date": (date(-3600), OLD, True),
    "13.1.5_later_date": (date(-3000), OLD, False),
    "13.1.5_earlier_date": (date(-4000), OLD, False),
    "13.1.5_date_in_another_spelling": (date(-3600).lower(), OLD, False),
    "8.8.2.2_date_of_just_now": (
        date(-59),
        [(b"Last-Modified", date(-59)), (b"Date", date(0))],
        False,
    ),
    "8.8.2.2_date_of_a_minute_ago": (
        date(-60),
        [(b"Last-Modified", date(-60)), (b"Date", date(0))],
        True,
    ),
    "13.1.5_date_that_is_none": (b"x", [(b"Last-Modified", b"x"), (b"Date", date(0))], False),
    "13.1.5_empty": (b"", [ETAG], False),
    "13.1.5_two_tags": (b'"a", "b"', [ETAG], False),
    "13.1.5_any": (b"*", [ETAG], False),
}


@pytest.mark.parametrize(("condition", "stored", "wanted"), CURRENT.values(), ids=CURRENT)
def test_is_current(condition: bytes | None, stored: Lines, wanted: bool) -> None:
    assert is_current(condition, Fields(stored), NOW) is wanted


RANGE = (b"Range", b"bytes=0-1")
REQUESTED: dict[str, tuple[bytes, Lines, int, list[Span] | None]] = {
    "14.2_get": (b"GET", [RANGE], 200, [Span(0, 2)]),
    "14.2_query": (b"QUERY", [RANGE], 200, [Span(0, 2)]),
    "14.2_head": (b"HEAD", [RANGE], 200, None),
    "14.2_no_range": (b"GET", [], 200, None),
    "14.2_not_200": (b"GET", [RANGE], 404, None),
    "14.2_two_fields": (b"GET", [RANGE, RANGE], 200, None),
    "13.1.5_holds": (b"GET", [RANGE, (b"If-Range", b'"a"')], 200, [Span(0, 2)]),
    "13.1.5_fails": (b"GET", [RANGE, (b"If-Range", b'"b"')], 200, None),
    "13.1.5_fails_beyond_the_end": (
        b"GET",
        [(b"Range", b"bytes=99-"), (b"If-Range", b'"b"')],
        200,
        None,
    ),
    "13.1.5_alone": (b"GET", [(b"If-Range", b'"b"')], 200, None),
    "15.5.17_beyond_the_end": (b"GET", [(b"Range", b"bytes=99-")], 200, []),
}


@pytest.mark.parametrize(("method", "asked", "status", "spans"), REQUESTED.values(), ids=REQUESTED)
def test_requested(method: bytes, asked: Lines, status: int, spans: list[Span] | None) -> None:
    request = Request(method, b"/", Fields(asked))
    stored = Response(status, Fields([ETAG]))
    assert requested(request, stored, len(BODY), NOW) == spans


# -- sending --

FULL: Lines = [
    (b"Date", date(0)),
    (b"Content-Type", b"text/plain"),
    ETAG,
    (b"Cache-Control", b"max-age=5"),
    (b"Content-Length", b"11"),
    (b"Vary", b"Accept"),
    (b"A", b"1"),
]


def sent(response: Response, spans: list[Span]) -> bytes:
    return b"".join(
        BODY[piece.start : piece.end] if isinstance(piece, Span) else piece
        for piece in pieces(response, spans, len(BODY), b"x1")
    )


def test_one_part_is_sent_as_it_is() -> None:  # §15.3.7.1
    full, spans = Response(200, Fields(FULL)), [Span(2, 4)]
    head = partial(full, spans, len(BODY), b"")
    assert (head.status, head.reason) == (206, b"Partial Content")
    assert head.fields.get(b"content-range") == b"bytes 2-3/11"
    assert [name for name, _ in head.fields] == [
        b"Date",
        b"Content-Type",
        b"ETag",
        b"Cache-Control",
        b"Vary",
        b"A",
        b"Content-Range",
    ]
    assert sent(full, spans) == b"23"
    assert size_of(full, spans, len(BODY), b"") == 2
    assert len(full.fields) == len(FULL)


def test_several_parts_are_a_multipart_that_others_can_read() -> None:  # §15.3.7.2, §14.6
    full, spans = Response(200, Fields(FULL)), [Span(8, 10), Span(0, 2)]
    head, body = partial(full, spans, len(BODY), b"x1"), sent(full, spans)
    assert b"content-range" not in head.fields
    assert head.fields.get(b"content-type") == b"multipart/byteranges; boundary=x1"
    assert size_of(full, spans, len(BODY), b"x1") == len(body)
    message = message_from_bytes(head.fields.encode() + b"\r\n" + body)
    assert not message.defects
    parts = message.get_payload()
    assert isinstance(parts, list)
    told = [(p["Content-Type"], p["Content-Range"], p.get_payload(decode=True)) for p in parts]
    assert told == [
        ("text/plain", "bytes 8-9/11", b"89"),
        ("text/plain", "bytes 0-1/11", b"01"),
    ]


def test_parts_of_what_has_no_type_have_none() -> None:
    assert b"Content-Type" not in sent(Response(200, Fields()), [Span(0, 1), Span(3, 4)])


def test_not_satisfiable() -> None:  # §15.5.17
    head = not_satisfiable(Response(200, Fields(FULL)), 11)
    assert (head.status, list(head.fields)) == (
        416,
        [
            (b"Date", date(0)),
            (b"Vary", b"Accept"),
            (b"A", b"1"),
            (b"Content-Range", b"bytes */11"),
            (b"Content-Length", b"0"),
        ],
    )


# -- receiving --

TOLD: dict[str, tuple[bytes, ContentRange | None]] = {
    "14.4_part": (b"bytes 0-4/10", ContentRange(Span(0, 5), 10)),
    "14.4_end": (b"bytes 9-9/10", ContentRange(Span(9, 10), 10)),
    "14.4_length_unknown": (b"bytes 0-4/*", ContentRange(Span(0, 5), None)),
    "14.4_unsatisfied": (b"bytes */10", ContentRange(None, 10)),
    "14.4_any_case": (b"Bytes 0-4/10", ContentRange(Span(0, 5), 10)),
    "14.4_last_before_first": (b"bytes 4-3/10", None),
    "14.4_last_is_the_length": (b"bytes 0-10/10", None),
    "14.4_nothing_known": (b"bytes */*", None),
    "14.4_other_unit": (b"lines 0-4/10", None),
    "14.4_equals": (b"bytes=0-4/10", None),
    "14.4_two_spaces": (b"bytes  0-4/10", None),
    "14.4_space_within": (b"bytes 0-4 /10", None),
    "14.4_negative": (b"bytes -4-4/10", None),
    "14.4_twice": (b"bytes 0-4/10, bytes 0-4/10", None),
    "14.4_no_length": (b"bytes 0-4", None),
    "14.4_huge": (b"bytes 0-4/" + b"9" * 5000, None),
    "14.4_empty": (b"", None),
}


@pytest.mark.parametrize(("value", "wanted"), TOLD.values(), ids=TOLD)
def test_parse_content_range(value: bytes, wanted: ContentRange | None) -> None:
    assert parse_content_range(value) == wanted


RECEIVED: dict[str, tuple[int, Lines, int | None, bool]] = {
    "15.3.7.1_part": (206, [(b"Content-Range", b"bytes 0-4/10")], 5, True),
    "15.3.7.1_length_not_told": (206, [(b"Content-Range", b"bytes 0-4/10")], None, True),
    "15.3.7.1_other_length": (206, [(b"Content-Range", b"bytes 4-9/10")], 5, False),
    "15.3.7.1_other_content_length": (
        206,
        [(b"Content-Range", b"bytes 4-9/10"), (b"Content-Length", b"5")],
        None,
        False,
    ),
    "15.3.7.1_whole_unknown": (206, [(b"Content-Range", b"bytes 0-4/*")], 5, False),
    "15.3.7.1_unsatisfied": (206, [(b"Content-Range", b"bytes */10")], 0, False),
    "15.3.7.1_no_range": (206, [], 5, False),
    "14.4_means_nothing_with_200": (200, [(b"Content-Range", b"bytes 0-4/10")], 5, False),
    "15.3.7.2_several": (
        206,
        [
            (b"Content-Type", b"multipart/byteranges; boundary=x"),
            (b"Content-Range", b"bytes 0-4/10"),
        ],
        5,
        False,
    ),
}


@pytest.mark.parametrize(("status", "lines", "length", "kept"), RECEIVED.values(), ids=RECEIVED)
def test_received_part(status: int, lines: Lines, length: int | None, kept: bool) -> None:
    told = received_part(Response(status, Fields(lines)), length)
    assert told == (ContentRange(Span(0, 5), 10) if kept else None)


WEAK = (b"ETag", b'W/"a"')
SAME: dict[str, tuple[Lines, Lines, bool]] = {  # RFC 9111
    "3.4_same_tag": ([ETAG], [ETAG], True),
    "3.4_other_tag": ([ETAG], [(b"ETag", b'"b"')], False),
    "3.4_weak_tag": ([WEAK], [WEAK], False),
    "3.4_one_has_none": ([ETAG], [], False),
    "3.4_same_date": (OLD, OLD, True),
    "3.4_other_date": (OLD, [(b"Last-Modified", date(-9999)), (b"Date", date(0))], False),
    "3.4_date_of_just_now": (
        OLD,
        [(b"Last-Modified", date(-3600)), (b"Date", date(-3600))],
        False,
    ),
    "3.4_same_date_other_tag": ([ETAG, *OLD], [(b"ETag", b'"b"'), *OLD], False),
    "3.4_no_validator": ([], [], False),
    "3.4_other_coding": ([ETAG], [ETAG, (b"Content-Encoding", b"gzip")], False),
}


@pytest.mark.parametrize(("stored", "answer", "wanted"), SAME.values(), ids=SAME)
def test_same_strongly(stored: Lines, answer: Lines, wanted: bool) -> None:
    assert same_strongly(Fields(stored), Fields(answer), NOW) is wanted
    assert same_strongly(Fields(answer), Fields(stored), NOW) is wanted


def test_is_settled_needs_both_dates() -> None:
    assert is_settled(Fields(OLD), NOW)
    assert not is_settled(Fields(OLD[:1]), NOW)
    assert not is_settled(Fields(OLD[1:]), NOW)
    assert not is_settled(Fields([(b"Last-Modified", b"x"), OLD[1]]), NOW)


ASK_FOR: dict[str, tuple[Lines, Lines]] = {
    "13.1.5_tag": ([ETAG, *OLD], [(b"Range", b"bytes=5-8"), (b"If-Range", b'"a"')]),
    "13.1.5_date": (OLD, [(b"Range", b"bytes=5-8"), (b"If-Range", date(-3600))]),
    "13.1.5_weak_tag": ([WEAK, *OLD], []),
    "13.1.5_nothing": ([], []),
}


@pytest.mark.parametrize(("stored", "wanted"), ASK_FOR.values(), ids=ASK_FOR)
def test_ask_for(stored: Lines, wanted: Lines) -> None:
    assert ask_for(Span(5, 9), 10, Fields(stored), NOW) == wanted


def test_the_end_of_what_is_asked_for_is_not_named() -> None:
    assert ask_for(Span(5, 10), 10, Fields([ETAG]), NOW)[0] == (b"Range", b"bytes=5-")


# -- putting together --


def test_parts_grow_into_the_whole() -> None:
    parts = Parts(11).with_part(0, b"012")
    assert parts is not None
    assert parts.whole() is None
    assert parts.get(Span(1, 3)) == b"12"
    assert parts.get(Span(1, 4)) is None
    assert parts.missing(Span(0, 11)) == [Span(3, 11)]
    more = parts.with_part(6, b"6789A")
    assert more is not None
    assert more.spans == [Span(0, 3), Span(6, 11)]
    assert more.missing(Span(2, 8)) == [Span(3, 6)]
    assert more.size == 8
    assert parts.size == 3  # is still what it was
    all_ = more.with_part(3, b"345")
    assert all_ is not None
    assert all_.spans == [Span(0, 11)]
    assert all_.whole() == BODY


def test_a_part_beyond_the_end_does_not_fit() -> None:
    assert Parts(3).with_part(2, b"ab") is None
    assert Parts(3).with_part(3, b"") is not None


def test_holes_are_bounded() -> None:
    parts: Parts | None = Parts(1000)
    for n in range(MOST_KEPT):
        assert parts is not None
        parts = parts.with_part(2 * n, b"x")
    assert parts is not None
    assert parts.with_part(2 * MOST_KEPT, b"x") is None
    assert parts.with_part(1, b"x") is not None


@given(st.lists(st.tuples(st.integers(0, 20), st.binary(max_size=8)), max_size=8))
def test_parts_are_what_an_array_would_be(writes: list[tuple[int, bytes]]) -> None:
    parts, model = Parts(20), [None] * 20
    for start, data in writes:
        grown = parts.with_part(start, data)
        assert (grown is None) is (start + len(data) > 20)
        if grown is not None:
            parts = grown
            model[start : start + len(data)] = list(data)  # type: ignore[call-overload]
    held = {n for span in parts.spans for n in range(span.start, span.end)}
    assert held == {n for n, byte in enumerate(model) if byte is not None}
    assert parts.size == len(held)
    for span in parts.spans:
        assert parts.get(span) == bytes(model[span.start : span.end])  # type: ignore[arg-type]
    for one, other in zip(parts.spans, parts.spans[1:], strict=False):
        assert one.end < other.start
    holes = {n for span in parts.missing(Span(0, 20)) for n in range(span.start, span.end)}
    assert holes == set(range(20)) - held
    assert (parts.whole() is None) is bool(holes)
