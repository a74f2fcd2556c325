from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs

from twistproxy.net.sweep import Sweep


class Item:
    def __init__(self, deadline: float, then: Callable[[], object] = lambda: None) -> None:
        self.deadline = deadline
        self.then = then
        self.times = 0

    def expired(self) -> None:
        self.times += 1
        self.then()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sweep(clock: Clock) -> Sweep:
    sweep = Sweep(clock)
    sweep.start()
    return sweep


def watched(sweep: Sweep, *items: Item) -> None:
    for item in items:
        sweep.watch(item)


def test_an_item_expires_once_and_not_early(clock: Clock, sweep: Sweep) -> None:
    item = Item(1.0)
    watched(sweep, item)
    clock.pump([0.25] * 3)
    assert item.times == 0
    clock.pump([0.25] * 9)
    assert item.times == 1
    assert item.deadline == math.inf


def test_a_moved_deadline_counts(clock: Clock, sweep: Sweep) -> None:
    item = Item(1.0)
    watched(sweep, item)
    clock.advance(0.75)
    item.deadline = sweep.now + 1
    clock.advance(0.75)
    assert item.times == 0
    clock.advance(0.25)
    assert item.times == 1


def test_expired_may_set_the_next_deadline(clock: Clock, sweep: Sweep) -> None:
    item = Item(1.0, lambda: setattr(item, "deadline", sweep.now + 1))
    watched(sweep, item)
    clock.pump([0.25] * 12)
    assert item.times == 3


def test_forgotten_items_never_expire(clock: Clock, sweep: Sweep) -> None:
    item = Item(1.0)
    watched(sweep, item)
    sweep.forget(item)
    sweep.forget(item)
    clock.advance(2)
    assert (item.times, len(sweep)) == (0, 0)


def test_now_is_the_time_of_the_last_tick(clock: Clock, sweep: Sweep) -> None:
    clock.advance(0.25)
    clock.advance(0.2)
    assert sweep.now == 0.25


def test_expired_may_add_and_forget_items(clock: Clock, sweep: Sweep) -> None:
    items: list[Item] = []

    def end_the_rest() -> None:
        for item in items:
            sweep.forget(item)
        sweep.watch(late)

    late = Item(0.0)
    items += [Item(1.0, end_the_rest) for _ in range(5)]
    watched(sweep, *items)
    clock.advance(1)
    assert sum(item.times for item in items) == 1
    assert late.times == 0
    clock.advance(0.25)
    assert late.times == 1


def test_one_item_may_move_the_deadline_of_another(clock: Clock, sweep: Sweep) -> None:
    def postpone_both() -> None:
        first.deadline = second.deadline = 9.0

    first, second = Item(1.0, postpone_both), Item(1.0, postpone_both)
    watched(sweep, first, second)
    clock.advance(1)
    assert first.times + second.times == 1


def test_an_exception_is_logged_and_the_others_expire(clock: Clock, sweep: Sweep) -> None:
    items = [Item(1.0, lambda: 1 // 0) for _ in range(3)]
    watched(sweep, *items)
    with capturedLogs() as logs:
        clock.pump([0.25] * 8)
    assert [item.times for item in items] == [1, 1, 1]
    failures = [log for log in logs if log["log_level"] is LogLevel.critical]
    assert len(failures) == 3


def test_a_stopped_sweep_can_be_started_again(clock: Clock, sweep: Sweep) -> None:
    item = Item(1.0)
    watched(sweep, item)
    sweep.stop()
    sweep.stop()
    clock.advance(5)
    assert item.times == 0
    assert not clock.getDelayedCalls()
    sweep.start()
    assert (item.times, sweep.now) == (1, 5)


@given(st.lists(st.floats(0, 10), max_size=20), st.floats(0, 10))
def test_what_is_due_and_nothing_else_expires(deadlines: list[float], after: float) -> None:
    clock = Clock()
    sweep = Sweep(clock)
    items = [Item(deadline) for deadline in deadlines]
    watched(sweep, *items)
    sweep.start()
    clock.advance(after)
    assert [item.times for item in items] == [int(d <= sweep.now) for d in deadlines]
    assert sweep.now <= after
