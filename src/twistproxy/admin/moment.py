"""Run code in the reactor's thread, but not for longer than a bounded moment.

The console's code must run where the live objects live, and must not stop the traffic. An
interval timer's signal handler raises `TookTooLong` inside that code; Python runs handlers
between bytecodes on every reactor, uvloop's included, and inside ``time.sleep``. Out of reach:
C code that doesn't look at signals (``sum(itertools.count())``).
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

#: Seconds between two interruptions, at least. Code that swallows them in a loop gets the next
#: one sooner and sooner, until one falls between its ``except`` and its next ``try``.
_SOONEST = 20e-6


class TookTooLong(BaseException):
    """The code was interrupted. Not an Exception, so that ``except Exception`` lets it pass."""


_running = False


def within(seconds: float, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """`function`'s result, or `TookTooLong` raised after so many seconds.

    A function written in Python; main thread only. Within itself, the outer moment counts.
    """
    global _running
    if _running:
        return function(*args, **kwargs)
    wait = seconds

    def interrupt(signum: int, frame: FrameType | None) -> None:
        nonlocal wait
        if frame is None or frame.f_code in (within.__code__, interrupt.__code__):
            return  # not in `function`, but on the way in or out of it
        if wait > _SOONEST:
            wait = max(wait / 10, _SOONEST)
            signal.setitimer(signal.ITIMER_REAL, wait, wait)
        raise TookTooLong(f"interrupted: it took longer than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, interrupt)
    _running = True
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
        return function(*args, **kwargs)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        _running = False
