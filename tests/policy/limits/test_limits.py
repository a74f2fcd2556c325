from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from twistproxy.config import model
from twistproxy.policy.limits import Admission, Refusal, enter
from twistproxy.policy.limits.concurrency import Concurrency
from twistproxy.policy.limits.limits import Limits
from twistproxy.policy.limits.quota import Quota
from twistproxy.policy.limits.rate import Rate

NOON = 1_795_521_600.0  # 2026-11-24 12:00 UTC


def question(client: str = "10.0.0.1", at: float = NOON) -> Any:
    return SimpleNamespace(client=client, user=None, request=None, at=at)


def rate(times: int = 5, burst: int | None = None, by: str = "client") -> model.Rate:
    limit = model.RequestRate(times, 1.0)
    return model.Rate(limit=limit, burst=burst or times, by=by)


def quota(requests: int | None = None, bytes: int | None = None) -> model.Quota:
    size = None if bytes is None else model.Size(bytes)
    return model.Quota(requests=requests, bytes=size, per="day", by="client")


def rule(name: str, timezone: str | None = "UTC", **limits: Any) -> model.Rule:
    return model.Rule(name=name, when=model.When(timezone=timezone), action="continue", **limits)


# -- entering ------------------------------------------------------------------------------------


def test_all_have_to_let_it_pass_and_who_is_refused_counts_nowhere() -> None:
    requests = Quota("a", "requests", 9, "day", "client", "UTC")
    steady = Rate("b", 9, 1.0, 9, "client")
    one = Concurrency("c", 1, "client")
    limits = (requests, steady, one)
    first = enter(limits, question(), 0)
    assert isinstance(first, Admission)
    for _ in range(5):
        refused = enter(limits, question(), 0)
        assert isinstance(refused, Refusal)
        assert (refused.rule, refused.kind) == ("c", "concurrency")
    assert requests.standing("10.0.0.1", 0, NOON).startswith("8 of 9 requests")
    assert steady.standing("10.0.0.1", 0, NOON).startswith("8 of 9")
    first.leave(0, NOON)
    assert isinstance(enter(limits, question(), 0), Admission)


def test_who_refuses_first_says_so() -> None:
    limits = [Concurrency("a", 1, "client"), Rate("b", 1, 1.0, 1, "client")]
    enter(limits, question(), 0)
    refused = enter(limits, question(), 0)
    assert isinstance(refused, Refusal)
    assert refused.rule == "a"


def test_a_limit_named_twice_counts_once() -> None:
    one = Concurrency("c", 1, "client")
    admission = enter((one, one), question(), 0)
    assert isinstance(admission, Admission)
    admission.leave(0, NOON)
    assert one.snapshot()["keys"] == 0


def test_it_leaves_by_the_key_it_came_with() -> None:
    one = Concurrency("c", 1, "client")
    asked = question()
    admission = enter([one], asked, 0)
    assert isinstance(admission, Admission)
    asked.client = "10.0.0.2"
    admission.leave(0, NOON)
    assert one.snapshot()["keys"] == 0


def test_leaving_twice_is_leaving_once() -> None:
    one = Concurrency("c", 2, "client")
    admission, other = enter([one], question(), 0), enter([one], question(), 0)
    assert isinstance(admission, Admission)
    admission.leave(0, NOON)
    admission.leave(0, NOON)
    assert one.standing("10.0.0.1", 0, NOON) == "1 of 2 at once"
    assert isinstance(other, Admission)


def test_bytes_are_said_as_totals_and_counted_once() -> None:
    some = Quota("q", "bytes", 1000, "day", "client", "UTC")
    admission = enter([some], question(), 0)
    assert isinstance(admission, Admission)
    assert admission.spend(400, NOON) is None
    assert admission.spend(400, NOON + 5) is None
    assert admission.spend(900, NOON + 10) is None
    assert admission.spend(800, NOON + 12) is None
    refused = admission.spend(1000, NOON + 15)
    assert isinstance(refused, Refusal)
    admission.leave(1500, NOON + 16)
    admission.leave(1500, NOON + 16)
    assert [row.spent for row in some.changed()] == [1500]


def test_nothing_to_enter() -> None:
    admission = enter((), question(), 0)
    assert isinstance(admission, Admission)
    assert admission.spend(10**9, NOON) is None
    admission.leave(10**9, NOON)


# -- through reloads -----------------------------------------------------------------------------


def test_a_rule_has_a_limit_of_each_of_its_keys() -> None:
    settings = model.Concurrency(limit=3, by="user")
    made = Limits().of(rule("r", rate=rate(), concurrency=settings, quota=quota(bytes=9)))
    assert [limit.kind for limit in made] == ["rate", "concurrency", "quota"]
    assert Limits().of(rule("r")) == ()


