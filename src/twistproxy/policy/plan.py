"""The rules of one configuration, compiled: the first that matches decides.

Rules that ask for a host stand in a dict by host pattern, the others in a list. A verdict looks
up the few patterns that match the question's host, so ten thousand rules for hosts cost what ten
cost; of what it finds, the rule that was written first wins.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from attrs import asdict, define, frozen

from twistproxy.config.errors import Fault, Where, shown
from twistproxy.config.model import Policy, Rule, When
from twistproxy.policy import Condition, Question, Verdict
from twistproxy.policy.conditions import CONDITIONS
from twistproxy.policy.conditions.host import Host, patterns_for
from twistproxy.tables import table

__all__ = ["Plan", "PolicyError", "Verdict", "compile_policy"]

DEFAULT: Final = "default"  #: the rule of verdicts that no rule gave
SIDES: Final = ("forward", "reverse")
ROWS: Final = 100  #: rules that a person is shown
VALUES: Final = 3  #: of a condition, likewise


class PolicyError(ValueError):
    """What in a configuration's rules can't be, all of it."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(fault.message for fault in faults))


@define
class _Totals:
    """Shared by the plans before and after a reload."""

    decisions: int = 0
    denied: int = 0


@define
class _Hits:
    """Of a rule, shared likewise while the rule stays what it is."""

    count: int = 0


@frozen(eq=False)
class _Rule:
    """place: among all rules. conditions: those of `when` that its place in the index leaves."""

    place: int
    rule: Rule
    host: Host | None
    conditions: tuple[Condition, ...]
    unless: tuple[Condition, ...] | None
    verdict: Verdict
    text: str
    hits: _Hits

    def holds(self, question: Question) -> bool:
        for condition in self.conditions:
            if not condition.holds(question):
                return False
        if self.unless is None:
            return True
        return not all(condition.holds(question) for condition in self.unless)


class _Index:
    """The rules of one side."""

    def __init__(self, rules: list[_Rule]) -> None:
        self._for_any: list[_Rule] = []
        self._by_pattern: dict[str, list[_Rule]] = {}
        for rule in rules:
            if rule.host is None:
                self._for_any.append(rule)
            else:
                for pattern in rule.host.patterns:
                    self._by_pattern.setdefault(pattern, []).append(rule)

    def first(self, question: Question) -> _Rule | None:
        best: _Rule | None = None
        by_pattern = self._by_pattern
        if by_pattern:
            for pattern in patterns_for(question):
                if pattern in by_pattern:
                    best = _earliest(by_pattern[pattern], question, best)
        return _earliest(self._for_any, question, best) if self._for_any else best


def _earliest(rules: list[_Rule], question: Question, best: _Rule | None) -> _Rule | None:
    """The first of these that holds, where it comes before the best so far; else that."""
    for rule in rules:
        if best is not None and rule.place >= best.place:
            break
        if rule.holds(question):
            return rule
    return best


class Plan:
    """One generation's policy; immutable but for its counts."""

    def __init__(self, rules: list[_Rule], default: Verdict, hits: _Hits, totals: _Totals) -> None:
        self._rules = rules
        self._default = default
        self._default_hits = hits
        self._totals = totals
        self._sides = {
            side: _Index([rule for rule in rules if rule.rule.side in (side, None)])
            for side in SIDES
        }

    def decide(self, question: Question, side: str) -> Verdict:
        """The verdict of the first rule that matches, else the default. Counts it.

        side: "forward" or "reverse". Apart from the question, since one that comes in on the
        forward side for a host of ours is asked about on both.
        """
        rule = self._sides[side].first(question)
        if rule is None:
            verdict, hits = self._default, self._default_hits
        else:
            verdict, hits = rule.verdict, rule.hits
        hits.count += 1
        totals = self._totals
        totals.decisions += 1
        if verdict.action == "deny":
            totals.denied += 1
        return verdict

    def snapshot(self) -> dict[str, Any]:
        """Plain values; `hits` and totals outlive a reload, of rules that it leaves as they are."""
        return {
            "default": self._default.action,
            "rules": [
                {
                    "name": rule.rule.name,
                    "side": rule.rule.side or "both",
                    "action": rule.rule.action,
                    "when": rule.text,
                    "hits": rule.hits.count,
                }
                for rule in self._rules
            ],
            **asdict(self._totals),
        }

    def __repr__(self) -> str:
        rows: list[tuple[object, ...]] = [
            (rule.rule.name, rule.rule.side or "both", rule.rule.action, rule.hits.count, rule.text)
            for rule in self._rules[:ROWS]
        ]
        if len(self._rules) > ROWS:
            rows.append((f"… {len(self._rules) - ROWS} more", "", "", "-", ""))
        rows.append((DEFAULT, "both", self._default.action, self._default_hits.count, "no rule"))
        return table(("rule", "side", "action", "hits", "when"), rows)


