"""broadcast: everybody gets all of it, and nothing is kept that nobody needs."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from twistproxy.cache.broadcast import Broadcast, Reading


def nothing() -> None: ...


def taken(reading: Reading) -> bytes:
    data = b""
    while piece := reading.take():
        data += piece
    return data


def test_each_reads_the_whole_at_its_own_pace() -> None:
    cast = Broadcast([b"a", b"b"], nothing)
    one, two = cast.join(nothing), cast.join(nothing)
    assert one.take() == b"a"
    cast.write(b"c")
    assert (taken(one), taken(two)) == (b"bc", b"abc")
    assert not one.ended
    cast.finish()
    assert one.ended
    assert not one.broken


def test_who_joins_late_reads_from_now_on() -> None:
    cast = Broadcast([b"a"], nothing)
    late = cast.join(nothing, late=True)
    cast.write(b"b")
    assert taken(late) == b"b"
    assert cast.behind == 0


def test_readers_are_told_of_more_and_of_the_end() -> None:
    told: list[str] = []
    cast = Broadcast([], nothing)
    reading = cast.join(lambda: told.append("more"))
    cast.write(b"a")
    cast.break_off()
    assert told == ["more", "more"]
    assert reading.broken
    assert not reading.ended, "something is left to take"
    assert taken(reading) == b"a"
    assert reading.ended


def test_the_source_is_told_who_took_and_who_left() -> None:
    told: list[int] = []
    cast = Broadcast([b"ab"], lambda: told.append(cast.behind))
    slow, quick = cast.join(nothing), cast.join(nothing)
    quick.take()
    slow.leave()
    slow.leave()
    assert told == [2, 0]
    assert cast.readers == 1


def test_a_reader_may_leave_while_it_is_told() -> None:
    cast = Broadcast([], nothing)
    one = cast.join(lambda: one.leave())
    two = cast.join(nothing)
    cast.write(b"a")
    assert cast.readers == 1
    assert two.take() == b"a"


@pytest.mark.parametrize("readers", [0, 1, 3])
def test_what_everybody_has_is_let_go(readers: int) -> None:
    cast = Broadcast([b"a"], nothing)
    readings = [cast.join(nothing) for _ in range(readers)]
    cast.let_go()
    cast.write(b"b")
    assert [taken(reading) for reading in readings] == [b"ab"] * readers
    assert not cast._pieces


class Walk(RuleBasedStateMachine):
    """Any order of writing, taking, joining and leaving."""

    def __init__(self) -> None:
        super().__init__()
        self.cast = Broadcast([], nothing)
        self.written = b""
        self.readers: list[tuple[Reading, bytearray, int]] = []

    @rule(data=st.binary(min_size=1, max_size=5))
    def write(self, data: bytes) -> None:
        self.cast.write(data)
        self.written += data

    @rule()
    @precondition(lambda self: self.cast.kept)
    def join(self) -> None:
        self.readers.append((self.cast.join(nothing), bytearray(), 0))

    @rule()
    def join_late(self) -> None:
        self.readers.append((self.cast.join(nothing, late=True), bytearray(), len(self.written)))

    @rule(data=st.data())
    @precondition(lambda self: self.readers)
    def take(self, data: st.DataObject) -> None:
        reading, got, _ = data.draw(st.sampled_from(self.readers))
        got += reading.take()

    @rule(data=st.data())
    @precondition(lambda self: self.readers)
    def leave(self, data: st.DataObject) -> None:
        which = data.draw(st.sampled_from(self.readers))
        which[0].leave()
        self.readers.remove(which)

    @rule()
    def let_go(self) -> None:
        self.cast.let_go()

    @invariant()
    def each_has_a_part_without_gaps(self) -> None:
        for _, got, start in self.readers:
            assert self.written[start : start + len(got)] == got

    @invariant()
    def no_more_is_kept_than_the_slowest_needs(self) -> None:
        behind = max((len(self.written) - s - len(g) for _, g, s in self.readers), default=0)
        assert self.cast.behind == behind
        if not self.cast.kept:
            assert sum(map(len, self.cast._pieces)) == behind


Walk.TestCase.settings = settings(max_examples=60, deadline=None)
test_walk = Walk.TestCase