SAME = {
    "nothing": ({}, True),
    "other_rate": ({"rate": rate(6)}, False),
    "other_burst": ({"rate": rate(5, 9)}, False),
    "other_by": ({"rate": rate(by="host")}, False),
    "other_name": ({"name": "s"}, False),
    "other_timezone_is_for_quotas": ({"timezone": "Asia/Tokyo"}, True),
    "one_more": ({"quota": quota(requests=1)}, True),
}


@pytest.mark.parametrize(("changes", "same"), SAME.values(), ids=SAME)
def test_what_has_not_changed_goes_on(changes: dict[str, Any], same: bool) -> None:
    limits = Limits()
    before = limits.of(rule("r", rate=rate()))[0]
    changed = rule(**{"name": "r", "rate": rate(), **changes})
    assert (limits.of(changed)[0] is before) is same
    limits.forget_unused([changed])
    assert (limits.of(rule("r", rate=rate()))[0] is before) is same


def test_a_quota_in_another_timezone_is_another() -> None:
    limits = Limits()
    before = limits.of(rule("r", quota=quota(requests=1)))
    assert limits.of(rule("r", "Asia/Tokyo", quota=quota(requests=1))) != before


def test_a_reload_that_failed_leaves_nothing_behind() -> None:
    limits, kept = Limits(), rule("r", rate=rate())
    before = limits.of(kept)
    limits.of(rule("r", rate=rate(7)))
    limits.forget_unused([kept])
    assert len(limits.snapshot()) == 1
    assert limits.of(kept) == before


def test_who_entered_before_a_reload_leaves_after_it() -> None:
    limits = Limits()
    old = limits.of(rule("r", concurrency=model.Concurrency(limit=1, by="client")))
    admission = enter(old, question(), 0)
    limits.forget_unused([])
    assert isinstance(admission, Admission)
    admission.leave(0, NOON)
    assert old[0].snapshot()["keys"] == 0


def test_what_can_be_no_limit() -> None:
    with pytest.raises(ValueError, match="no time zone 'Mars'"):
        Limits().of(rule("r", "Mars", quota=quota(requests=1)))
    with pytest.raises(ValueError, match="a quota of nothing"):
        Limits().of(rule("r", quota=quota()))


# -- rows of quotas ------------------------------------------------------------------------------


def test_what_was_spent_outlives_the_limits() -> None:
    rules = [rule(name, quota=quota(requests=2)) for name in ("a", "b")]
    before = Limits()
    for each in rules:
        enter(before.of(each), question(), 0)
    enter(before.of(rules[0]), question(), 0)
    rows = before.changed()
    assert before.changed() == []
    after = Limits()
    made = [after.of(each) for each in rules]
    after.restore(rows, NOON + 60)
    assert isinstance(enter(made[0], question(), 0), Refusal)
    assert isinstance(enter(made[1], question(), 0), Admission)


def test_rows_come_in_parts() -> None:
    limits = Limits()
    for name in ("a", "b"):
        for number in range(10):
            client = f"10.0.0.{number}"
            enter(limits.of(rule(name, quota=quota(requests=2))), question(client), 0)
    parts = [limits.changed(6) for _ in range(5)]
    assert [len(part) for part in parts] == [6, 6, 6, 2, 0]
    assert len({(row.quota, row.key) for part in parts for row in part}) == 20
    limits.tell_all()
    assert len(limits.changed()) == 20


# -- what it tells -------------------------------------------------------------------------------


def test_its_table() -> None:
    limits = Limits()
    both = limits.of(rule("slow", rate=rate(1, 1), quota=quota(bytes=5 << 30)))
    for _ in range(3):
        enter(both, question(), 0)
    assert repr(limits).splitlines() == [
        "rule  kind   limit         by      keys  refused",
        "slow  rate   1 per second  client     1        2",
        "slow  quota  5 GiB a day   client     0        0",
    ]
    assert limits.standing(both, question(), 0) == [
        "slow: 0 of 1 at once left, 1 per second",
        "slow: 5 GiB of 5 GiB a day left, until 2026-11-25 00:00",
    ]


def test_a_long_table_is_cut() -> None:
    limits = Limits()
    for number in range(103):
        limits.of(rule(f"r{number}", rate=rate()))
    assert repr(limits).splitlines()[-1].startswith("… 3 more")


def test_who_has_spent_most() -> None:
    limits = Limits()
    made = limits.of(rule("r", quota=quota(requests=9)))
    for client, times in (("10.0.0.1", 1), ("10.0.0.2", 3), ("10.0.0.3", 2)):
        for _ in range(times):
            enter(made, question(client), 0)
    assert limits.most_spent("r", NOON, 2) == [
        ("10.0.0.2", "6 of 9 requests a day left, until 2026-11-25 00:00"),
        ("10.0.0.3", "7 of 9 requests a day left, until 2026-11-25 00:00"),
    ]
    assert limits.most_spent("s", NOON) == []
