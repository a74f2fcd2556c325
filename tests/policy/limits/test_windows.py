from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistproxy.policy.limits.windows import Calendar, Per

PERS: list[Per] = ["hour", "day", "month"]
ZONES = ["UTC", "Europe/Stockholm", "America/New_York", "Asia/Kolkata", "America/Havana"]
ZONES += ["America/Sao_Paulo", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca"]

# (zone, a time in UTC, per, the window's start and end in UTC)
CASES = {
    "hour": ("UTC", "2026-11-24 12:34:56", "hour", "2026-11-24 12:00", "2026-11-24 13:00"),
    "hour_on_the_half": (
        "Asia/Kolkata", "2026-11-24 12:29", "hour", "2026-11-24 11:30", "2026-11-24 12:30",
    ),
    "day": ("UTC", "2026-11-24 23:59:59", "day", "2026-11-24 00:00", "2026-11-25 00:00"),
    "first_instant": ("UTC", "2026-11-24 00:00", "day", "2026-11-24 00:00", "2026-11-25 00:00"),
    "day_elsewhere": (
        "Europe/Stockholm", "2026-11-24 23:30", "day", "2026-11-24 23:00", "2026-11-25 23:00",
    ),
    "day_of_23_hours": (
        "Europe/Stockholm", "2026-03-29 12:00", "day", "2026-03-28 23:00", "2026-03-29 22:00",
    ),
    "day_of_25_hours": (
        "Europe/Stockholm", "2026-10-25 12:00", "day", "2026-10-24 22:00", "2026-10-25 23:00",
    ),
    "hour_that_comes_twice": (
        "Europe/Stockholm", "2026-10-25 00:30", "hour", "2026-10-25 00:00", "2026-10-25 01:00",
    ),
    "hour_that_comes_again": (
        "Europe/Stockholm", "2026-10-25 01:30", "hour", "2026-10-25 01:00", "2026-10-25 02:00",
    ),
    "no_midnight": (
        "America/Sao_Paulo", "2018-11-04 12:00", "day", "2018-11-04 03:00", "2018-11-05 02:00",
    ),
    "two_midnights": (
        "America/Havana", "2026-11-01 12:00", "day", "2026-11-01 04:00", "2026-11-02 05:00",
    ),
    "month": ("UTC", "2026-11-24 12:00", "month", "2026-11-01 00:00", "2026-12-01 00:00"),
    "december": ("UTC", "2026-12-31 23:59", "month", "2026-12-01 00:00", "2027-01-01 00:00"),
    "leap_february": ("UTC", "2028-02-29 12:00", "month", "2028-02-01 00:00", "2028-03-01 00:00"),
    "month_with_another_offset": (
        "Europe/Stockholm", "2026-10-31 23:30", "month", "2026-10-31 23:00", "2026-11-30 23:00",
    ),
}  # fmt: skip


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(("zone", "at", "per", "start", "end"), CASES.values(), ids=CASES)
def test_windows(zone: str, at: str, per: Per, start: str, end: str) -> None:
    window = Calendar(zone).window(seconds(at), per)
    assert (window.start, window.end) == (seconds(start), seconds(end))


@given(st.floats(1e9, 2.5e9), st.sampled_from(ZONES), st.sampled_from(PERS))
def test_each_moment_is_in_its_window_and_windows_follow_each_other(
    at: float, zone: str, per: Per
) -> None:
    calendar = Calendar(zone)
    window = calendar.window(at, per)
    assert window.start <= at < window.end
    assert calendar.window(window.end, per).start <= window.end
    if per != "hour":
        assert calendar.window(window.end, per).start == window.end
        assert calendar.window(window.end - 1, per) == window
        assert calendar.window(window.start, per) == window


@given(st.floats(1e9, 2.5e9), st.sampled_from(ZONES))
def test_a_window_is_one_date(at: float, zone: str) -> None:
    window, there = Calendar(zone).window(at, "day"), ZoneInfo(zone)
    dates = [
        datetime.fromtimestamp(each, there).date() for each in (window.start, at, window.end - 1)
    ]
    assert len(set(dates)) == 1
    assert datetime.fromtimestamp(window.end, there).date() > dates[0]


def test_its_text() -> None:
    assert Calendar("Asia/Tokyo").text(seconds("2026-11-24 15:00")) == "2026-11-25 00:00"


@pytest.fixture
def in_tokyo() -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = "Asia/Tokyo"
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


@pytest.mark.usefixtures("in_tokyo")
@pytest.mark.parametrize("per", PERS)
def test_without_a_name_it_is_the_system_s(per: Per) -> None:
    at = seconds("2026-11-30 15:30")
    assert Calendar(None).window(at, per) == Calendar("Asia/Tokyo").window(at, per)
    assert Calendar(None).text(at) == "2026-12-01 00:30"


@pytest.mark.parametrize("name", ["Mars", "", "../etc/passwd", "/etc/passwd", "a\0b", "Europe"])
def test_no_time_zone(name: str) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        Calendar(name)
