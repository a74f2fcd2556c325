"""places: the line of everything in a file."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistproxy.config.errors import Where
from twistproxy.config.places import line, lines

HERE = Path(__file__)
EXAMPLE = HERE.parents[2] / "etc" / "twistproxy.toml"
SOURCES = [EXAMPLE.read_text()]
SOURCES += [case.read_text().partition("----------\n")[0] for case in HERE.parent.glob("*.case")]


def test_lines():
    source = b"""\
a.b = 1
"q.x" = { d = [1, { e = 2 },
  3], f = 3 } # a comment
[t."u v"]
k = [ # a comment
  1,

  2,
]
[[r]]
n = 1
[r.sub]
z = 1
[[r]]
[[r.y]]
m = '''
two lines'''
[[r.y]]
"""
    assert lines(source) == {
        (): 1,
        ("a",): 1,
        ("a", "b"): 1,
        ("q.x",): 2,
        ("q.x", "d"): 2,
        ("q.x", "d", 0): 2,
        ("q.x", "d", 1): 2,
        ("q.x", "d", 1, "e"): 2,
        ("q.x", "d", 2): 3,
        ("q.x", "f"): 3,
        ("t",): 4,
        ("t", "u v"): 4,
        ("t", "u v", "k"): 5,
        ("t", "u v", "k", 0): 6,
        ("t", "u v", "k", 1): 8,
        ("r",): 10,
        ("r", 0): 10,
        ("r", 0, "n"): 11,
        ("r", 0, "sub"): 12,
        ("r", 0, "sub", "z"): 13,
        ("r", 1): 14,
        ("r", 1, "y"): 15,
        ("r", 1, "y", 0): 15,
        ("r", 1, "y", 0, "m"): 16,
        ("r", 1, "y", 1): 18,
    }


def test_what_is_missing_has_the_line_of_its_table():
    found = lines(b"\n[[a]]\nb = 1")
    assert line(found, ("a", 0, "c", 3)) == 2
    assert line(found, ("d",)) == 1


def ways(tree: Any, where: Where = ()) -> Iterator[Where]:
    yield where
    inner = tree.items() if isinstance(tree, dict) else ()
    for step, value in enumerate(tree) if isinstance(tree, list) else inner:
        yield from ways(value, (*where, step))


@pytest.mark.parametrize("source", SOURCES)
def test_all_that_tomllib_reads_has_a_line_and_nothing_else(source):
    try:
        tree = tomllib.loads(source)
    except tomllib.TOMLDecodeError:
        tree = tomllib.loads(source := "")
    assert lines(source.encode()).keys() == set(ways(tree))


@given(st.text() | st.sampled_from(SOURCES).flatmap(lambda source: st.permutations(source[:60])))
def test_any_text_has_lines(text):
    assert lines("".join(text).encode("utf-8", "replace"))[()] == 1
