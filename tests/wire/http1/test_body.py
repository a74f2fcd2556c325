"""body: the exact end of a message, however its bytes come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistproxy.config.model import Limits
from twistproxy.http.fields import Fields
from twistproxy.http.framing import CHUNKED, UNTIL_CLOSE
from twistproxy.wire.http1 import body

LIMITS = Limits(head=200, fields=5)
NEXT = b"GET /next"


def feed(reader: body.BodyReader, data: bytes, cuts: list[int]) -> tuple[bytes, bytes | None] | str:
    """All body bytes and what follows, of data that comes in pieces."""
    found, start = b"", 0
    for cut in [*sorted(cuts), len(data)]:
        if start == cut:
            continue
        fed = reader.feed(data[start:cut])
        if isinstance(fed, str):
            return fed
        found += fed[0]
        if fed[1] is not None:
            return found, fed[1] + data[cut:]
        start = cut
    return found, None


def whole(data: bytes) -> tuple[bytes, bytes | None] | str:
    return feed(body.Chunks(LIMITS), data, [])


def byte_by_byte(data: bytes) -> tuple[bytes, bytes | None] | str:
    return feed(body.Chunks(LIMITS), data, list(range(len(data))))


FEEDS = pytest.mark.parametrize("fed", [whole, byte_by_byte])


def test_each_framing_has_its_reader():
    assert isinstance(body.reader(CHUNKED, LIMITS), body.Chunks)
    assert isinstance(body.reader(UNTIL_CLOSE, LIMITS), body.UntilClose)
    sized = body.reader(7, LIMITS)
    assert isinstance(sized, body.Length)
    assert sized.left == 7


def test_a_body_of_a_length():
    """RFC 9112 §6.2"""
    reader = body.Length(5)
    assert reader.feed(b"ab") == (b"ab", None)
    assert (reader.left, reader.closed()) == (3, False)
    assert reader.feed(b"cde" + NEXT) == (b"cde", NEXT)
    assert (reader.left, reader.trailers) == (0, None)
    assert body.Length(2).feed(b"ab") == (b"ab", b"")


def test_a_body_until_the_close():
    """RFC 9112 §6.3 rule 8"""
    reader = body.UntilClose()
    assert reader.feed(b"ab") == (b"ab", None)
    assert reader.closed()
    assert reader.trailers is None


LAST = b"0\r\n\r\n"
TAKEN = {  # RFC 9112 §7.1
    "empty": (LAST, b""),
    "one_chunk": (b"2\r\nab\r\n" + LAST, b"ab"),
    "two_chunks": (b"2\r\nab\r\n1\r\nc\r\n" + LAST, b"abc"),
    "hex": (b"a\r\n0123456789\r\nA\r\n0123456789\r\n" + LAST, b"0123456789" * 2),
    "leading_zeros": (b"002\r\nab\r\n" + LAST, b"ab"),
    "many_zeros_at_the_end": (b"0" * 15 + b"\r\n\r\n", b""),
    "line_ends_within": (b"6\r\n\r\n0\r\n\r\r\n" + LAST, b"\r\n0\r\n\r"),
    "extension": (b'2;a=b;c="d e"\r\nab\r\n0;z\r\n\r\n', b"ab"),  # §7.1.1
    "space_before_extension": (b"2 \t; a\r\nab\r\n" + LAST, b"ab"),
    "longest_extension": (b"2;" + b"a" * 1020 + b"\r\nab\r\n" + LAST, b"ab"),
    "trailers": (b"2\r\nab\r\n0\r\nA: b\r\n\r\n", b"ab"),  # §7.1.2
}


@FEEDS
@pytest.mark.parametrize(("wire", "found"), TAKEN.values(), ids=TAKEN)
def test_chunks(wire, found, fed):
    assert fed(wire + NEXT) == (found, NEXT)
    assert fed(wire) == (found, b"")
    assert fed(wire[:-1]) == (found, None)


@pytest.mark.parametrize("wire", [wire for wire, _ in TAKEN.values() if len(wire) < 100])
def test_wherever_chunks_are_split(wire):
    expected = whole(wire + NEXT)
    for first in range(len(wire)):
        for second in range(first, len(wire)):
            assert feed(body.Chunks(LIMITS), wire + NEXT, [first, second]) == expected


REFUSED = {
    "not_hex": b"g\r\n",
    "empty": b"\r\nab",
    "with_0x": b"0x2\r\nab\r\n",
    "minus": b"-2\r\nab\r\n",
    "plus": b"+2\r\nab\r\n",
    "underscore": b"1_0\r\n",
    "space_before": b" 2\r\nab\r\n",
    "space_after": b"2 \r\nab\r\n",
    "two_numbers": b"2 2\r\nab\r\n",
    "beyond_60_bits": b"1" + b"0" * 15 + b"\r\n",
    "bare_lf": b"2\nab\r\n",
    "bare_cr": b"2\rab\r\n",
    "cr_cr_lf": b"2\r\r\nab\r\n",
    "lf_in_extension": b"2;a\nb\r\nab\r\n",
    "cr_in_extension": b"2;a\rb\r\nab\r\n",
    "nul_in_extension": b"2;\0\r\nab\r\n",
    "extension_without_semicolon": b"2 a\r\nab\r\n",
    "endless_extension": b"2;" + b"a" * 1021 + b"\r\nab\r\n",
    "endless_zeros": b"0" * 1024,
    "data_too_long": b"2\r\nabc\r\n" + LAST,
    "data_too_short": b"2\r\na\r\n" + LAST,
    "lf_after_data": b"2\r\nab\n" + LAST,
    "cr_after_data": b"2\r\nab\r0\r\n\r\n",
    "lf_after_last": b"0\n\n",
    "lf_after_trailers": b"0\r\nA: b\n\r\n\r\n",
    "space_before_colon": b"0\r\nA : b\r\n\r\n",
    "fold": b"0\r\nA: b\r\n c\r\n\r\n",
    "no_trailer": b"0\r\nx\r\n\r\n",
    "too_many_trailers": b"0\r\n" + b"A: b\r\n" * 6 + b"\r\n",
    "too_large_trailers": b"0\r\nA: " + b"b" * 200 + b"\r\n\r\n",
    "endless_trailers": b"0\r\nA: " + b"b" * 300,
}


@FEEDS
@pytest.mark.parametrize("wire", REFUSED.values(), ids=REFUSED)
def test_refused(wire, fed):
    found = fed(wire + NEXT * 2)
    assert isinstance(found, str)
    assert found
    assert not found.endswith(".")  # it becomes part of a sentence


def test_what_frames_or_routes_is_no_trailer():
    """RFC 9110 §6.5.1"""
    reader = body.Chunks(LIMITS)
    wire = b"0\r\nContent-Length: 5\r\nX-Sum: 1\r\nHost: b\r\nx-sum: 2\r\n\r\n"
    assert reader.feed(wire) == (b"", b"")
    assert reader.trailers == Fields([(b"X-Sum", b"1"), (b"x-sum", b"2")])


def test_no_trailers():
    reader = body.Chunks(LIMITS)
    reader.feed(LAST)
    assert reader.trailers is None


def test_a_close_leaves_chunks_unfinished():
    reader = body.Chunks(LIMITS)
    reader.feed(b"2\r\nab\r\n")
    assert not reader.closed()


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_what_is_held_is_bounded(size):
    """Whatever comes in whatever pieces, no data of a chunk is kept."""
    reader = body.Chunks(LIMITS)
    wire = b"ffff\r\n" + b"x" * 0xFFFF + b"\r\n"
    for start in range(0, len(wire), size):
        fed = reader.feed(wire[start : start + size])
        assert not isinstance(fed, str)
        assert len(reader._held) < 8


EXTENSIONS = st.sampled_from([b"", b";a", b' ;a="b"'])


@given(
    st.lists(st.tuples(st.binary(min_size=1, max_size=20), EXTENSIONS), max_size=6),
    st.booleans(),
    st.lists(st.integers(0, 200), max_size=8),
)
def test_any_chunks_in_any_pieces(chunks, trailers, cuts):
    wire = b"".join(b"%X%b\r\n%b\r\n" % (len(data), extension, data) for data, extension in chunks)
    wire += b"0\r\nA: b\r\n\r\n" if trailers else LAST
    reader = body.Chunks(LIMITS)
    cuts = [min(cut, len(wire)) for cut in cuts]
    assert feed(reader, wire + NEXT, cuts) == (b"".join(data for data, _ in chunks), NEXT)
    assert reader.trailers == (Fields([(b"A", b"b")]) if trailers else None)


@given(
    st.lists(st.sampled_from([b"0", b"1", b"A", b";", b"\r\n", b"\r\n", b"\n", b"\r", b"x", b" "]))
    .map(b"".join),
    st.lists(st.integers(0, 60), max_size=6),
)  # fmt: skip
def test_how_it_is_cut_decides_nothing(data, cuts):
    small = Limits(head=8, fields=1)
    once = feed(body.Chunks(small), data, [])
    found = feed(body.Chunks(small), data, [min(cut, len(data)) for cut in cuts])
    assert found == once or (isinstance(found, str) and isinstance(once, str))


@given(st.binary(max_size=300))
def test_nothing_raises(data):
    whole(data)
    byte_by_byte(b"2\r\nab\r\n0\r\n" + data)
