"""slices: what is sent is what was asked for, and no slice is too large."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from twistproxy.cache.slices import SLICE, Slices, of_spans
from twistproxy.http.fields import Fields
from twistproxy.http.message import Response
from twistproxy.http.ranges import Parts, Span, parse_range

BODY = b"".join(b"%07d\n" % n for n in range(SLICE // 4))  # two slices

spans = st.lists(
    st.tuples(st.integers(0, len(BODY)), st.integers(0, len(BODY))).map(
        lambda ends: Span(min(ends), max(ends))
    ),
    max_size=4,
)


def taken(slices: Slices) -> list[bytes]:
    pieces = []
    while not slices.ended:
        pieces.append(slices.take())
    assert slices.take() == b""
    return pieces


@given(st.lists(st.binary(min_size=1, max_size=9), max_size=3), spans)
def test_pieces_come_in_order(texts: list[bytes], spans: list[Span]) -> None:
    pieces: list[bytes | Span] = [*texts, *spans]
    wanted = b"".join(texts) + b"".join(BODY[start:end] for start, end in spans)
    for body in (BODY, Parts(len(BODY), ((0, BODY),))):
        slices = taken(Slices(body, pieces))
        assert b"".join(slices) == wanted
        assert all(0 < len(each) <= SLICE for each in slices)


def test_nothing_to_send_has_ended() -> None:
    assert Slices(b"", [Span(0, 0)]).ended
    assert not Slices(b"", []).broken


def test_parts_have_the_length_that_is_said() -> None:
    response = Response(200, Fields([(b"Content-Type", b"text/plain")]))
    for asked in (b"bytes=0-3", b"bytes=0-3,10-12", b"bytes=-1"):
        found = parse_range(asked, len(BODY))
        assert found
        head, pieces, length = of_spans(response, found, len(BODY))
        assert head.status == 206
        assert len(b"".join(taken(Slices(BODY, pieces)))) == length


def test_parts_that_are_not_there() -> None:
    head, pieces, length = of_spans(Response(200, Fields()), [], 10)
    assert (head.status, list(pieces), length) == (416, [], 0)
    assert head.fields.get(b"content-range") == b"bytes */10"
