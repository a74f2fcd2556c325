from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from twistproxy.policy import Means
from twistproxy.policy.conditions import hours
from twistproxy.policy.conditions.hours import DAYS, Hours

# 2026-11-02 is a Monday.
CASES = {
    "in_it": ("Mon-Fri 09:00-17:00", "2026-11-02 12:00", True),
    "begins": ("Mon-Fri 09:00-17:00", "2026-11-02 09:00", True),
    "before": ("Mon-Fri 09:00-17:00", "2026-11-02 08:59:59", False),
    "last_second": ("Mon-Fri 09:00-17:00", "2026-11-06 16:59:59", True),
    "ends": ("Mon-Fri 09:00-17:00", "2026-11-06 17:00", False),
    "on_another_day": ("Mon-Fri 09:00-17:00", "2026-11-07 12:00", False),
    "every_day": ("09:00-17:00", "2026-11-08 12:00", True),
    "whole_days": ("Sat,Sun 00:00-24:00", "2026-11-08 23:59:59", True),
    "after_whole_days": ("Sat,Sun 00:00-24:00", "2026-11-09 00:00", False),
    "one_day": ("Wed 00:00-24:00", "2026-11-04 00:00", True),
    "over_the_week's_end": ("Sat-Mon 10:00-11:00", "2026-11-09 10:30", True),
    "not_over_the_week's_end": ("Sat-Mon 10:00-11:00", "2026-11-10 10:30", False),
    "days_and_ranges": ("Mon,Wed-Fri 10:00-11:00", "2026-11-05 10:30", True),
    "not_between_them": ("Mon,Wed-Fri 10:00-11:00", "2026-11-03 10:30", False),
    "evening": ("Mon-Fri 22:00-06:00", "2026-11-06 23:00", True),
    "morning_after": ("Mon-Fri 22:00-06:00", "2026-11-07 05:59", True),
    "end_of_night": ("Mon-Fri 22:00-06:00", "2026-11-07 06:00", False),
    "morning_of_the_first_day": ("Mon-Fri 22:00-06:00", "2026-11-02 05:00", False),
    "no_night_of_that_day": ("Mon-Fri 22:00-06:00", "2026-11-07 23:00", False),
    "night_over_the_week's_end": ("Sun 22:00-06:00", "2026-11-09 05:59", True),
    "until_midnight": ("Sun 22:00-00:00", "2026-11-08 23:59", True),
    "not_after_midnight": ("Sun 22:00-00:00", "2026-11-09 00:00", False),
    "all_but_a_minute": ("09:00-08:59", "2026-11-04 08:59", False),
}


def at(text: str, zone: str = "UTC") -> SimpleNamespace:
    wall = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))
    return SimpleNamespace(at=wall.timestamp())


@pytest.mark.parametrize(("window", "when", "holds"), CASES.values(), ids=CASES)
@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu"])
def test_hours(window: str, when: str, holds: bool, zone: str) -> None:
    assert Hours([window], Means(timezone=zone)).holds(at(when, zone)) is holds


def test_any_of_several() -> None:
    condition = Hours(["Mon 09:00-12:00", "Mon 11:00-13:00", "Tue 00:00-01:00"], Means())
    monday = datetime(2026, 11, 2)
    held = [
        hour
        for hour in range(48)
        if condition.holds(SimpleNamespace(at=(monday + timedelta(hours=hour)).timestamp()))
    ]
    assert held == [9, 10, 11, 12, 24]


def test_none() -> None:
    assert not Hours([], Means()).holds(at("2026-11-02 12:00"))


