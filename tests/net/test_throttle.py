"""throttle: exact on the average, in turns, with one timer and only while somebody waits."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from twistproxy.net.throttle import LEAST, OWED, SAVED, TICK, Bucket, Shaper, Throttle

MIB = 1 << 20


class Time:
    def __init__(self) -> None:
        self.clock = Clock()
        self.shaper = Shaper(self.clock)

    def bucket(self, rate: float = MIB) -> Bucket:
        return self.shaper.bucket(rate)

    def run(self, seconds: float, each: Callable[[], object] = lambda: None) -> None:
        """In steps that no timer's interval is a multiple of."""
        end = self.clock.seconds() + seconds
        while self.clock.seconds() < end - 1e-9:
            each()
            self.clock.advance(min(0.007, end - self.clock.seconds()))

    @property
    def timers(self) -> int:
        return len(self.clock.getDelayedCalls())


@pytest.fixture
def time() -> Time:
    return Time()


class Reader:
    """Asks first, as what moves bytes in the kernel: it always has more to move, in pieces of at
    most so many bytes."""

    def __init__(self, *buckets: Bucket, piece: int = MIB) -> None:
        self.throttle = Throttle(buckets)
        self.piece = piece
        self.got = 0
        self.pieces: list[int] = []

    def go(self) -> None:
        while most := self.throttle.may(self.piece):
            self.got += most
            self.pieces.append(most)
            self.throttle.took(most)
        self.throttle.wait(self.go)


class Taker:
    """Is charged for what it took, as what reads by a transport; it reads in its next turn."""

    def __init__(self, *buckets: Bucket, piece: int) -> None:
        self.throttle = Throttle(buckets)
        self.piece = piece
        self.got = 0
        self.reading = True

    def turn(self) -> None:
        if self.reading:
            self.got += self.piece
            if not self.throttle.took(self.piece):
                self.reading = False
                self.throttle.wait(self._resume)

    def _resume(self) -> None:
        self.reading = True


RATES = {"slow": 1000, "1 MiB/s": MIB, "1 GB/s": 10**9}


@pytest.mark.parametrize("rate", RATES.values(), ids=RATES)
@pytest.mark.parametrize("readers", [1, 2, 7])
def test_all_of_a_key_get_the_rate(time: Time, rate: int, readers: int) -> None:
    bucket = time.bucket(rate)
    all_of_them = [Reader(bucket) for _ in range(readers)]
    for reader in all_of_them:
        reader.go()
    time.run(4)
    total = sum(reader.got for reader in all_of_them)
    assert total == pytest.approx(4 * rate, rel=0.1)
    assert bucket.passed == total


@pytest.mark.parametrize("readers", [2, 7, 30])
def test_each_has_its_turns(time: Time, readers: int) -> None:
    bucket = time.bucket()
    all_of_them = [Reader(bucket) for _ in range(readers)]
    for reader in all_of_them:
        reader.go()
    time.run(1)
    before = [reader.got for reader in all_of_them]
    time.run(10)
    got = [reader.got - had for reader, had in zip(all_of_them, before, strict=True)]
    assert got == [pytest.approx(10 * MIB / readers, rel=0.1)] * readers


def test_who_comes_later_has_its_turns_too(time: Time) -> None:
    bucket = time.bucket()
    first, second = Reader(bucket), Reader(bucket)
    first.go()
    time.run(3)
    second.go()
    before = first.got
    time.run(4)
    assert second.got == pytest.approx(2 * MIB, rel=0.1)
    assert first.got - before == pytest.approx(2 * MIB, rel=0.1)


def test_who_does_not_wait_gets_nothing_before_those_who_do(time: Time) -> None:
    bucket = time.bucket()
    waiting, late = Reader(bucket), Throttle((bucket,))
    waiting.go()
    time.clock.advance(TICK * 0.9)
    assert late.may(1) == 0


@pytest.mark.parametrize("takers", [1, 3])
@pytest.mark.parametrize("piece", [16 << 10, 64 << 10, 256 << 10])
def test_who_is_charged_afterwards(time: Time, takers: int, piece: int) -> None:
    bucket = time.bucket()
    all_of_them = [Taker(bucket, piece=piece) for _ in range(takers)]

    def turn() -> None:
        for taker in all_of_them:
            taker.turn()

    time.run(8, turn)
    total = sum(taker.got for taker in all_of_them)
    assert total == pytest.approx(8 * MIB, rel=0.1)
    assert min(taker.got for taker in all_of_them) >= 0.6 * total / takers


