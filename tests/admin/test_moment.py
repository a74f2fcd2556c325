"""A bounded moment: whatever the code does, it ends."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from twistproxy.admin.moment import TookTooLong, within


def spin() -> None:
    while True:
        pass


def sleep() -> None:
    time.sleep(3600)


def swallow() -> None:
    while True:
        with suppress(BaseException):
            spin()


def catch() -> None:
    while True:
        try:
            spin()
        except BaseException as error:
            print(error)


def swallow_twice() -> None:
    while True:
        with suppress(BaseException):
            swallow()


def finally_again() -> None:
    while True:
        try:
            spin()
        finally:
            continue  # noqa: B012


def generator() -> None:
    all(True for _ in iter(int, 1))


@pytest.mark.parametrize(
    "endless", [spin, sleep, swallow, catch, swallow_twice, finally_again, generator]
)
def test_what_never_ends_is_interrupted(
    endless: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    # What falls into a generator's end is nobody's exception; pytest's hook takes too long, too.
    monkeypatch.setattr(sys, "unraisablehook", id)
    with pytest.raises(TookTooLong):
        within(0.01, endless)


def test_what_ends_in_time_gives_its_result() -> None:
    assert within(60, lambda a, *, b: a + b, 1, b=2) == 3


def test_an_exception_passes() -> None:
    with pytest.raises(KeyError):
        within(60, {}.__getitem__, "x")


@pytest.mark.parametrize("function", [spin, lambda: None], ids=["interrupted", "in time"])
def test_timer_and_handler_are_as_before(function: Callable[[], None]) -> None:
    def handler(*_: object) -> None: ...

    before = signal.signal(signal.SIGALRM, handler)
    try:
        with suppress(TookTooLong):
            within(0.01, function)
        assert signal.getsignal(signal.SIGALRM) is handler
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_the_outer_moment_counts() -> None:
    def inner() -> None:
        within(3600, spin)

    with pytest.raises(TookTooLong):
        within(0.01, inner)


def test_the_next_moment_is_a_new_one() -> None:
    with pytest.raises(TookTooLong):
        within(0.01, spin)
    assert within(60, lambda: 1) == 1