# In Stockholm, on 29 March 2026, 02:00 is 03:00; on 25 October 03:00 is 02:00.
# Of the quarters of an hour from a moment (UTC) on, how many are in the window.
SUMMER_TIME = {
    "an_hour_that_does_not_exist": ("Sun 02:00-03:00", "2026-03-29 00:00", 24, 0),
    "begins_when_there_is_no_such_time": ("Sun 02:30-03:30", "2026-03-29 00:00", 24, 2),
    "a_night_with_an_hour_less": ("Sat 22:00-06:00", "2026-03-28 12:00", 24, 4 * 7),
    "the_day_with_an_hour_less": ("Sun 00:00-24:00", "2026-03-28 12:00", 48, 4 * 23),
    "an_hour_that_comes_twice": ("Sun 02:00-03:00", "2026-10-24 12:00", 24, 4 * 2),
    "begins_twice": ("Sun 02:30-03:30", "2026-10-24 12:00", 24, 2 + 2 + 2),
    "a_night_with_an_hour_more": ("Sat 22:00-06:00", "2026-10-24 12:00", 24, 4 * 9),
    "the_day_with_an_hour_more": ("Sun 00:00-24:00", "2026-10-24 12:00", 48, 4 * 25),
}


@pytest.mark.parametrize(
    ("window", "start", "hours", "held"), SUMMER_TIME.values(), ids=SUMMER_TIME
)
def test_summer_time(window: str, start: str, hours: int, held: int) -> None:
    condition = Hours([window], Means(timezone="Europe/Stockholm"))
    first = at(start).at
    quarters = range(4 * hours)
    assert held == sum(condition.holds(SimpleNamespace(at=first + 900 * n)) for n in quarters)


ZONES = [
    "UTC",
    "Europe/Stockholm",
    "America/New_York",
    "America/St_Johns",  # half an hour off
    "Australia/Lord_Howe",  # half an hour of summer time
    "Asia/Kathmandu",
    "Pacific/Apia",  # 30 December 2011 did not exist
    "Africa/Casablanca",  # winter time in Ramadan
    "Africa/Monrovia",  # 44 minutes and 30 seconds off until 1972
]
MINUTES = st.integers(0, 24 * 60 - 1)
WINDOWS = st.tuples(st.none() | st.sets(st.integers(0, 6), min_size=1), MINUTES, MINUTES).filter(
    lambda window: window[1] != window[2]
)
MOMENTS = st.floats(0, 4e9)
Window = tuple[set[int] | None, int, int]


def text_of(window: Window) -> str:
    days, start, end = window
    named = "" if days is None else ",".join(DAYS[day] for day in days) + " "
    return f"{named}{start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}"


def evaluated(windows: list[Window], zone: str, when: float) -> bool:
    """What a clock on the wall shows, and, of a night, on which day it began."""
    wall = datetime.fromtimestamp(int(when), UTC).astimezone(ZoneInfo(zone))
    today, now = wall.weekday(), wall.hour * 60 + wall.minute
    for days, start, end in windows:
        on = range(7) if days is None else days
        if start < end:
            if today in on and start <= now < end:
                return True
        elif (today in on and now >= start) or ((today - 1) % 7 in on and now < end):
            return True
    return False


@given(st.lists(WINDOWS, max_size=3), st.sampled_from(ZONES), MOMENTS)
@example([(None, 120, 180)], "Europe/Stockholm", 1774746000.0)
@example([({6}, 0, 24 * 60 - 1)], "Pacific/Apia", 1325239200.0)
def test_as_evaluated_plainly(windows: list[Window], zone: str, when: float) -> None:
    condition = Hours(map(text_of, windows), Means(timezone=zone))
    for moment in (when, when + 0.9999999, when + 59, when + 3600, when + 86400):
        expected = evaluated(windows, zone, moment)
        assert condition.holds(SimpleNamespace(at=moment)) is expected


