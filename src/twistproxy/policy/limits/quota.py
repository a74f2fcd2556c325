"""quota: so many requests, bytes or minutes of each hour, day or month of the calendar.

requests   each that is let in, answered from the cache or not, HEAD too
bytes      of both directions. A request is let in while any are left; what takes long is told to
           end once none are
minutes    of the clock, in which there was a request or something was open: each once, however
           much there was. A minute that has begun may be used to its end

What was spent is asked for in parts (`changed`), to be kept elsewhere, and given back (`restore`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import nlargest
from itertools import islice
from typing import Any, Final, Literal, NamedTuple

from attrs import define

from twistproxy.policy.limits import Refusal
from twistproxy.policy.limits.keys import key_by
from twistproxy.policy.limits.tally import KEYS, Tally
from twistproxy.policy.limits.windows import Calendar, Per, Window

Unit = Literal["requests", "bytes", "minutes"]
UNITS: Final[tuple[Unit, ...]] = ("requests", "bytes", "minutes")

_NEVER: Final = -1  #: a minute before all
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_AMOUNTS: Final[dict[Unit, str]] = {
    "requests": "{amount} requests",
    "bytes": "{amount}",
    "minutes": "{amount} minutes",
}


class Row(NamedTuple):
    """What a key has spent in the window from start to end; spent 0: it is to be forgotten.

    quota: which, by what it is. minute: the last that was counted, since 1970.
    """

    quota: str
    key: str
    start: int
    end: int
    spent: int
    minute: int


@define(eq=False)
class _Spent:
    """kept: whether somebody else was told of it."""

    count: int = 0
    minute: int = _NEVER
    kept: bool = False


class Quota:
    """amount: from 1. timezone: whose clock; None: the system's. Raises ValueError."""

    kind = "quota"

    def __init__(
        self,
        rule: str,
        unit: Unit,
        amount: int,
        per: Per,
        by: str,
        timezone: str | None = None,
        most: int = KEYS,
    ) -> None:
        self.rule = rule
        self.by = by
        self.refused = 0
        self.key = key_by(by)
        #: What it is: another quota has another name.
        self.name = f"{rule}\n{amount} {unit} per {per} by {by}, {timezone or 'local'}"
        self._unit: Unit = unit
        self._amount = amount
        self._per: Per = per
        self._calendar = Calendar(timezone)
        self._window = Window(0, 0)
        self._most = most
        self._spent = Tally(self._weight, most)
        self._open: dict[str, int] = {}  # how many there are under way, of a quota of minutes
        #: Keys of which others are to be told, the longest unsaid first.
        self._unsaid: dict[str, None] = {}

    # -- as a Limit -------------------------------------------------------------------

    def refuses(self, key: str, now: float, at: float) -> Refusal | None:
        self._turn_to(at)
        spent = self._spent.values.get(key)
        if spent is None or spent.count < self._amount:
            return None
        if spent.minute >= at // 60 and self._unit == "minutes":
            return None
        self.refused += 1
        return self._refusal(at)

    def enter(self, key: str, now: float, at: float) -> None:
        self._turn_to(at)
        if self._unit == "requests":
            self._add(key, 1)
        elif self._unit == "minutes":
            self._mark(key, at)
            self._open[key] = self._open.get(key, 0) + 1

    def spend(self, key: str, count: int, at: float) -> Refusal | None:
        self._turn_to(at)
        if self._unit == "requests":
            return None
        if self._unit == "minutes":
            self._mark(key, at)
            over = self._count(key) > self._amount
        else:
            if count:
                self._add(key, count)
            over = self._count(key) >= self._amount
        return self._refusal(at) if over else None

    def leave(self, key: str, at: float) -> None:
        if self._unit == "minutes":
            self._turn_to(at)
            self._mark(key, at)
            left = self._open.pop(key) - 1
            if left:
                self._open[key] = left

    def standing(self, key: str, now: float, at: float) -> str:
        self._turn_to(at)
        left = self._figure(max(0, self._amount - self._count(key)))
        return f"{left} of {self.text} left, until {self._calendar.text(self._window.end)}"

    @property
    def text(self) -> str:
        return f"{_AMOUNTS[self._unit].format(amount=self._figure(self._amount))} a {self._per}"

    def snapshot(self) -> dict[str, Any]:
        return {
            "rule": self.rule,
            "kind": self.kind,
            "limit": self.text,
            "by": self.by,
            "keys": len(self._spent),
            "refused": self.refused,
        }

    # -- the count --------------------------------------------------------------------

    def _turn_to(self, at: float) -> None:
        """Into the window of that time. A clock that is set back a little doesn't bring an old
        one back: nobody is given twice what he has spent.
        """
        window = self._window
        if 2 * window.start - window.end <= at < window.end:
            return
        self._window = self._calendar.window(at, self._per)
        self._spent = Tally(self._weight, self._most)
        self._unsaid.clear()
        for key in self._open:  # since before: its minutes are counted from the start
            self._spent.add(key, _Spent(minute=self._window.start // 60 - 1))

    def _count(self, key: str) -> int:
        spent = self._spent.values.get(key)
        return 0 if spent is None else spent.count

    def _add(self, key: str, count: int) -> _Spent:
        spent = self._spent.values.get(key)
        if spent is None:
            spent = _Spent()
            forgotten = self._spent.add(key, spent)
            if forgotten is not None:
                self._forget(*forgotten)
        spent.count += count
        self._unsaid[key] = None
        return spent

    def _mark(self, key: str, at: float) -> None:
        """Count this minute; and those since the last, where something was open all the time."""
        minute = int(at // 60)
        spent = self._spent.values.get(key)
        last = _NEVER if spent is None else spent.minute
        if minute > last:
            whole = key in self._open and last != _NEVER
            self._add(key, minute - last if whole else 1).minute = minute

    def _weight(self, key: str, spent: _Spent) -> float:
        return float("inf") if key in self._open else spent.count

    def _forget(self, key: str, spent: _Spent) -> None:
        if spent.kept:
            self._unsaid[key] = None
        else:
            self._unsaid.pop(key, None)

    def _refusal(self, at: float) -> Refusal:
        end = self._window.end
        return Refusal(
            self.rule,
            self.kind,
            end - at,
            f"The {_AMOUNTS[self._unit]} of the {self._per} are used up; more from {{until}}.",
            {"amount": self._figure(self._amount), "until": self._calendar.text(end)},
        )

    def _figure(self, amount: int) -> str:
        return _size(amount) if self._unit == "bytes" else str(amount)

    # -- what outlives the process ----------------------------------------------------

    def changed(self, most: int | None = None) -> Iterator[Row]:
        """What has changed since it was asked for, at most so many; each is told once."""
        start, end = self._window.start, self._window.end
        for key in list(islice(self._unsaid, most)):
            del self._unsaid[key]
            spent = self._spent.values.get(key)
            if spent is None:
                yield Row(self.name, key, start, end, 0, _NEVER)
            else:
                spent.kept = True
                yield Row(self.name, key, start, end, spent.count, spent.minute)

    def tell_all(self) -> None:
        """What was told is lost: all of it is to be told again."""
        self._unsaid = dict.fromkeys(self._spent.values)

    def restore(self, rows: Iterable[Row], at: float) -> None:
        """What was spent before; those of other windows are passed over."""
        self._turn_to(at)
        window = self._window
        for row in rows:
            current = (row.start, row.end) == (window.start, window.end)
            if current and row.spent > 0 and row.key not in self._spent.values:
                self._spent.add(row.key, _Spent(row.spent, row.minute, True))

    def most_spent(self, at: float, most: int) -> list[tuple[str, str]]:
        """Keys, and what each has left; who has spent most first."""
        self._turn_to(at)
        values = self._spent.values
        first = nlargest(most, values, key=self._count)
        return [(key, self.standing(key, 0, at)) for key in first]


def _size(amount: float) -> str:
    """As people write it: 5 GiB, 1.4 MiB."""
    for unit in _UNITS:
        if amount < 1024 or unit == _UNITS[-1]:
            break
        amount /= 1024
    return f"{round(amount, 1):g} {unit}"
