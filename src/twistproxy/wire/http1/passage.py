"""A body of known length that nobody looks at, past us to a leg's socket: from the other leg's,
or out of a file.

While it lasts both legs leave their transports alone: the source's is paused, and nothing is
written to the sink's. Each keeps its own time: the source while bytes are waited for, the sink
while it does not take them. Who waits for a throttle is waited for by nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from twistproxy.net.sendfile import LOST, File, Sender, Sending
from twistproxy.net.splice import Lift, Splicer, Why
from twistproxy.wire.http1.body import Length

#: Bytes from which on it costs less than to read and to write them.
WORTH: Final = 256 << 10


class Leg(Protocol):
    """What a passage is between."""

    transport: Any
    passage: Any  # while it lasts

    def passed(self, count: int) -> None:
        """To a source: the sink took so many bytes."""

    def released(self) -> None:
        """To a source: it may read on."""

    def passed_all(self) -> None:
        """To a source, after `released`: the body is complete."""

    def lent(self) -> None:
        """To a sink: a passage has begun."""

    def taken(self) -> None:
        """To a sink: it has taken bytes, or it is its turn to."""

    def returned(self) -> None:
        """To a sink: it may write on."""


class Passage:
    """The rest of the body that `reader` is at."""

    __slots__ = ("_lift", "_reader", "_sink", "_source")

    def __init__(self, source: Leg, sink: Leg, reader: Length) -> None:
        self._source: Leg | None = source
        self._sink: Leg | None = sink
        self._reader = reader
        self._lift: Lift | None = None

    def begin(self, splicer: Splicer) -> bool:
        """Whether it has; if it can't be done nothing has changed."""
        source, sink = self._source, self._sink
        assert source is not None
        assert sink is not None
        self._lift = splicer.lift(
            source.transport, sink.transport, self._reader.left, self._moved, self._ended
        )
        if self._lift is None:
            self._source = self._sink = None
            return False
        source.passage = sink.passage = self
        sink.lent()
        return True

    def fills(self, leg: Leg) -> bool:
        """Whether the leg is its sink."""
        return leg is self._sink

    def waits_for(self, leg: Leg) -> bool:
        """Whose turn it is: the sink's while there are bytes that it does not take."""
        lift = self._lift
        if lift is None or lift.waits_for_throttle:
            return False
        return leg is (self._sink if lift.waits_for_sink else self._source)

    def pause(self) -> None:
        """The sink's transport is full: which it sees by itself."""

    def resume(self) -> None: ...

    def cancel(self) -> None:
        """Neither leg can go on with its message: bytes may be lost. Nothing if it is over."""
        lift, _, _ = self._over()
        if lift is not None:
            lift.cancel()

    def _moved(self, count: int) -> None:
        self._reader.left -= count
        if self._source is not None:
            self._source.passed(count)
        if self._sink is not None:
            self._sink.taken()

    def _ended(self, moved: int, why: Why) -> None:
        _, source, sink = self._over()
        if source is None or sink is None:
            return
        if why == "sink":
            sink.transport.abortConnection()
            return
        sink.returned()
        if why == "source":
            # Its transport would not learn it: the reset is read, and what follows is an EOF.
            source.transport.abortConnection()
            return
        source.released()
        if not why:
            source.passed_all()

    def _over(self) -> tuple[Lift | None, Leg | None, Leg | None]:
        lift, source, sink = self._lift, self._source, self._sink
        self._lift = self._source = self._sink = None
        for leg in (source, sink):
            if leg is not None:
                leg.passage = None
        return lift, source, sink


class FilePassage:
    """Some of a body, out of a file.

    moved, ended: of `ClientStream.send_file`.
    """

    __slots__ = ("_ended", "_moved", "_sending", "_sink")

    def __init__(
        self, sink: Leg, moved: Callable[[int], object], ended: Callable[[str], object]
    ) -> None:
        self._sink: Leg | None = sink
        self._moved: Callable[[int], object] | None = moved
        self._ended: Callable[[str], object] | None = ended
        self._sending: Sending | None = None

    def begin(self, sender: Sender, file: File, offset: int, length: int, full: bool) -> None:
        """It may be over when this returns. full: whether the sink's transport is paused."""
        sink = self._sink
        assert sink is not None
        sink.passage = self
        sending = self._sending = sender.sending(
            sink.transport, file, offset, length, self._bytes_moved, self._over
        )
        if full:
            sending.pauseProducing()
        sending.begin()
        if self._sink is not None:
            sink.lent()

    def fills(self, leg: Leg) -> bool:
        return leg is self._sink

    def waits_for(self, leg: Leg) -> bool:
        """Whether it is the leg's turn, and not the disk's or a throttle's."""
        return self._sending is not None and self._sending.waits_for_sink

    def pause(self) -> None:
        if self._sending is not None:
            self._sending.pauseProducing()

    def resume(self) -> None:
        if self._sending is not None:
            self._sending.resumeProducing()

    def cancel(self) -> None:
        """The leg can't go on with its message. Nothing if it is over."""
        sending, _, _ = self._done()
        if sending is not None:
            sending.cancel()

    def _bytes_moved(self, count: int) -> None:
        if self._moved is not None and count:
            self._moved(count)
        if self._sink is not None:
            self._sink.taken()

    def _over(self, why: str) -> None:
        _, sink, ended = self._done()
        if sink is None or ended is None:
            return
        if why == LOST:
            sink.transport.abortConnection()
            return
        sink.returned()
        ended(why)

    def _done(self) -> tuple[Sending | None, Leg | None, Callable[[str], object] | None]:
        sending, sink, ended = self._sending, self._sink, self._ended
        self._sending = self._sink = self._moved = self._ended = None
        if sink is not None:
            sink.passage = None
        return sending, sink, ended
