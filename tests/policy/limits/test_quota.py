from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twistproxy.policy.limits.quota import Quota, Row
from twistproxy.policy.limits.windows import Calendar, Per


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


NOON = seconds("2026-11-24 12:00")


def quota(unit: Any, amount: int, per: Per = "day", zone: str = "UTC", **more: Any) -> Quota:
    return Quota("q", unit, amount, per, "client", zone, **more)


def passes(limit: Quota, at: float = NOON, key: str = "a") -> bool:
    if limit.refuses(key, 0, at) is not None:
        return False
    limit.enter(key, 0, at)
    return True


# -- what is told to whom has none left ----------------------------------------------------------

TEXTS = {
    "requests": (
        quota("requests", 1, "hour"),
        "The 1 requests of the hour are used up; more from 2026-11-24 13:00.",
        3600.0,
    ),
    "bytes": (
        quota("bytes", 5 << 30),
        "The 5 GiB of the day are used up; more from 2026-11-25 00:00.",
        43_200.0,
    ),
    "bytes_in_between": (
        quota("bytes", 1_500_000),
        "The 1.4 MiB of the day are used up; more from 2026-11-25 00:00.",
        43_200.0,
    ),
    "minutes": (
        quota("minutes", 1, "month"),
        "The 1 minutes of the month are used up; more from 2026-12-01 00:00.",
        561_540.0,  # the minute that has begun may be used to its end
    ),
    "elsewhere": (
        quota("requests", 1, "day", "Asia/Tokyo"),
        "The 1 requests of the day are used up; more from 2026-11-25 00:00.",
        10_800.0,
    ),
}


@pytest.mark.parametrize(("limit", "text", "after"), TEXTS.values(), ids=TEXTS)
def test_what_a_refusal_says(limit: Quota, text: str, after: float) -> None:
    at = NOON
    assert passes(limit, at)
    limit.spend("a", 5 << 30, at)
    if text.startswith("The 1 minutes"):
        at += 60
    refusal = limit.refuses("a", 0, at)
    assert refusal is not None
    assert (refusal.rule, refusal.kind) == ("q", "quota")
    assert refusal.text == text
    assert refusal.retry_after == after
    assert limit.snapshot()["refused"] == 1


def test_it_begins_anew_with_the_window() -> None:
    limit = quota("requests", 2)
    assert [passes(limit, seconds("2026-11-24 23:59:59.9")) for _ in range(3)] == [
        True,
        True,
        False,
    ]
    assert [passes(limit, seconds("2026-11-25 00:00")) for _ in range(3)] == [True, True, False]


def test_keys_are_counted_apart() -> None:
    limit = quota("requests", 1)
    assert passes(limit, key="a")
    assert passes(limit, key="b")
    assert not passes(limit, key="a")


def test_a_tunnel_that_spent_all_is_told() -> None:
    limit = quota("bytes", 1000)
    assert passes(limit)
    assert limit.spend("a", 999, NOON) is None
    refusal = limit.spend("a", 1, NOON + 5)
    assert refusal is not None
    assert not passes(limit)
    limit.leave("a", NOON + 6)
    assert not passes(limit)


def test_of_requests_it_costs_nothing_to_go_on() -> None:
    limit = quota("requests", 1)
    assert passes(limit)
    assert limit.spend("a", 10**12, NOON) is None


def test_a_minute_that_has_begun_may_be_used_to_its_end() -> None:
    limit = quota("minutes", 2)
    assert passes(limit, NOON)
    limit.leave("a", NOON)
    assert passes(limit, NOON + 600)
    assert limit.spend("a", 0, NOON + 659) is None
    assert passes(limit, NOON + 659)
    assert not passes(limit, NOON + 660)
    assert limit.spend("a", 0, NOON + 660) is not None


def test_a_clock_that_is_set_back_gives_nobody_his_quota_again() -> None:
    limit = quota("requests", 1)
    assert passes(limit, seconds("2026-11-25 00:00:01"))
    assert not passes(limit, seconds("2026-11-24 23:59:59"))
    assert not passes(limit, seconds("2026-11-25 00:00:02"))


