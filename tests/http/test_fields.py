"""fields: lines keep order, case and repetition; look-ups see one value a name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistproxy.http.fields import Fields

NAMES = st.sampled_from([b"A", b"a", b"B", b"Set-Cookie", b"X-Y"])
LINES = st.lists(st.tuples(NAMES, st.binary(max_size=4)), max_size=8)


def test_lines_are_sent_as_they_came():
    fields = Fields([(b"B", b"1"), (b"a", b""), (b"b", b"2")])
    assert fields.encode() == b"B: 1\r\na: \r\nb: 2\r\n"
    assert list(fields) == [(b"B", b"1"), (b"a", b""), (b"b", b"2")]
    assert len(fields) == 3


def test_lines_of_a_name_are_one_value():
    """RFC 9110 §5.3"""
    fields = Fields([(b"Via", b"1.1 a"), (b"X", b""), (b"via", b"1.1 b")])
    assert fields.get(b"via") == b"1.1 a, 1.1 b"
    assert fields.all(b"via") == [b"1.1 a", b"1.1 b"]
    assert fields.get(b"x") == b""
    assert fields.get(b"y") is None
    assert fields.all(b"y") == []


TOKENS = {
    "absent": ([], []),
    "one": ([b"close"], [b"close"]),
    "case": ([b"Close"], [b"close"]),
    "list": ([b"a, b\t,c"], [b"a", b"b", b"c"]),
    "lines": ([b"a", b"B"], [b"a", b"b"]),
    "empty_elements": ([b",, a ,\t,"], [b"a"]),  # RFC 9110 §5.6.1.2
    "empty": ([b""], []),
}


@pytest.mark.parametrize(("values", "tokens"), TOKENS.values(), ids=TOKENS)
def test_tokens(values, tokens):
    assert Fields((b"Connection", value) for value in values).tokens(b"connection") == tokens


def test_set_takes_the_place_of_the_first():
    fields = Fields([(b"A", b"1"), (b"host", b"x"), (b"B", b"2"), (b"Host", b"y")])
    fields.set(b"Host", b"z")
    assert list(fields) == [(b"A", b"1"), (b"Host", b"z"), (b"B", b"2")]
    assert fields.get(b"host") == b"z"
    fields.set(b"C", b"3")
    assert list(fields)[-1] == (b"C", b"3")


def test_remove_takes_every_line():
    fields = Fields([(b"A", b"1"), (b"b", b"2"), (b"a", b"3")])
    fields.remove(b"a", b"absent")
    assert list(fields) == [(b"b", b"2")]
    assert b"a" not in fields


def test_copies_are_independent():
    fields = Fields([(b"A", b"1"), (b"B", b"2")])
    for changed in (fields.copy(), fields.without({b"c"})):
        changed.add(b"A", b"9")
        changed.remove(b"b")
    assert list(fields) == [(b"A", b"1"), (b"B", b"2")]
    assert fields.get(b"a") == b"1"


def test_a_repr_tells_no_values():
    assert repr(Fields([(b"Authorization", b"Basic c2VjcmV0")])) == "<Fields Authorization>"


@given(LINES, st.lists(st.tuples(st.sampled_from(["add", "set", "remove"]), NAMES), max_size=6))
def test_what_is_looked_up_is_what_is_sent(lines, changes):
    fields = Fields(lines)
    for change, name in changes:
        if change == "remove":
            fields.remove(name.lower())
        else:
            getattr(fields, change)(name, b"new")
    again = Fields(fields)
    assert again == fields
    for name in (b"a", b"b", b"set-cookie", b"x-y"):
        values = [value for key, value in fields if key.lower() == name]
        assert fields.all(name) == again.all(name) == values
        assert fields.get(name) == again.get(name) == (b", ".join(values) if values else None)
        assert (name in fields) == bool(values)
        assert fields.without((name,)).all(name) == []


def test_equality_is_of_lines():
    assert Fields([(b"A", b"1")]) == Fields([(b"A", b"1")])
    assert Fields([(b"A", b"1")]) != Fields([(b"A", b"2")])
    assert Fields() != ()
