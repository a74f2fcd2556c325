"""One body on its way to many, each of whom reads at its own pace.

    write ─▶ pieces ─┬─▶ Reading of the one who fetches
                     └─▶ Reading of each who waited for the same

Pieces are shared, not copied. While the body is being stored all of them stay, so that who comes
late still gets the whole; afterwards only those that the slowest reader has yet to take, and it
is the slowest for whom the fetch waits (`behind`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable


class Broadcast:
    """A body that grows, and its readers. pieces: what has come of it already.

    kept: whether every piece stays for who comes later. read: called when somebody took some.
    """

    __slots__ = ("_first", "_pieces", "_readings", "_size", "broken", "ended", "kept", "read")

    def __init__(self, pieces: Iterable[bytes], read: Callable[[], object]) -> None:
        self.kept = True
        self.read = read
        self.ended = False
        self.broken = False  #: the rest won't come
        self._pieces = list(pieces)
        self._first = 0  # the number of the first piece that is still here
        self._size = sum(map(len, self._pieces))
        self._readings: list[Reading] = []

    def join(self, more: Callable[[], object], late: bool = False) -> Reading:
        """A reader from the first byte on, or from now on: `more` is called when there is some.

        Only while all pieces are `kept`, or late.
        """
        at = self._first + len(self._pieces) if late else 0
        reading = Reading(self, more, at, self._size if late else 0)
        self._readings.append(reading)
        return reading

    @property
    def readers(self) -> int:
        return len(self._readings)

    @property
    def behind(self) -> int:
        """Bytes that the slowest reader has yet to take."""
        return self._size - min((each.taken for each in self._readings), default=self._size)

    def write(self, data: bytes) -> None:
        self._pieces.append(data)
        self._size += len(data)
        self._tell()
        self._forget()

    def finish(self) -> None:
        """That was all."""
        self.ended = True
        self._tell()

    def break_off(self) -> None:
        """What is missing won't come."""
        self.ended = self.broken = True
        self._tell()

    def let_go(self) -> None:
        """Nobody else will come: keep only what somebody has yet to take."""
        self.kept = False
        self._forget()

    def _tell(self) -> None:
        for reading in list(self._readings):
            reading.more()

    def _forget(self) -> None:
        if not self.kept:
            end = self._first + len(self._pieces)
            gone = min((each.at for each in self._readings), default=end) - self._first
            del self._pieces[:gone]
            self._first += gone


class Reading:
    """One reader's place in a `Broadcast`. taken: bytes so far."""

    __slots__ = ("_broadcast", "at", "more", "taken")

    def __init__(
        self, broadcast: Broadcast, more: Callable[[], object], at: int, taken: int
    ) -> None:
        self.more = more
        self.at = at
        self.taken = taken
        self._broadcast = broadcast

    def take(self) -> bytes:
        """The next piece; b"" if it has yet to come, or there is none any more."""
        broadcast = self._broadcast
        index = self.at - broadcast._first
        if index >= len(broadcast._pieces):
            return b""
        data = broadcast._pieces[index]
        self.at += 1
        self.taken += len(data)
        broadcast._forget()
        broadcast.read()
        return data

    @property
    def ended(self) -> bool:
        """Whether all has been taken and nothing more will come."""
        broadcast = self._broadcast
        return broadcast.ended and self.at == broadcast._first + len(broadcast._pieces)

    @property
    def broken(self) -> bool:
        return self._broadcast.broken

    def leave(self) -> None:
        """Read no more."""
        broadcast = self._broadcast
        if self in broadcast._readings:
            broadcast._readings.remove(self)
            broadcast._forget()
            broadcast.read()
