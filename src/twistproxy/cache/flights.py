"""Request collapsing: many who miss the same object make one fetch (RFC 9211 calls it collapsed).

    depart ─▶ Flight ── its head may be stored ─▶ board: those who wait read along
                     ├─ it may not, for others   ─▶ dissolve: they go on their own, in waves
                     └─ it fails                 ─▶ fail: they fail alike

Nobody waits for what turned out to be for one person only: for a while such a key is `alone`. And
those who did wait don't go all at once: each answer sends off two more.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable
from typing import Any, Final, Protocol

from twistproxy.cache.broadcast import Broadcast
from twistproxy.cache.stored import Key, Stored
from twistproxy.http.errors import Problem

#: Seconds for which nobody waits for a key whose answer was not for everybody.
ALONE: Final = 10.0
#: Seconds that those wait who can't read along, since the body goes to a file.
PATIENCE: Final = 10.0
# Keys of which that is remembered.
_REMEMBERED: Final = 4096
# How many go for each that has got its answer.
_WAVE: Final = 2


class Waiter(Protocol):
    """An exchange that waits for another one's fetch."""

    def read_along(self, flight: Flight) -> None:
        """The head is there, `Flight.stored`, and may answer others."""

    def look_again(self, wave: Wave | None) -> None:
        """Have we got it now? If not, go alone, and tell the wave when there is an answer."""

    def fail(self, problem: Problem) -> None: ...


class Leader(Protocol):
    """The exchange that fetches. generation: of the configuration that it began with."""

    generation: Any

    @property
    def goes_to_a_file(self) -> bool:
        """Whether the body can't be shared, but will be found when it is whole."""

    def let_go(self, flight: Flight) -> None:
        """Those who wait for that have waited for `PATIENCE`."""

    def share(self) -> Broadcast | None:
        """The body, for others, too; None if it can't be."""


class Wave:
    """Those who wait no longer, and go a few at a time."""

    __slots__ = ("_due", "_going", "_waiting")

    def __init__(self, waiting: deque[Waiter]) -> None:
        self._waiting = waiting
        self._due = 0  # how many may go
        self._going = False

    def go_on(self) -> None:
        """One has its answer: the next few may ask. Who gets one in that very call says so here,
        too: then they go in this loop, however many.
        """
        self._due += _WAVE
        if self._going:
            return
        self._going = True
        while self._due and self._waiting:
            self._due -= 1
            self._waiting.popleft().look_again(self)
        self._going = False


class Flight:
    """One fetch under way. stored: what it brings, once its head is there and is for others, too;
    without its body. length: of that in bytes, None where it isn't known.
    """

    __slots__ = ("key", "leader", "length", "stored", "waiting")

    def __init__(self, key: Key, leader: Leader) -> None:
        self.key = key
        self.leader = leader
        self.stored: Stored | None = None
        self.length: int | None = None
        self.waiting: list[Waiter] = []

    def join(self, waiter: Waiter) -> None:
        if self.stored is not None:
            waiter.read_along(self)
        else:
            self.waiting.append(waiter)

    def leave(self, waiter: Waiter) -> None:
        if waiter in self.waiting:
            self.waiting.remove(waiter)


class Flights:
    """All that are under way. joined: how many requests have become part of another's, ever."""

    __slots__ = ("_alone", "_by_key", "joined")

    def __init__(self) -> None:
        self.joined = 0
        self._by_key: dict[Key, Flight] = {}
        self._alone: OrderedDict[Key, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_key)

    def get(self, key: Key, generation: object) -> Flight | None:
        """The one to join, if there is any: after a reload the answer may be another one."""
        flight = self._by_key.get(key)
        return flight if flight is None or flight.leader.generation is generation else None

    def enter(self, key: Key, exchange: Leader, now: float) -> Flight | None:
        """The one to join, or one that the exchange leads; None where nobody should wait."""
        flight = self._by_key.get(key)
        if flight is not None and flight.leader.generation is exchange.generation:
            return flight
        if self._alone:
            return self.depart(key, exchange, now)
        flight = self._by_key[key] = Flight(key, exchange)
        return flight

    def depart(self, key: Key, leader: Leader, now: float) -> Flight | None:
        """A fetch that others may join; None where they had better not."""
        until = self._alone.get(key)
        if until is not None:
            if now < until:
                return None
            del self._alone[key]
        flight = self._by_key[key] = Flight(key, leader)
        return flight

    def under_way(self) -> list[Key]:
        return list(self._by_key)

    def close(self, keys: Iterable[Key]) -> None:
        """Nobody may join these any more: what they bring may be outdated when it comes."""
        for key in keys:
            self._by_key.pop(key, None)

    def board(self, flight: Flight, stored: Stored, length: int | None) -> None:
        """Its head may answer others: those who wait read along."""
        flight.stored = stored
        flight.length = length
        waiting, flight.waiting = flight.waiting, []
        for waiter in waiting:
            waiter.read_along(flight)

    def land(self, flight: Flight) -> None:
        """It is over; who still waits finds it stored, or becomes the next."""
        self._forget(flight)
        waiting, flight.waiting = flight.waiting, []
        for waiter in waiting:
            waiter.look_again(None)

    def dissolve(self, flight: Flight, now: float) -> None:
        """What it brings is not for others."""
        self._forget(flight)
        if flight.waiting:
            self._alone[flight.key] = now + ALONE
            self._alone.move_to_end(flight.key)
            if len(self._alone) > _REMEMBERED:
                self._alone.popitem(last=False)
            waiting, flight.waiting = flight.waiting, []
            Wave(deque(waiting)).go_on()

    def fail(self, flight: Flight, problem: Problem) -> None:
        """It brings nothing, and would bring the others nothing either."""
        self._forget(flight)
        waiting, flight.waiting = flight.waiting, []
        for waiter in waiting:
            waiter.fail(problem)

    def _forget(self, flight: Flight) -> None:
        if self._by_key.get(flight.key) is flight:
            del self._by_key[flight.key]
