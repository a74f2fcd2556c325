"""Plain text tables and figures."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistproxy.tables import figures, table

VALUES: dict[str, tuple[Any, str]] = {
    "nothing": (None, "-"),
    "true": (True, "yes"),
    "false": (False, "no"),
    "zero": (0, "0"),
    "whole_float": (2.0, "2"),
    "float": (0.12345, "0.123"),
    "tiny_float": (1e-9, "0"),
    "hundreds": (100.0, "100"),
    "text": ("a b", "a b"),
}


@pytest.mark.parametrize(("value", "shown"), VALUES.values(), ids=VALUES)
def test_how_a_value_is_shown(value: object, shown: str) -> None:
    assert figures({"name": value}) == f"name {shown}"
    assert table(["name"], [[value]]).split("\n")[1].strip() == shown


def test_columns_are_aligned_and_numbers_stand_to_the_right() -> None:
    assert table(["rule", "hits", "last"], [["ads", 5, None], ["malware", 1234, 0.5]]) == (
        "rule     hits  last\n"
        "ads         5     -\n"
        "malware  1234   0.5"
    )  # fmt: skip


def test_a_column_with_any_text_stands_to_the_left() -> None:
    assert table(["where"], [[80], ["1.2.3.4"]]) == "where\n80\n1.2.3.4"


def test_without_rows_the_head_stays() -> None:
    assert table(["pool", "server"], []) == "pool  server"


def test_figures_leave_out_what_is_no_figure() -> None:
    assert figures({"hits": 1, "rules": [1, 2], "totals": {"a": 1}, "misses": 2}) == (
        "hits 1\nmisses 2"
    )
    assert figures({}) == ""


WORDS = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1)
CELLS = st.lists(WORDS, min_size=3, max_size=3)


@given(CELLS, st.lists(CELLS))
def test_no_line_is_longer_than_its_columns_and_none_is_lost(
    head: list[str], rows: list[list[str]]
) -> None:
    lines = table(head, rows).split("\n")
    assert [line.split() for line in lines] == [head, *rows]
    assert not any(line.endswith(" ") for line in lines)
