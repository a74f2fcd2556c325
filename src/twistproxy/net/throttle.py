"""Bandwidth: bytes a second that all who are under one limit share. Token buckets.

    Shaper      the clock: one timer for all that wait, none where nobody does
    Bucket      one limit of one key, in one direction: so many bytes a second
    Throttle    what passes under some buckets, one direction of a connection say

Whoever passes bytes asks first how many (`Throttle.may`), or is charged for what it could not help
taking (`Throttle.took`): a bucket can be in debt, and gives nothing before that is paid, so on the
average a limit is exact however large the pieces are. Who gets nothing waits, and all who wait for
a bucket have their turns one after the other; who does not wait yet can't get in before them.
Under several buckets a piece waits at most once for each, so it can't be starved between them.

A bucket that nobody waits for saves up what `SAVED` seconds bring; no more, since whoever is under
a limit should see no bursts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

_log = Logger()

#: Seconds between two rounds of those that wait.
TICK: Final = 0.05
#: Seconds whose bytes a bucket saves up where nobody waits: more than a tick, so that what is
#: paid at the end of one is not lost.
SAVED: Final = 0.1
#: And where somebody waits, but the process was busy: it makes up for that much.
OWED: Final = 1.0
#: Bytes below which a piece isn't worth its system calls, if the limit brings that much in a tick.
LEAST: Final = 16 << 10


class Shaper:
    """The time of all buckets."""

    def __init__(self, clock: IReactorTime) -> None:
        self.clock = clock
        self._dry: dict[Bucket, None] = {}  # those that somebody waits for
        self._timer: Any = None

    def bucket(self, rate: float) -> Bucket:
        """rate: bytes a second, more than 0."""
        return Bucket(self, rate)

    def __len__(self) -> int:
        """Buckets that somebody waits for."""
        return len(self._dry)

    # For the buckets

    def wait(self, bucket: Bucket) -> None:
        self._dry[bucket] = None
        if self._timer is None:
            self._timer = self.clock.callLater(TICK, self._tick)

    def forget(self, bucket: Bucket) -> None:
        self._dry.pop(bucket, None)
        if not self._dry and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        self._timer = None
        now = self.clock.seconds()
        for bucket in list(self._dry):
            bucket.round(now)
            if not bucket.waiting:
                self._dry.pop(bucket, None)
        if self._dry and self._timer is None:
            self._timer = self.clock.callLater(TICK, self._tick)


class Bucket:
    """One limit of one key. Hashable by identity. From `Shaper.bucket`."""

    __slots__ = ("_at", "_least", "_piece", "_shaper", "_tokens", "_waiting", "passed", "rate")

    def __init__(self, shaper: Shaper, rate: float) -> None:
        self.rate = rate
        self.passed = 0  # bytes
        self._shaper = shaper
        self._least = max(1, min(LEAST, int(rate * TICK)))
        self._piece = self._least  # of one turn
        self._tokens = rate * SAVED
        self._at = shaper.clock.seconds()
        self._waiting: dict[Throttle, None] = {}  # in order

    @property
    def waiting(self) -> int:
        """Throttles."""
        return len(self._waiting)

    @property
    def full_at(self) -> float:
        """When it will have saved up all it may, on its clock, if nothing passes until then."""
        return self._at + (self.rate * SAVED - self._tokens) / self.rate

    # For the throttles

    def share(self, asking: Throttle) -> int:
        """Bytes that may pass now; 0: wait."""
        self._refill(self._shaper.clock.seconds())
        most = int(self._tokens)
        if asking.turn:
            if self._waiting:
                most = min(most, self._piece)
        elif self._waiting or self._tokens <= 0:
            return 0
        return max(most, self._least)

    def charge(self, count: int) -> bool:
        """Whether it gives more."""
        self._refill(self._shaper.clock.seconds())
        self._tokens -= count
        self.passed += count
        return self._tokens > 0 and not self._waiting

    def wait(self, throttle: Throttle) -> None:
        self._waiting[throttle] = None
        self._shaper.wait(self)

    def forget(self, throttle: Throttle) -> None:
        self._waiting.pop(throttle, None)
        if not self._waiting:
            self._shaper.forget(self)

    def round(self, now: float) -> None:
        """Let those that wait have their turns while there is something to give."""
        self._refill(now)
        hope = self._tokens
        self._piece = max(self._least, int(hope) // (len(self._waiting) or 1))
        while hope > 0 and self._waiting:
            throttle = next(iter(self._waiting))
            del self._waiting[throttle]
            before = self._tokens
            try:
                throttle.proceed()
            except Exception:
                _log.failure("What waited for bandwidth failed")
            # Of a reader that was resumed the bytes are still to come.
            coming = max(throttle.last, self._least) if throttle.turn else 0
            hope -= max(before - self._tokens, coming)

    def _refill(self, now: float) -> None:
        most = self.rate * (OWED if self._waiting else SAVED)
        if self._tokens < most:
            self._tokens = min(most, self._tokens + (now - self._at) * self.rate)
        self._at = now


class Throttle:
    """One flow of bytes under some buckets. Who has one calls `forget` at the end.

    last: bytes that it was charged for last. turn: it has waited, and may pass a piece.
    """

    __slots__ = ("_go_on", "_queue", "buckets", "last", "turn")

    def __init__(self, buckets: tuple[Bucket, ...] = ()) -> None:
        self.last = 0
        self.turn = False
        self.buckets = buckets  # more may be added behind these
        self._queue = -1  # which of them it waits for
        self._go_on: Callable[[], object] | None = None

    @property
    def waits(self) -> bool:
        return self._queue >= 0

    def may(self, most: int) -> int:
        """How many of so many bytes may pass now; 0: `wait`. What then passes is to be charged."""
        for bucket in self.buckets:
            most = min(most, bucket.share(self))
        return most

    def took(self, count: int) -> bool:
        """So many bytes have passed. Whether others may follow now; else `wait` or `may`."""
        self.last = count
        self.turn = False
        more = True
        for bucket in self.buckets:
            more = bucket.charge(count) and more
        return more

    def wait(self, go_on: Callable[[], object]) -> None:
        """Call it once bytes may pass: one time, and never in this call. If it waits already,
        in place of what was to be called."""
        self._go_on = go_on
        if self._queue < 0 and not self._wait_from(0):
            self._queue = 0
            self.buckets[0].wait(self)

    def forget(self) -> None:
        """Wait no longer; nothing if it doesn't."""
        queue, self._queue, self._go_on = self._queue, -1, None
        if queue >= 0:
            self.buckets[queue].forget(self)

    # For the buckets

    def proceed(self) -> None:
        """It is its turn at one of them; perhaps not at the next."""
        if self._wait_from(self._queue + 1):
            return
        go_on, self._go_on, self._queue = self._go_on, None, -1
        self.turn = True
        if go_on is not None:
            go_on()

    def _wait_from(self, first: int) -> bool:
        for index in range(first, len(self.buckets)):
            if not self.buckets[index].share(self):
                self._queue = index
                self.buckets[index].wait(self)
                return True
        return False