def test_large_pieces_do_not_starve_small_ones(time: Time) -> None:
    bucket = time.bucket()
    large = Taker(bucket, piece=256 << 10)
    small = Reader(bucket)
    small.go()
    time.run(8, large.turn)
    assert large.got + small.got == pytest.approx(8 * MIB, rel=0.1)
    assert small.got > MIB / 4
    assert large.got > MIB


def test_a_debt_is_paid_before_anything_passes(time: Time) -> None:
    bucket = time.bucket()
    throttle = Throttle((bucket,))
    assert throttle.took(2 * MIB) is False
    told: list[float] = []
    throttle.wait(lambda: told.append(time.clock.seconds()))
    assert throttle.waits
    time.run(3)
    assert told == [pytest.approx(2 - SAVED, abs=2 * TICK)]
    assert not throttle.waits


def test_little_is_saved_up(time: Time) -> None:
    bucket = time.bucket()
    time.clock.advance(1000)
    reader = Reader(bucket)
    reader.go()
    assert reader.got == pytest.approx(SAVED * MIB, abs=LEAST)


def test_what_was_due_in_a_busy_moment_is_made_up_for(time: Time) -> None:
    bucket = time.bucket()
    reader = Reader(bucket)
    reader.go()
    time.clock.advance(0.8)
    assert reader.got == pytest.approx((0.8 + SAVED) * MIB, rel=0.05)
    time.clock.advance(1000)
    assert reader.got <= (0.8 + SAVED + OWED) * MIB + LEAST


def test_pieces_are_worth_it(time: Time) -> None:
    """Few system calls a byte: as large as a tick lets them be."""
    fast, slow = Reader(time.bucket(10**9)), Reader(time.bucket())
    fast.go()
    slow.go()
    time.run(1)
    assert fast.got / len(fast.pieces) > MIB * 0.9
    assert slow.got / len(slow.pieces) > LEAST


def test_the_least_is_a_byte(time: Time) -> None:
    reader = Reader(time.bucket(2))
    reader.go()
    time.run(10)
    assert 19 <= reader.got <= 21


def test_one_timer_for_all_and_none_for_nobody(time: Time) -> None:
    readers = [Reader(time.bucket(1000)) for _ in range(5) for _ in range(3)]
    assert time.timers == 0
    for reader in readers:
        reader.go()
    assert time.timers == 1
    assert len(time.shaper) == 15
    time.run(1)
    assert time.timers == 1
    for reader in readers:
        reader.throttle.forget()
        reader.throttle.forget()  # once more does nothing
    assert time.timers == 0
    assert len(time.shaper) == 0


