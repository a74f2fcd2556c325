from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistproxy.policy.lists.table import Damaged, Table, shortest, write

# Few letters, so that strings often begin each other; one that UTF-8 has two bytes for.
WORDS = st.text("ab.ü", min_size=1, max_size=6)


def made(lines: list[str], **head: Any) -> bytes:
    out = BytesIO()
    write(out, lines, **head)
    return out.getvalue()


@given(st.lists(WORDS), st.lists(WORDS))
def test_a_key_is_begun_as_a_naive_search_says(words: list[str], keys: list[str]) -> None:
    table = Table(made(list(shortest(list(words)))))
    for key in words + keys:
        assert table.begins(key) is key.startswith(tuple(words))


@given(st.lists(WORDS))
def test_the_shortest_begin_all_and_not_each_other(words: list[str]) -> None:
    kept = list(shortest(list(words)))
    assert kept == sorted(set(kept))
    assert all(word.startswith(tuple(kept)) for word in words)
    assert not any(a.startswith(b) for a in kept for b in kept if a is not b)


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 1000])
def test_every_line_is_found_in_blocks_of_any_number(count: int) -> None:
    words = [f"{number:04}" for number in range(0, 2 * count, 2)]
    table = Table(made(words))
    assert table.lines() == words
    assert all(table.begins(word + "x") for word in words)
    assert not any(table.begins(f"{number:04}") for number in range(1, 2 * count, 2))
    assert not table.begins("")
    assert not table.begins("~")


def test_its_head_says_what_it_was_told() -> None:
    assert Table(made(["a"], entries=3, notes={"etag": "x"})).head["notes"] == {"etag": "x"}


@given(st.integers(0, 10_000))
def test_what_is_cut_off_is_damaged(left: int) -> None:
    whole = made([f"{number}-" for number in range(1000, 1500)])
    with pytest.raises(Damaged):
        Table(whole[: left % len(whole)])


NO_TABLES = {
    "nothing": b"",
    "text": b"example.org\nexample.com\n",
    "another_version": made(["a"]).replace(b'"version": 1', b'"version": 2'),
    "no_object": b"\n[]",
    "no_number": made(["a"]).replace(b'"text": 2', b'"text": "2"'),
    "negative": made(["a"]).replace(b'"text": 2', b'"text": -2'),
    "odd_bounds": b"a\na\n1234567\n" + made(["a"]).rpartition(b"\n")[2],
}


@pytest.mark.parametrize("raw", NO_TABLES.values(), ids=NO_TABLES)
def test_what_is_no_table_is_damaged(raw: bytes) -> None:
    with pytest.raises(Damaged):
        Table(raw)


def test_too_much_to_say_of_it() -> None:
    with pytest.raises(ValueError, match="too much"):
        made([], notes="x" * (1 << 14))
