"""The circuit: who fails is left alone, longer each time, and tried again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from twistproxy.cache.redis.circuit import FAILURES, FIRST_PAUSE, LONGEST_PAUSE, Circuit


class Line:
    aborted = False

    def abort(self) -> None:
        self.aborted = True


class World:
    """What the circuit connects to: each attempt waits for the test to decide."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.attempts: list[Deferred[Line]] = []
        self.changes: list[str | None] = []
        self.circuit: Circuit[Line] = Circuit(self.clock, self._connect, self.changes.append)

    def _connect(self) -> Deferred[Line]:
        attempt: Deferred[Line] = Deferred()
        self.attempts.append(attempt)
        return attempt

    def connect(self) -> Line:
        line = Line()
        self.attempts[-1].callback(line)
        return line

    def fail(self, why: str = "refused") -> None:
        self.attempts[-1].errback(OSError(why))


@pytest.fixture
def world() -> World:
    world = World()
    world.circuit.start()
    return world


def test_it_closes_when_the_line_is_ready(world: World) -> None:
    assert (world.circuit.state, world.circuit.line) == ("connecting", None)
    line = world.connect()
    assert (world.circuit.state, world.circuit.line) == ("ok", line)
    assert world.changes == [None]


def test_a_line_that_is_there_at_once() -> None:
    line = Line()

    def connect() -> Deferred[Line]:
        attempt: Deferred[Line] = Deferred()
        attempt.callback(line)
        return attempt

    circuit = Circuit(Clock(), connect, lambda why: None)
    circuit.start()
    assert (circuit.state, circuit.line) == ("ok", line)


def test_failures_in_a_row_open_it(world: World) -> None:
    line = world.connect()
    for _ in range(FAILURES - 1):
        world.circuit.failed("late")
    world.circuit.answered()
    for _ in range(FAILURES - 1):
        world.circuit.failed("late")
    assert world.circuit.line is line
    world.circuit.failed("too late")
    assert (world.circuit.state, world.circuit.line) == ("open", None)
    assert line.aborted
    assert world.changes == [None, "too late"]
    assert world.circuit.error == "too late"


def test_a_lost_line_opens_it_once(world: World) -> None:
    world.connect()
    world.circuit.open("lost")
    world.circuit.open("lost again")
    world.circuit.failed("late")
    assert world.changes == [None, "lost"]
    assert len(world.clock.getDelayedCalls()) == 1


def test_pauses_grow_to_the_longest_and_an_answer_resets_them(world: World) -> None:
    pauses = []
    for _ in range(12):
        world.fail()
        assert world.circuit.state == "open"
        (call,) = world.clock.getDelayedCalls()
        pauses.append(call.getTime() - world.clock.seconds())
        world.clock.advance(pauses[-1])
        assert world.circuit.state == "connecting"
    assert pauses[:3] == pytest.approx([FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE])
    assert pauses[-1] == pytest.approx(LONGEST_PAUSE)
    assert world.changes == []
    world.connect()
    world.circuit.answered()
    world.circuit.open("lost")
    (call,) = world.clock.getDelayedCalls()
    assert call.getTime() - world.clock.seconds() == pytest.approx(FIRST_PAUSE)


def test_who_connects_but_never_answers_is_left_alone_longer_and_longer(world: World) -> None:
    waited = []
    for _ in range(4):
        world.connect()
        world.circuit.open("late")
        (call,) = world.clock.getDelayedCalls()
        waited.append(call.getTime() - world.clock.seconds())
        world.clock.advance(waited[-1])
    assert waited == pytest.approx([FIRST_PAUSE * 2**i for i in range(4)])


def test_an_error_without_words_has_a_name(world: World) -> None:
    world.attempts[-1].errback(TimeoutError())
    assert world.circuit.error == "TimeoutError"


STOPPED = {
    "connecting": lambda world: None,
    "ok": lambda world: world.connect(),
    "open": lambda world: world.fail(),
}


@pytest.mark.parametrize("bring", STOPPED.values(), ids=STOPPED)
def test_it_stops_in_any_state(world: World, bring: object) -> None:
    line = bring(world)  # type: ignore[operator]
    world.circuit.stop()
    assert (world.circuit.state, world.circuit.line) == ("open", None)
    assert world.clock.getDelayedCalls() == []
    assert line is None or line.aborted
    world.clock.advance(60)
    assert len(world.attempts) == 1


def test_stopping_cancels_the_attempt() -> None:
    cancelled: list[Deferred[Line]] = []
    circuit = Circuit(Clock(), lambda: Deferred(cancelled.append), lambda why: None)
    circuit.start()
    circuit.stop()
    assert len(cancelled) == 1
    assert circuit.error is None


STEPS = st.lists(
    st.sampled_from(["connect", "fail", "answered", "failed", "lost", "wait"]), max_size=60
)


@given(STEPS)
def test_at_any_time_it_is_connected_connecting_or_waits(steps: list[str]) -> None:
    world = World()
    world.circuit.start()
    for step in steps:
        connecting = world.circuit.state == "connecting"
        if step == "connect" and connecting:
            world.connect()
        elif step == "fail" and connecting:
            world.fail()
        elif step == "answered":
            world.circuit.answered()
        elif step == "failed":
            world.circuit.failed("late")
        elif step == "lost":
            world.circuit.open("lost")
        elif step == "wait":
            world.clock.advance(LONGEST_PAUSE)
        waits = len(world.clock.getDelayedCalls())
        assert (world.circuit.state, waits) in [("ok", 0), ("connecting", 0), ("open", 1)]
        assert (world.circuit.line is not None) == (world.circuit.state == "ok")
