"""When hours, days and months begin, where the clocks are set by a time zone.

A day lasts from its first instant to that of the next, be it 23, 24 or 25 hours; an hour is what
the clock shows as one, be it for the first or the second time.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta, tzinfo
from typing import Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from attrs import frozen

Per = Literal["hour", "day", "month"]

_HOUR: Final = 3600


@frozen
class Window:
    """start, end: seconds since 1970; the end is no part of it."""

    start: int
    end: int


class Calendar:
    """Of a time zone; None: the system's. Raises ValueError where there is none of that name."""

    def __init__(self, name: str | None) -> None:
        self._zone: tzinfo | None = None  # times without one are the system's
        if name is not None:
            try:
                self._zone = ZoneInfo(name)
            except (ZoneInfoNotFoundError, ValueError, OSError):
                raise ValueError(f"no time zone {name!r}") from None

    def window(self, at: float, per: Per) -> Window:
        """The one in which that time lies."""
        local = datetime.fromtimestamp(at, self._zone)
        if per == "hour":
            start = int(at) - local.minute * 60 - local.second
            return Window(start, start + _HOUR)
        day = local.date()
        if per == "day":
            return Window(self._first_instant(day), self._first_instant(day + timedelta(1)))
        first = day.replace(day=1)
        following = (first + timedelta(31)).replace(day=1)
        return Window(self._first_instant(first), self._first_instant(following))

    def _first_instant(self, day: date) -> int:
        # Where the clock skips midnight this is when it skips; where it shows it twice, the first.
        return int(datetime(day.year, day.month, day.day, tzinfo=self._zone).timestamp())

    def text(self, at: float) -> str:
        return f"{datetime.fromtimestamp(at, self._zone):%Y-%m-%d %H:%M}"
