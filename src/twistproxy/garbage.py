"""When Python looks for cycles: by a schedule of ours, since its own would stop the traffic.

Exchanges leave no cycles behind, so few things need it. What is there at the start is never looked
at again, and what the cache keeps never at all: walking a full one takes a fifth of a second. Each
second brings a look at what is younger than that, and a second without a new exchange one at
everything else.
"""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from typing import Final, TypeVar

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

#: Seconds between two looks at everything: at least, and at most however busy it is.
SELDOM: Final = 60.0
AT_LAST: Final = 3600.0

_T = TypeVar("_T")

_untrack = ctypes.pythonapi.PyObject_GC_UnTrack
_untrack.argtypes = (ctypes.py_object,)
_untrack.restype = None


def untracked(thing: _T) -> _T:
    """The same, never to be walked again when cycles are looked for.

    For what there is a lot of, and what can't be in a cycle, now or later; of tuples of plain
    values Python finds that out by itself.
    """
    if gc.is_tracked(thing):  # else it need not be of a kind that can be
        _untrack(thing)
    return thing


class Garbage:
    """The schedule, which is in force from `start` to `stop`.

    busy: a count that grows while there is something to do.
    """

    def __init__(self, clock: IReactorTime, busy: Callable[[], int]) -> None:
        self._clock = clock
        self._busy = busy
        self._seen = busy()
        self._last = clock.seconds()
        self._loop = LoopingCall(self._look)
        self._loop.clock = clock

    def start(self) -> None:
        gc.disable()
        gc.collect()
        gc.freeze()
        self._last = self._clock.seconds()
        self._loop.start(1.0, now=False)

    def stop(self) -> None:
        """Leave it to Python again."""
        if self._loop.running:
            self._loop.stop()
            gc.unfreeze()
            gc.enable()

    def _look(self) -> None:
        before, self._seen = self._seen, self._busy()
        since = self._clock.seconds() - self._last
        quiet = before == self._seen
        if since >= AT_LAST or (quiet and since >= SELDOM):
            gc.collect()
            self._last = self._clock.seconds()
        else:
            gc.collect(0)