def compile_policy(config: Policy, before: Plan | None = None) -> Plan:
    """The plan of a configuration; raises PolicyError with all that is wrong in it.

    before: the plan that this one follows. Its totals go on, and the hits of each rule that has
    kept its name and all else.
    """
    known = {rule.rule.name: rule for rule in before._rules} if before else {}
    faults: list[Fault] = []
    rules: list[_Rule] = []
    for place, rule in enumerate(config.rule):
        where = ("policy", "rule", place)
        if rule.name == DEFAULT:
            faults.append(Fault((*where, "name"), f"{shown(DEFAULT)} is what no rule is called"))
        when = _conditions(rule.when, (*where, "when"), faults)
        host = when.pop("host", None)
        unless = None
        if rule.unless is not None:
            unless = tuple(_conditions(rule.unless, (*where, "unless"), faults).values())
        earlier = known.get(rule.name)
        rules.append(
            _Rule(
                place,
                rule,
                host if isinstance(host, Host) else None,
                tuple(when.values()),
                unless,
                _verdict(rule),
                _text(rule),
                earlier.hits if earlier and earlier.rule == rule else _Hits(),
            )
        )
    if faults:
        raise PolicyError(faults)
    status = 403 if config.default == "deny" else 0
    default = Verdict(config.default, DEFAULT, status)
    same = before is not None and before._default == default
    return Plan(
        rules,
        default,
        before._default_hits if before and same else _Hits(),
        before._totals if before else _Totals(),
    )


def _conditions(when: When, where: Where, faults: list[Fault]) -> dict[str, Condition]:
    made = {}
    for name, make in CONDITIONS.items():
        values = getattr(when, name)
        if values is None:
            continue
        try:
            made[name] = make(values)
        except ValueError:
            faults.extend(_blamed(name, values, where))
    return made


def _blamed(name: str, values: tuple[Any, ...], where: Where) -> Iterator[Fault]:
    """Which of the values a condition can't be made of."""
    for index, value in enumerate(values):
        try:
            CONDITIONS[name]((value,))
        except ValueError as why:
            yield Fault((*where, name, index), f"{shown(value)}: {why}")


def _verdict(rule: Rule) -> Verdict:
    if rule.action == "allow":
        return Verdict("allow", rule.name)
    return Verdict(rule.action, rule.name, rule.status, rule.location)


def _text(rule: Rule) -> str:
    """What a rule asks, for a person."""
    text = _all_of(rule.when)
    return text if rule.unless is None else f"{text} unless {_all_of(rule.unless)}"


def _all_of(when: When) -> str:
    asked = {name: values for name in CONDITIONS if (values := getattr(when, name)) is not None}
    return " and ".join(f"{name} {_any_of(values)}" for name, values in asked.items()) or "always"


def _any_of(values: tuple[object, ...]) -> str:
    text = ", ".join(map(str, values[:VALUES]))
    return text if len(values) <= VALUES else f"{text}, … {len(values) - VALUES} more"
