"""record: what outlives the process is what was stored, or nothing."""

from __future__ import annotations

from inspect import isdatadescriptor

from hypothesis import given
from hypothesis import strategies as st

from twistproxy.cache.record import decode, encode
from twistproxy.cache.stored import Key, Stored
from twistproxy.http.caching import Freshness
from twistproxy.http.fields import Fields

# Compiled, it has no __slots__, but what these make.
SLOTS = [name for name, slot in vars(Stored).items() if isdatadescriptor(slot) and name[0] != "_"]
TEXT = st.text(st.characters(codec="ascii"), max_size=20)

stored = st.builds(
    Stored,
    st.builds(Key, TEXT, TEXT),
    st.lists(st.tuples(st.binary(), st.none() | st.binary()), max_size=3).map(tuple),
    st.integers(200, 599),
    st.binary(max_size=20),
    st.just(Fields([(b"Date", b"x"), (b"ETag", b'"1"')])),
    st.builds(Freshness, *[st.floats(0, 1e10)] * 3, stale_while_revalidate=st.floats(0, 1e10)),
    st.floats(0, 1e10),
    st.binary(max_size=100),
    st.lists(TEXT, max_size=3).map(tuple),
)


@given(stored)
def test_it_comes_back_as_it_was(one: Stored) -> None:
    other = decode(encode(one), one.body)
    assert other is not None
    assert [getattr(other, name) for name in SLOTS] == [getattr(one, name) for name in SLOTS]


@given(stored, st.data())
def test_what_is_damaged_is_nothing_or_something_else_but_no_exception(
    one: Stored, data: st.DataObject
) -> None:
    text = bytearray(encode(one))
    at = data.draw(st.integers(0, len(text) - 1))
    text[at] = data.draw(st.integers(0, 255))
    decode(bytes(text), b"")
    decode(bytes(text[:at]), b"")
    assert decode(encode(one)[:-1], b"") is None


def test_another_version_is_not_read() -> None:
    one = Stored(Key("open", "x"), (), 200, b"", Fields(), Freshness(1, 0, 0), 0)
    text = encode(one)
    assert text[1] == 1
    assert decode(text[:1] + b"\x02" + text[2:], b"") is None