@pytest.mark.parametrize("zone", ZONES)
def test_minute_by_minute_over_each_change_of_a_year(zone: str) -> None:
    windows: list[Window] = [({5}, 1320, 360), (None, 60, 181), ({6, 0}, 100, 130)]
    condition = Hours(map(text_of, windows), Means(timezone=zone))
    start = datetime(2026, 1, 1, tzinfo=UTC)
    times = [start + timedelta(hours=hour) for hour in range(366 * 24)]
    offsets = [time.astimezone(ZoneInfo(zone)).utcoffset() for time in times]
    changes = [after for n, after in enumerate(times[1:]) if offsets[n] != offsets[n + 1]]
    for change in changes or [start]:
        first = int(change.timestamp()) - 4 * 3600
        for when in range(first, first + 8 * 3600, 60):
            assert condition.holds(SimpleNamespace(at=when)) is evaluated(windows, zone, when)


def test_within_a_second_the_clock_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read = []

    class Clock(datetime):
        @classmethod
        def fromtimestamp(cls, *args: object) -> datetime:  # type: ignore[override]
            read.append(args)
            return datetime.fromtimestamp(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(hours, "datetime", Clock)
    condition = Hours(["00:00-24:00"], Means())
    assert all(condition.holds(SimpleNamespace(at=when)) for when in (5.0, 5.1, 5.9, 6.0))
    assert len(read) == 2


def test_the_zone_of_the_system_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    condition = Hours(["06:00-07:00"], Means())
    try:
        monkeypatch.setenv("TZ", "Asia/Kathmandu")
        time.tzset()
        assert condition.holds(at("2026-11-02 00:15"))
        assert not condition.holds(at("2026-11-02 06:15"))
    finally:
        monkeypatch.undo()
        time.tzset()


NONE = {
    "nothing": ("", "no hours"),
    "only_days": ("Mon-Fri", "no hours"),
    "no_minutes": ("09-17", "no hours"),
    "short_hour": ("9:00-17:00", "no hours"),
    "hour_25": ("00:00-25:00", "no hours"),
    "minute_60": ("00:00-01:60", "no hours"),
    "after_the_day's_end": ("00:00-24:01", "no hours"),
    "begins_at_the_day's_end": ("24:00-06:00", "no hours"),
    "other_digits": ("0९:00-17:00", "no hours"),
    "three_parts": ("Mon Tue 09:00-17:00", "no hours"),
    "line's_end": ("09:00-17:00\n", "no hours"),
    "empty": ("09:00-09:00", "the whole day is 00:00-24:00"),
    "small": ("mon 09:00-17:00", 'no day "mon"; did you mean "Mon"?'),
    "long": ("Mon-Thursday 09:00-17:00", 'no day "Thursday"; did you mean "Thu"?'),
    "misspelled": ("Wen 09:00-17:00", 'no day "Wen"; did you mean "Wed"?'),
    "unlike_any": ("X 09:00-17:00", 'no day "X"'),
    "open": ("Mon- 09:00-17:00", 'no day ""'),
    "comma_at_the_end": ("Mon, 09:00-17:00", 'no day ""'),
    "three_days": ("Mon-Tue-Wed 09:00-17:00", 'no day "Tue-Wed"'),
}


@pytest.mark.parametrize(("window", "why"), NONE.values(), ids=NONE)
def test_what_is_no_window(window: str, why: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011
        Hours(["09:00-17:00", window], Means())
    assert why in str(error.value)


@pytest.mark.parametrize(
    "zone", ["Europe/Stokholm", "", "America", "../etc/passwd", "/etc", "a\0b"]
)
def test_what_is_no_time_zone(zone: str) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        Hours(["09:00-17:00"], Means(timezone=zone))


def test_a_time_zone_that_was_meant() -> None:
    with pytest.raises(ValueError, match=r'did you mean "Europe/Stockholm"\?'):
        Hours(["09:00-17:00"], Means(timezone="Europe/Stokholm"))


def test_seen() -> None:
    condition = Hours(["09:00-17:00"], Means(timezone="Asia/Kathmandu"))
    assert condition.seen(at("2026-11-02 00:15")) == "Mon 06:00 in Asia/Kathmandu"
    local = SimpleNamespace(at=datetime(2026, 11, 8, 7, 5).timestamp())
    assert Hours(["09:00-17:00"], Means()).seen(local) == "Sun 07:05"
