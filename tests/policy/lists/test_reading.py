from __future__ import annotations

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listing import contents
from twistproxy.policy.lists import reading
from twistproxy.policy.lists.formats import FORMATS
from twistproxy.policy.lists.reading import LINE_MAX, Contents, TooLarge, doubt, read


@given(
    st.lists(st.sampled_from(["a.org", "", "# c", "x y", "bü.org", "b" * 30 + ".org"])), st.data()
)
def test_where_chunks_end_makes_no_difference(lines: list[str], data: st.DataObject) -> None:
    raw = "\n".join(lines).encode()
    whole = contents("domains", raw)
    patch = pytest.MonkeyPatch()
    with patch.context() as patched:
        patched.setattr(reading, "_CHUNK", data.draw(st.integers(1, 40)))
        assert sorted(contents("domains", raw)[0]) == sorted(whole[0])
        assert contents("domains", raw)[1] == whole[1]


def test_a_line_without_an_end_is_bounded_and_unreadable() -> None:
    _, found = contents("domains", "a" * (5 << 20) + "\nb.example")
    assert (found.entries, found.unreadable, len(found.first)) == (1, 1, 80)
    _, found = contents("urls", f"http://a.example/{'b' * LINE_MAX}")
    assert (found.entries, found.unreadable) == (0, 1)


def test_more_than_may_be_is_too_large() -> None:
    with pytest.raises(TooLarge, match="larger than 10 bytes"):
        read(BytesIO(b"example.org\n"), FORMATS["domains"], 10)


def test_the_first_line_that_can_t_be_read_is_told() -> None:
    _, found = contents("domains", "a.example\n  what is this \nand this too\n")
    assert (found.entries, found.unreadable, found.first) == (1, 2, "what is this")


@pytest.mark.parametrize("text", ["<!doctype html>\n<p>x", "\ufeff\n  <html>", "<?xml?>"])
def test_a_page_is_seen(text: str) -> None:
    assert contents("domains", text)[1].page


DOUBTS = {
    # what it holds, entries before: what is said
    "good": (Contents(100), 100, ""),
    "grown": (Contents(100), 1, ""),
    "a_tenth": (Contents(10), 100, ""),
    "less_than_a_tenth": (Contents(9), 100, "9 entries; there were 100"),
    "empty": (Contents(0), 1, "empty; there were 1"),
    "empty_and_none_before": (Contents(0), 0, ""),
    "half_unreadable": (Contents(50, 0, 50), 0, ""),
    "more_unreadable": (Contents(50, 0, 51, "x y"), 0, "51 of its 101 lines can't be read"),
    "skipped_are_read": (Contents(1, 60, 50), 0, ""),
    "page": (Contents(100, page=True), 0, "HTML"),
}


@pytest.mark.parametrize(("found", "before", "text"), DOUBTS.values(), ids=DOUBTS)
def test_doubt(found: Contents, before: int, text: str) -> None:
    said = doubt(found, before)
    assert text in said if text else said == ""
