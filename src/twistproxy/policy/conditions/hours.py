"""time: windows of the week, ``[DAYS ]HH:MM-HH:MM``, on a clock on the wall.

``Mon-Fri 09:00-17:00``, ``Sat,Sun 00:00-24:00``; no days: every day. The end is no longer in it.
An end before the start runs through the night, which belongs to the day it began on:
``Mon-Fri 22:00-06:00`` holds until six on Saturday. Where summer time begins or ends, some of
the wall's hours are skipped or come twice, and a window has them so.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from twistproxy.config.errors import did_you_mean, shown
from twistproxy.policy import Means, Question

DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DAY: Final = 24 * 60
_WEEK: Final = 7 * _DAY
_WINDOW: Final = re.compile(
    r"(?:(\S+) +)?([01][0-9]|2[0-3]):([0-5][0-9])-(?:([01][0-9]|2[0-3]):([0-5][0-9])|24:00)"
)


class Hours:
    def __init__(self, windows: Iterable[str], means: Means) -> None:
        # Minutes of the week at which it begins and ends in turn: behind an odd number of them it
        # holds.
        self._edges: list[int] = []
        for start, end in sorted(span for window in windows for span in spans_of(window)):
            if self._edges and start <= self._edges[-1]:
                self._edges[-1] = max(self._edges[-1], end)
            else:
                self._edges += start, end
        self._zone = None if means.timezone is None else zone_of(means.timezone)
        self._at = -1  # the second that was last asked about, and the answer
        self._held = False

    def holds(self, question: Question) -> bool:
        at = int(question.at)
        if at != self._at:
            wall = datetime.fromtimestamp(at, self._zone)
            minute = (wall.weekday() * 24 + wall.hour) * 60 + wall.minute
            self._at, self._held = at, bisect_right(self._edges, minute) % 2 == 1
        return self._held

    def seen(self, question: Question) -> str:
        wall = datetime.fromtimestamp(int(question.at), self._zone)
        zone = "" if self._zone is None else f" in {self._zone.key}"
        return f"{DAYS[wall.weekday()]} {wall.hour:02}:{wall.minute:02}{zone}"


def zone_of(name: str) -> ZoneInfo:
    """The time zone; ValueError where there is none of this name."""
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # it may be a folder's name, or no path at all
        hint = did_you_mean(name, available_timezones())
        raise ValueError(f"there is no time zone {shown(name)}{hint}") from None


def spans_of(window: str) -> Iterator[tuple[int, int]]:
    """The minutes of the week (from Monday, 0 to 10080) at which it begins and ends.

    Raises ValueError where it is no window.
    """
    found = _WINDOW.fullmatch(window)
    if found is None:
        raise ValueError('no hours; they are written "Mon-Fri 09:00-17:00" or "22:00-06:00"')
    days, hour, minute, end_hour, end_minute = found.groups()
    start = int(hour) * 60 + int(minute)
    end = _DAY if end_hour is None else int(end_hour) * 60 + int(end_minute)
    if start == end:
        raise ValueError("they end as they begin; the whole day is 00:00-24:00")
    if end < start:
        end += _DAY
    for day in range(7) if days is None else _days(days):
        begins, ends = day * _DAY + start, day * _DAY + end
        yield begins, min(ends, _WEEK)
        if ends > _WEEK:
            yield 0, ends - _WEEK


def _days(text: str) -> Iterator[int]:
    for part in text.split(","):
        first, dash, last = part.partition("-")
        day = _day(first)
        yield day
        if dash:
            until = _day(last)
            while day != until:  # also over the week's end: Sat-Mon
                day = (day + 1) % 7
                yield day


def _day(name: str) -> int:
    if name not in DAYS:
        raise ValueError(f"there is no day {shown(name)}{did_you_mean(name[:3].title(), DAYS)}")
    return DAYS.index(name)