def test_the_timer_rests_when_all_have_had_theirs(time: Time) -> None:
    throttle = Throttle((time.bucket(),))
    throttle.took(MIB // 5)
    throttle.wait(lambda: None)
    time.run(1)
    assert time.timers == 0


def test_who_left_has_no_turn(time: Time) -> None:
    bucket = time.bucket()
    gone, stays = Throttle((bucket,)), Throttle((bucket,))
    told: list[str] = []
    gone.took(MIB // 5)
    gone.wait(lambda: told.append("gone"))
    stays.wait(lambda: told.append("stays"))
    gone.forget()
    time.run(1)
    assert told == ["stays"]


def test_one_may_end_another_in_its_turn(time: Time) -> None:
    bucket = time.bucket()
    one, other = Throttle((bucket,)), Throttle((bucket,))
    told: list[str] = []
    one.took(MIB // 5)
    one.wait(lambda: (told.append("one"), other.forget()))
    other.wait(lambda: told.append("other"))
    time.run(1)
    assert told == ["one"]
    assert time.timers == 0


def test_what_is_to_be_called_can_be_replaced(time: Time) -> None:
    throttle = Throttle((time.bucket(),))
    told: list[str] = []
    throttle.took(MIB)
    throttle.wait(lambda: told.append("first"))
    throttle.wait(lambda: told.append("second"))
    time.run(2)
    assert told == ["second"]


def test_wait_never_calls_at_once(time: Time) -> None:
    throttle = Throttle((time.bucket(),))
    told: list[str] = []
    throttle.wait(lambda: told.append("now"))  # though it could pass
    assert told == []
    time.run(TICK * 2)
    assert told == ["now"]


def test_a_failure_is_its_own(time: Time, caplog: pytest.LogCaptureFixture) -> None:
    from twisted.logger import globalLogPublisher

    seen: list[object] = []
    globalLogPublisher.addObserver(seen.append)
    bucket = time.bucket()
    bad, good = Throttle((bucket,)), Throttle((bucket,))
    told: list[str] = []
    bad.took(MIB // 5)
    bad.wait(lambda: 1 / 0)
    good.wait(lambda: told.append("good"))
    time.run(1)
    globalLogPublisher.removeObserver(seen.append)
    assert told == ["good"]
    assert any("bandwidth failed" in str(event) for event in seen)


def test_under_two_limits_the_lower_one_holds(time: Time) -> None:
    low, high = time.bucket(100_000), time.bucket(300_000)
    both, other = Reader(high, low), Reader(high)
    both.go()
    other.go()
    time.run(8)
    assert both.got == pytest.approx(800_000, rel=0.1)
    assert both.got + other.got == pytest.approx(2_400_000, rel=0.1)


def test_nobody_starves_between_two_limits(time: Time) -> None:
    """Both are always busy with others; who is under both gets on."""
    one, two = time.bucket(), time.bucket()
    both = Reader(one, two)
    others = [Reader(bucket) for bucket in (one, two) for _ in range(4)]
    for reader in (*others, both):
        reader.go()
    time.run(10)
    for bucket in (one, two):
        assert bucket.passed == pytest.approx(10 * MIB, rel=0.1)
    assert both.got > 10 * MIB / 5 * 0.3


def test_side_by_side_with_another_key(time: Time) -> None:
    fast, slow = Reader(time.bucket(10 * MIB)), Reader(time.bucket(1000))
    fast.go()
    slow.go()
    time.run(4)
    assert fast.got == pytest.approx(40 * MIB, rel=0.1)
    assert slow.got == pytest.approx(4000, rel=0.1)


def test_a_limit_may_be_added(time: Time) -> None:
    reader = Reader(time.bucket(10 * MIB))
    reader.go()
    reader.throttle.buckets += (time.bucket(100_000),)
    before = reader.got
    time.run(4)
    assert reader.got - before == pytest.approx(400_000, rel=0.1)


def test_when_it_will_be_full(time: Time) -> None:
    bucket = time.bucket()
    assert bucket.full_at == 0
    Throttle((bucket,)).took(2 * MIB)
    assert bucket.full_at == pytest.approx(2)


def test_no_cycle_stays(time: Time) -> None:
    gc.disable()
    try:
        reader = Reader(time.bucket())
        reader.go()
        reader.throttle.forget()
        gone = weakref.ref(reader)
        del reader
        assert gone() is None
    finally:
        gc.enable()


@settings(max_examples=60, deadline=None)
@given(
    rate=st.integers(10_000, 10**8),
    pieces=st.lists(st.integers(1000, 300_000), min_size=1, max_size=6),
    charged=st.lists(st.booleans(), min_size=6, max_size=6),
)
def test_it_is_never_more_than_the_rate_and_a_piece_each(
    rate: int, pieces: list[int], charged: list[bool]
) -> None:
    time = Time()
    bucket = time.bucket(rate)
    takers = [Taker(bucket, piece=p) for p, late in zip(pieces, charged, strict=False) if late]
    readers = [
        Reader(bucket, piece=p) for p, late in zip(pieces, charged, strict=False) if not late
    ]
    for reader in readers:
        reader.go()

    def turn() -> None:
        for taker in takers:
            taker.turn()
        passed = sum(one.got for one in (*takers, *readers))
        due = rate * (time.clock.seconds() + SAVED)
        assert passed <= due + sum(taker.piece for taker in takers) + LEAST + 1

    time.run(0.7, turn)
