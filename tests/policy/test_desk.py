"""The policy's desk: why, which rules, what was learned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from attrs import define
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from questions import ask, connect, plan, rule
from twistproxy.config.model import Config, Forward, Policy, Rate, RequestRate, Reverse, When
from twistproxy.policy import Means
from twistproxy.policy.desk import Desk
from twistproxy.policy.limits.limits import Limits
from twistproxy.policy.plan import Plan, compile_policy

ADS = rule("no-ads", when=When(host=(".ads.example",)))
NEVER = rule("never", when=When(host=("never.example",)))


CONFIG = Config(state_dir=Path("/nowhere"), forward=Forward(), reverse=Reverse())


@define
class Current:
    policy: Plan
    config: Config = CONFIG


@define
class Generations:
    """What a process has: a generation at a time."""

    current: Current
    clock: Clock

    def reload(self, policy: Policy, desk: Desk) -> None:
        self.current = Current(compile_policy(policy, self.current.policy))
        desk.follow()


@pytest.fixture
def now() -> Generations:
    return Generations(Current(plan(ADS, NEVER)), Clock())


@pytest.fixture
def desk(now: Generations) -> Desk:
    return Desk(
        lambda: now.current,
        now.clock,
        lambda: 1_700_000_000.0,
        lambda: {8080},
        lambda work: succeed(work()),
    )


def decide(now: Generations, *urls: str, side: str = "forward", **others: Any) -> None:
    for url in urls:
        now.current.policy.decide(ask(url, **others), side)


def test_it_looks_like_its_rules(now: Generations, desk: Desk) -> None:
    assert repr(desk) == repr(now.current.policy)
    now.reload(Policy(rule=(ADS,)), desk)
    assert repr(desk) == repr(now.current.policy)
    assert "never" not in repr(desk)


def test_why(desk: Desk) -> None:
    told = repr(desk.explain("http://x.ads.example/"))
    assert told.startswith("GET http://x.ads.example/ from 127.0.0.1, at 2023-11-14 22:13:20+00:00")
    assert told.endswith("deny by no-ads (forward), status 403")
    ours = desk.explain("http://a.example:8080/", side="reverse", client="192.0.2.9")
    assert ours.question.target.port == 80
    assert ours.explanation.verdict.action == "allow"
    with pytest.raises(ValueError, match="is not a URL"):
        desk.explain("a")


def test_asking_why_counts_nothing(now: Generations, desk: Desk) -> None:
    desk.explain("http://x.ads.example/")
    assert now.current.policy.totals.decisions == 0
    assert repr(desk.recent()) == "No rule has decided anything yet."


def test_what_is_left_of_limits(now: Generations, desk: Desk) -> None:
    rate = Rate(limit=RequestRate(5, 1.0), by="header:X-Key")
    rules = (rule("slow", "continue", rate=rate), rule("late", when=When(host=("b",))))
    limits = Limits()
    now.current = Current(compile_policy(Policy(rule=rules), None, Means(limits=limits.of)))
    (limit,) = limits.of(rules[0])
    spent = desk.explain("http://a/", header={"X-Key": "1"}).question
    limit.enter(limit.key(spent), 0.0, 0.0)
    lines = repr(desk.explain("http://b/", header={"X-Key": "1"})).splitlines()
    assert lines[-2] == "deny by late (forward), status 403, after slow"
    assert lines[-1].startswith("slow: 4 of 5 at once left")
    assert "slow: 5 of 5 at once left" in repr(desk.explain("http://b/"))


def test_recent(now: Generations, desk: Desk) -> None:
    decide(now, "http://a/?secret", "http://x.ads.example/1", "http://b/", at=86400.0)
    now.current.policy.decide(connect("c:443", at=86460.0), "forward")
    assert repr(desk.recent(3)).splitlines() == [
        "when                       rule     client     method   url",
        "1970-01-02 00:01:00+00:00  default  192.0.2.1  CONNECT  c:443",
        "1970-01-02 00:00:00+00:00  default  192.0.2.1  GET      http://b/",
        "1970-01-02 00:00:00+00:00  no-ads   192.0.2.1  GET      http://x.ads.example/1",
    ]
    assert [each[4] for each in desk.recent().decisions][-1] == "http://a/"
    assert [each[1] for each in desk.recent(9, "no-ads").decisions] == ["no-ads"]
    assert desk.recent(9, "never").decisions == desk.recent(0).decisions == ()
    with pytest.raises(ValueError, match='no rule named "no-adds"; did you mean "no-ads"'):
        desk.recent(rule="no-adds")


def test_top(now: Generations, desk: Desk) -> None:
    decide(now, "http://a/", "http://b/", "http://x.ads.example/")
    assert repr(desk.top()).splitlines() == [
        "rule     action  hits",
        "default  allow      2",
        "no-ads   deny       1",
        "never hit: never",
    ]
    assert desk.top(1).hit == (("default", "allow", 2),)
    now.reload(Policy(rule=(ADS,), default="allow"), desk)
    assert desk.top().never == ()


def test_of_many_rules_that_are_never_hit_some_are_named(now: Generations, desk: Desk) -> None:
    rules = tuple(rule(f"r{n}", when=When(host=(f"h{n}",))) for n in range(1000))
    now.reload(Policy(rule=rules), desk)
    assert repr(desk.top()).endswith(", r99, … 900 more")


# -- learning -------------------------------------------------------------------------------


def told(learned: Deferred[Any]) -> str:
    return repr(learned.result)


def test_learning(now: Generations, desk: Desk) -> None:
    decide(now, "http://before.example/")
    learned = desk.learn("10m")
    decide(now, "http://a.example/", "http://a.example/2", "http://x.ads.example/")
    now.clock.advance(599)
    assert not learned.called
    now.clock.advance(1)
    text = told(learned)
    assert text.startswith("# What was asked for in 600 s, in 3 requests.\n# Left out: 1 of them,")
    assert 'when.host = ["a.example"]' in text
    assert "before.example" not in text
    assert now.current.policy.watcher is None
    decide(now, "http://after.example/")
    assert told(desk.learned()) == text


def test_it_goes_on_through_a_reload(now: Generations, desk: Desk) -> None:
    learned = desk.learn("1m")
    decide(now, "http://a.example/")
    before = now.current.policy
    now.reload(Policy(default="deny"), desk)
    decide(now, "http://b.example/")
    before.decide(ask("http://c.example/"), "forward")  # what began before ends as it began
    now.clock.advance(60)
    assert '["a.example", "b.example", "c.example"]' in told(learned)


def test_a_reload_with_nothing_to_learn(now: Generations, desk: Desk) -> None:
    now.reload(Policy(), desk)
    assert now.current.policy.watcher is None


def test_it_can_be_stopped_and_looked_at(now: Generations, desk: Desk) -> None:
    assert told(desk.learned()) == "# What was asked for in 0 s, in 0 requests."
    desk.stop()
    learned = desk.learn("1h")
    decide(now, "http://a.example/")
    now.clock.advance(30)
    so_far = told(desk.learned())
    assert so_far.startswith("# What was asked for in 30 s, in 1 requests.")
    desk.stop()
    assert told(learned) == so_far
    assert (desk.learning, now.clock.getDelayedCalls()) == (False, [])
    now.clock.advance(30)
    assert told(desk.learned()) == so_far


def test_names_that_are_taken(now: Generations, desk: Desk) -> None:
    now.reload(Policy(rule=(rule("learned-1", "allow", when=When(host=("x",))),)), desk)
    desk.learn("1m")
    decide(now, "http://a.example/")
    assert 'name = "learned-2"' in told(desk.learned())
    desk.stop()


REFUSED = {
    "no duration": ("ten", '"ten" is not a duration such as "10m"'),
    "no unit": ("10", '"10" has no unit; did you mean "10s"'),
    "none": ("0", '"0" is too small'),
    "too long": ("32d", '"32d" is too long; 31d is the most'),
}


@pytest.mark.parametrize(("duration", "why"), REFUSED.values(), ids=REFUSED)
def test_durations(desk: Desk, duration: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        desk.learn(duration)
    assert not desk.learning


def test_once_at_a_time(now: Generations, desk: Desk) -> None:
    desk.learn("1m")
    now.clock.advance(20)
    with pytest.raises(ValueError, match="It is learning, for 40 s more"):
        desk.learn("1m")
    desk.stop()
    desk.learn("1m")
    desk.stop()
