"""A circuit breaker: a server that doesn't answer is left alone, and tried again now and then.

    connecting ──it is ready──▶ closed ──so many failures in a row, or it is lost──▶ open
         ▲                                                                            │
         └───────────── after a pause, twice as long each time, up to 10 s ◀──────────┘

While it is open nobody waits: there is no line to ask. Nygard, "Release It!", 2007.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, Literal, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

#: Failures in a row after which it opens.
FAILURES: Final = 3
#: Seconds before it is tried again: at first, and at most.
FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 10.0

State = Literal["ok", "connecting", "open"]


class Line(Protocol):
    """A connection that is ready to be asked."""

    def abort(self) -> None:
        """End it at once; nothing is heard of it any more."""


L = TypeVar("L", bound=Line)


class Circuit(Generic[L]):
    """In operation from `start` to `stop`.

    connect: makes a line and sees that it answers; may take its time, but not for ever.
    changed: is told when it closes (None) or opens (why); called after the change.

    line: who to ask; None while it is open. error: the last failure.
    """

    __slots__ = (
        "_changed",
        "_clock",
        "_connect",
        "_connecting",
        "_failures",
        "_pause",
        "_timer",
        "error",
        "line",
    )

    def __init__(
        self,
        clock: IReactorTime,
        connect: Callable[[], Deferred[L]],
        changed: Callable[[str | None], object],
    ) -> None:
        self.line: L | None = None
        self.error: str | None = None
        self._clock = clock
        self._connect = connect
        self._changed = changed
        self._connecting: Deferred[L] | None = None
        self._timer: IDelayedCall | None = None
        self._failures = 0
        self._pause = FIRST_PAUSE

    @property
    def state(self) -> State:
        if self.line is not None:
            return "ok"
        return "open" if self._connecting is None else "connecting"

    def start(self) -> None:
        self._try()

    def stop(self) -> None:
        """Not tried again; what is connected ends."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            connecting.cancel()
        line, self.line = self.line, None
        if line is not None:
            line.abort()

    def answered(self) -> None:
        """It did what it was asked for, in time."""
        self._failures = 0
        self._pause = FIRST_PAUSE

    def failed(self, why: str) -> None:
        """It didn't, once."""
        self.error = why
        self._failures += 1
        if self._failures >= FAILURES:
            self.open(why)

    def open(self, why: str) -> None:
        """The line is lost, or no good."""
        line, self.line = self.line, None
        if line is None:
            return
        line.abort()
        self.error = why
        self._wait()
        self._changed(why)

    def _wait(self) -> None:
        self._timer = self._clock.callLater(self._pause, self._try)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def _try(self) -> None:
        self._timer = None
        self._connecting = self._connect()
        self._connecting.addCallbacks(self._connected, self._not_connected)

    def _connected(self, line: L) -> None:
        self._connecting = None
        self._failures = 0
        self.line = line
        self._changed(None)

    def _not_connected(self, failure: Failure) -> None:
        if self._connecting is None:
            return  # stopped
        self._connecting = None
        self.error = failure.getErrorMessage() or type(failure.value).__name__
        self._wait()
