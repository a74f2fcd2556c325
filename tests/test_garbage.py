"""When Python looks for cycles."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
from twisted.internet.task import Clock

from twistproxy import garbage
from twistproxy.garbage import AT_LAST, SELDOM, Garbage, untracked


class Collector:
    """Stands in for the module `gc`: what it was told, a look at everything as "all"."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def collect(self, generation: object = "all") -> None:
        self.told.append(generation)

    def __getattr__(self, name: str) -> Any:
        return lambda: self.told.append(name)


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Collector:
    monkeypatch.setattr(garbage, "gc", collector := Collector())
    return collector


class Traffic:
    """A schedule on a clock, and what it does in some seconds of traffic."""

    def __init__(self, collector: Collector) -> None:
        self.clock = Clock()
        self.exchanges = 0
        self.collector = collector
        self.garbage = Garbage(self.clock, lambda: self.exchanges)

    def seconds(self, count: float, exchanges: int) -> list[object]:
        """exchanges: in each second."""
        self.collector.told.clear()
        for _ in range(int(count)):
            self.exchanges += exchanges
            self.clock.advance(1)
        return self.collector.told


@pytest.fixture
def traffic(collector: Collector) -> Traffic:
    return Traffic(collector)


def test_what_is_there_at_the_start_is_never_looked_at_again(
    traffic: Traffic, collector: Collector
) -> None:
    traffic.garbage.start()
    assert collector.told == ["disable", "all", "freeze"]


def test_under_load_only_what_is_young_is_looked_at(traffic: Traffic) -> None:
    traffic.garbage.start()
    assert traffic.seconds(AT_LAST - 1, exchanges=1) == [0] * int(AT_LAST - 1)


def test_a_quiet_second_is_used_for_everything(traffic: Traffic) -> None:
    traffic.garbage.start()
    traffic.seconds(SELDOM + 5, exchanges=1)
    assert traffic.seconds(1, exchanges=0) == ["all"]
    # And then not again for a while.
    assert traffic.seconds(SELDOM - 1, exchanges=0) == [0] * int(SELDOM - 1)
    assert traffic.seconds(1, exchanges=0) == ["all"]


def test_without_a_quiet_second_it_happens_at_last(traffic: Traffic) -> None:
    traffic.garbage.start()
    traffic.seconds(AT_LAST - 1, exchanges=1)
    assert traffic.seconds(2, exchanges=1) == ["all", 0]


def test_after_the_end_it_is_pythons_again(traffic: Traffic) -> None:
    traffic.garbage.stop()
    assert traffic.seconds(0, 0) == []  # it had not begun
    traffic.garbage.start()
    traffic.collector.told.clear()
    traffic.garbage.stop()
    assert traffic.collector.told == ["unfreeze", "enable"]
    assert traffic.seconds(SELDOM, exchanges=0) == []


class Thing:
    """Something that Python walks."""


def test_what_is_not_tracked_goes_when_nobody_has_it() -> None:
    thing = Thing()
    assert gc.is_tracked(thing)
    assert untracked(thing) is thing
    assert not gc.is_tracked(thing)
    assert untracked(thing) is thing  # once more does no harm
    gone = weakref.ref(thing)
    del thing
    assert gone() is None


def test_plain_values_are_not_tracked_anyhow() -> None:
    assert untracked(b"plain") == b"plain"
    assert untracked(()) == ()
