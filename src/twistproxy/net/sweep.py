"""One coarse timer for every time-out: each tick looks at all deadlines.

A set, not a heap: moving a deadline is one attribute store, which happens on every read,
while a tick over 20,000 items costs a few milliseconds, four times a second.
Time-outs are late by up to one interval, never early.
"""

from __future__ import annotations

import math
from typing import Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

_log = Logger()


class Expiring(Protocol):
    """Something with a deadline. Hashable by identity."""

    deadline: float  #: on the sweep's clock; `math.inf`: none

    def expired(self) -> None:
        """The deadline has passed. It is `math.inf` by now: once per deadline."""


class Sweep:
    """The timer, and the clock that deadlines are set by: ``item.deadline = sweep.now + 30``."""

    now: float  #: seconds, as of the last tick (or of the start); reading it costs nothing

    def __init__(self, reactor: IReactorTime, interval: float = 0.25) -> None:
        self._reactor = reactor
        self._interval = interval
        self._items: set[Expiring] = set()
        self._loop = LoopingCall(self._tick)
        self._loop.clock = reactor
        self.now = reactor.seconds()

    def start(self) -> None:
        self._loop.start(self._interval)

    def stop(self) -> None:
        """No ticks any more; what is watched stays so."""
        if self._loop.running:
            self._loop.stop()

    def watch(self, item: Expiring) -> None:
        self._items.add(item)

    def forget(self, item: Expiring) -> None:
        """Watch `item` no longer; nothing if it was not watched."""
        self._items.discard(item)

    def __len__(self) -> int:
        return len(self._items)

    def _tick(self) -> None:
        self.now = now = self._reactor.seconds()
        for item in [item for item in self._items if item.deadline <= now]:
            # An item before it may have ended it or moved its deadline.
            if item not in self._items or item.deadline > now:
                continue
            item.deadline = math.inf
            try:
                item.expired()
            except Exception:
                _log.failure("A time-out of {item!r} failed", item=item)