def test_a_clock_that_was_years_ahead_holds_nothing_up() -> None:
    limit = quota("requests", 1)
    assert passes(limit, seconds("2036-01-01 00:00"))
    assert passes(limit, NOON)
    assert not passes(limit, NOON)


# -- against a ledger ----------------------------------------------------------------------------


class Ledger:
    """Everything that ever happened, looked through each time."""

    def __init__(self, zone: str, per: Per) -> None:
        self.calendar, self.per = Calendar(zone), per
        self.spent: list[tuple[str, float, int]] = []
        self.active: list[tuple[str, float, float]] = []

    def count(self, key: str, at: float) -> int:
        window = self.calendar.window(at, self.per)
        return sum(count for who, when, count in self.spent if who == key and when >= window.start)

    def minutes(self, key: str, at: float, under_way: list[tuple[str, float]]) -> set[int]:
        window = self.calendar.window(at, self.per)
        spans = [*self.active, *((who, since, at) for who, since in under_way)]
        return {
            minute
            for who, since, until in spans
            if who == key and until >= window.start
            for minute in range(int(max(since, window.start) // 60), int(until // 60) + 1)
        }


# Where and when clocks change, months and years end; and steps over that.
STARTS = st.sampled_from(
    [
        ("Europe/Stockholm", "2026-03-28 20:00"),
        ("Europe/Stockholm", "2026-10-24 20:00"),
        ("America/Havana", "2026-11-01 02:00"),
        ("America/Sao_Paulo", "2018-11-03 23:00"),
        ("UTC", "2026-12-31 20:00"),
        ("Asia/Kolkata", "2028-02-29 12:00"),
    ]
)
PER: st.SearchStrategy[Per] = st.sampled_from(["hour", "day", "month"])
STEP = st.integers(0, 300) | st.integers(0, 20_000) | st.just(86_400 * 13)
KEYS = st.sampled_from("ab")


@settings(deadline=None)
@given(
    STARTS,
    PER,
    st.sampled_from(["requests", "bytes"]),
    st.integers(1, 8),
    st.lists(st.tuples(STEP, KEYS, st.integers(0, 5)), max_size=40),
)
def test_requests_and_bytes_are_what_the_ledger_says(
    start: tuple[str, str], per: Per, unit: str, amount: int, steps: list[tuple[int, str, int]]
) -> None:
    zone, begin = start
    limit, ledger = quota(unit, amount, per, zone), Ledger(zone, per)
    at = seconds(begin)
    for step, key, count in steps:
        at += step
        free = ledger.count(key, at) < amount
        assert (limit.refuses(key, 0, at) is None) is free
        if not free:
            continue
        limit.enter(key, 0, at)
        spent = 1 if unit == "requests" else count
        ledger.spent.append((key, at, spent))
        over = ledger.count(key, at) >= amount
        assert (limit.spend(key, count, at) is not None) is (unit == "bytes" and over)
        limit.leave(key, at)


@settings(deadline=None)
@given(
    STARTS,
    PER,
    st.integers(1, 30),
    st.lists(st.tuples(STEP, KEYS, st.sampled_from(["come", "spend", "leave"])), max_size=30),
)
def test_minutes_are_what_the_ledger_says(
    start: tuple[str, str], per: Per, amount: int, steps: list[tuple[int, str, str]]
) -> None:
    zone, begin = start
    limit, ledger = quota("minutes", amount, per, zone), Ledger(zone, per)
    under_way: list[tuple[str, float]] = []
    at = seconds(begin)
    for step, key, does in steps:
        at += step
        # What is open says so every few seconds: here, whenever anything happens.
        for who in {who for who, _ in under_way}:
            over = limit.spend(who, 0, at) is not None
            assert over is (len(ledger.minutes(who, at, under_way)) > amount)
        minutes = ledger.minutes(key, at, under_way)
        if does == "come":
            free = len(minutes) < amount or int(at // 60) in minutes
            assert (limit.refuses(key, 0, at) is None) is free
            if free:
                limit.enter(key, 0, at)
                under_way.append((key, at))
        elif does == "leave":
            mine = [each for each in under_way if each[0] == key]
            if mine:
                under_way.remove(mine[0])
                ledger.active.append((*mine[0], at))
                limit.leave(key, at)
    for key, since in under_way:
        ledger.active.append((key, since, at))
        limit.leave(key, at)
    for key in "ab":
        minutes = ledger.minutes(key, at, [])
        assert limit.standing(key, 0, at).startswith(f"{max(0, amount - len(minutes))} of ")


# -- bounds, and what outlives the process -------------------------------------------------------


def test_made_up_keys_push_out_nobody_who_is_in_use() -> None:
    limit = quota("requests", 10, most=1000)
    for number in range(100):
        for _ in range(10):
            assert passes(limit, key=f"used {number}")
    for number in range(10_000):
        assert passes(limit, key=f"made up {number}")
    assert limit.snapshot()["keys"] == 1000
    assert not any(passes(limit, key=f"used {number}") for number in range(100))


def test_what_nobody_was_told_of_is_forgotten_without_a_word() -> None:
    limit = quota("requests", 10, most=10)
    for number in range(1000):
        passes(limit, key=str(number))
    rows = list(limit.changed())
    assert len(rows) == 10
    assert all(row.spent == 1 for row in rows)
    for number in range(1000, 1100):
        passes(limit, key=str(number))
    told = list(limit.changed())
    assert len([row for row in told if row.spent]) == 10
    assert {row.key for row in told if not row.spent} == {row.key for row in rows}


def test_an_open_tunnel_is_not_pushed_out() -> None:
    limit = quota("minutes", 10, most=5)
    assert passes(limit, key="tunnel")
    for number in range(1000):
        assert passes(limit, key=str(number))
        limit.leave(str(number), NOON)
    limit.spend("tunnel", 0, NOON + 300)
    assert limit.standing("tunnel", 0, NOON + 300).startswith("4 of 10")


def test_it_goes_on_with_what_was_kept() -> None:
    limit = quota("requests", 3)
    passes(limit, NOON)
    passes(limit, NOON)
    rows = list(limit.changed())
    window = (int(seconds("2026-11-24 00:00")), int(seconds("2026-11-25 00:00")))
    assert rows == [Row(limit.name, "a", *window, 2, -1)]
    again = quota("requests", 3)
    again.restore(rows, NOON + 60)
    assert [passes(again, NOON + 60), passes(again, NOON + 60)] == [True, False]


def test_a_minute_is_not_counted_again_after_a_restart() -> None:
    limit = quota("minutes", 2)
    passes(limit, NOON)
    again = quota("minutes", 2)
    again.restore(limit.changed(), NOON + 10)
    assert passes(again, NOON + 59)
    assert again.standing("a", 0, NOON + 59).startswith("1 of 2")


STRAY = {
    "yesterday's": Row("", "a", int(NOON) - 129_600, int(NOON) - 43_200, 9, -1),
    "other_bounds": Row("", "a", int(NOON) - 43_200, int(NOON) + 1, 9, -1),
    "nothing": Row("", "a", int(NOON) - 43_200, int(NOON) + 43_200, 0, -1),
    "negative": Row("", "a", int(NOON) - 43_200, int(NOON) + 43_200, -5, -1),
}


@pytest.mark.parametrize("row", STRAY.values(), ids=STRAY)
def test_what_does_not_count(row: Row) -> None:
    limit = quota("requests", 1)
    limit.restore([row], NOON)
    assert [passes(limit), passes(limit)] == [True, False]


def test_all_is_told_again_where_it_was_lost() -> None:
    limit = quota("requests", 9)
    for key in "abc":
        passes(limit, key=key)
    assert len(list(limit.changed(2))) == 2
    assert [row.key for row in limit.changed()] == ["c"]
    limit.tell_all()
    assert len(list(limit.changed())) == 3


def test_another_quota_has_another_name() -> None:
    names = {
        quota("requests", 1).name,
        quota("minutes", 1).name,
        quota("requests", 2).name,
        quota("requests", 1, "hour").name,
        quota("requests", 1, "day", "Asia/Tokyo").name,
        Quota("p", "requests", 1, "day", "client", "UTC").name,
        Quota("q", "requests", 1, "day", "user", "UTC").name,
        Quota("q", "requests", 1, "day", "client").name,
    }
    assert len(names) == 8
