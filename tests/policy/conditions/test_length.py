from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistproxy.http.fields import Fields
from twistproxy.http.message import Response
from twistproxy.policy import Means
from twistproxy.policy.conditions.length import Length


def answered(length: bytes | int | None, content_range: bytes | None = None) -> SimpleNamespace:
    fields = Fields()
    if length is not None:
        fields.add(b"Content-Length", length if isinstance(length, bytes) else b"%d" % length)
    if content_range is not None:
        fields.add(b"Content-Range", content_range)
    return SimpleNamespace(response=Response(206 if content_range else 200, fields))


MIB = 1 << 20
CASES: dict[str, tuple[list[str | int], bytes | int | None, bool]] = {
    "more": ([">10MiB"], 10 * MIB + 1, True),
    "not_more": ([">10MiB"], 10 * MIB, False),
    "as_much": ([">=1MB"], 1_000_000, True),
    "not_as_much": ([">=1MB"], 999_999, False),
    "less": (["<1KiB"], 1023, True),
    "not_less": (["<1KiB"], 1024, False),
    "at_most": (["<=1KiB"], 1024, True),
    "not_at_most": (["<=1KiB"], 1025, False),
    "plain_is_at_least": (["1KiB"], 1024, True),
    "plain_and_more": (["1KiB"], 5000, True),
    "plain_not": (["1KiB"], 1023, False),
    "number": ([1000], 1000, True),
    "number_as_text": (["1000"], 999, False),
    "space": (["> 1.5MB"], 1_500_001, True),
    "any_of_several": (["<10", ">1MiB"], 5, True),
    "between_several": (["<10", ">1MiB"], 500, False),
    "empty": (["<1"], 0, True),
    "of_any": ([0], 0, True),
    "largest": ([">1TiB"], b"9" * 18, True),
    "not_said": (["0", "<=1TiB"], None, False),
    "no_number": (["0"], b"ten", False),
    "negative": (["0", "<10"], b"-1", False),
    "other_digits": (["0"], "²".encode("latin-1"), False),
    "twice": (["0"], b"5, 5", False),
    "too_large_for_anything": (["0"], b"9" * 5000, False),
    "none": ([], 5, False),
}


@pytest.mark.parametrize(("bounds", "length", "holds"), CASES.values(), ids=CASES)
def test_length(bounds: list[str | int], length: bytes | int | None, holds: bool) -> None:
    assert Length(bounds, Means()).holds(answered(length)) is holds


PARTS = {
    "of_much": (b"bytes 0-99/5000", True),
    "in_any_case": (b"Bytes 0-99/5000", True),
    "of_little": (b"bytes 0-99/200", False),
    "of_nobody_knows_what": (b"bytes 0-99/*", False),
    "of_nonsense": (b"bytes 0-99/-5000", False),
}


@pytest.mark.parametrize(("content_range", "holds"), PARTS.values(), ids=PARTS)
def test_a_part_is_as_long_as_the_whole(content_range: bytes, holds: bool) -> None:
    assert Length([">1000"], Means()).holds(answered(100, content_range)) is holds


def test_only_of_a_part() -> None:
    fields = Fields([(b"Content-Length", b"100"), (b"Content-Range", b"bytes 0-99/5000")])
    question = SimpleNamespace(response=Response(200, fields))
    assert not Length([">1000"], Means()).holds(question)


SIGNS = {"<": int.__lt__, "<=": int.__le__, ">": int.__gt__, ">=": int.__ge__, "": int.__ge__}


@given(st.sampled_from(sorted(SIGNS)), st.integers(1, 20), st.integers(0, 20))
def test_as_numbers_compare(sign: str, bound: int, length: int) -> None:
    condition = Length([f"{sign}{bound}"], Means())
    assert condition.holds(answered(length)) is SIGNS[sign](length, bound)


@pytest.mark.parametrize("bound", ["", ">", "=1KiB", "10 MiB", ">1kb", "-1", -1, "<>1", "1e3"])
def test_what_is_no_bound(bound: str | int) -> None:
    with pytest.raises(ValueError, match="no length"):
        Length(["1KiB", bound], Means())


def test_nothing_is_shorter_than_nothing() -> None:
    with pytest.raises(ValueError, match="nothing"):
        Length(["<0"], Means())


@pytest.mark.parametrize(
    ("question", "text"),
    [
        (answered(500), "500 bytes"),
        (answered(None), "of a length that isn't said"),
        (SimpleNamespace(response=None), "no response yet"),
    ],
)
def test_seen(question: SimpleNamespace, text: str) -> None:
    condition = Length([">1KiB"], Means())
    assert condition.seen(question) == text
    assert not condition.holds(question)
