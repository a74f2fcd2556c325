"""The rules of one configuration, compiled: the first that decides, decides.

Rules that decide at once stand in one index; those that don't (`continue`, shadows, what asks for
addresses or the response) in another, which is looked at for what stands before the first.
A configuration without them pays nothing for them.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import Any, Final, Protocol

from attrs import Factory, asdict, define, evolve

from twistproxy.config.errors import Fault
from twistproxy.config.model import Policy, Rule
from twistproxy.http.uri import Target
from twistproxy.policy import Means, Question, Verdict
from twistproxy.policy.edits import edits_of
from twistproxy.policy.explanation import Considered, Explanation
from twistproxy.policy.index import Index
from twistproxy.policy.rules import (
    AFTER_LOOKUP,
    NO,
    YES,
    Compiled,
    Hits,
    Named,
    text_of,
)
from twistproxy.tables import table

__all__ = ["Plan", "PolicyError", "Verdict", "compile_policy"]

DEFAULT: Final = "default"  #: the rule of verdicts that no rule gave
SIDES: Final = ("forward", "reverse")
ROWS: Final = 100  #: rules that a person is shown
RECENT: Final = 500  #: decisions that are remembered

_LOOK_UP: Final = Verdict("look up", "")


class PolicyError(ValueError):
    """What in a configuration's rules can't be, all of it."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(fault.message for fault in faults))


@define
class Totals:
    """Shared by the plans before and after a reload."""

    decisions: int = 0
    denied: int = 0
    #: The last decisions, five values each: so none of them is an object of its own.
    last: deque[Any] = Factory(partial(deque, maxlen=5 * RECENT))

    @property
    def recent(self) -> list[tuple[float, str, str, str, Target]]:
        """Of the last decisions, the oldest first: when, rule, client, method, target."""
        values = iter(list(self.last))
        return list(zip(values, values, values, values, values, strict=True))


class Watcher(Protocol):
    """Told of each decision, while somebody wants to know."""

    def decided(self, question: Question, side: str, verdict: Verdict) -> None: ...


class Plan:
    """One generation's policy; immutable but for its counts. watcher: told of each decision."""

    def __init__(
        self, rules: list[Compiled], default: Verdict, default_hits: Hits, totals: Totals
    ) -> None:
        self.watcher: Watcher | None = None
        self.rules = rules
        self._named = {rule.name: rule for rule in rules}
        self.totals = totals
        self._default = default
        self._default_hits = default_hits
        self._deciding: dict[str, Index | None] = {}
        self._others: dict[str, Index | None] = {}
        for side in SIDES:
            here = [rule for rule in rules if rule.rule.side in (side, None)]
            deciding = [rule for rule in here if rule.is_certain]
            others = [rule for rule in here if not rule.is_certain]
            self._deciding[side] = Index(deciding) if deciding else None
            self._others[side] = Index(others) if others else None

    def decide(self, question: Question, side: str) -> Verdict:
        """The verdict of the first rule that decides, else the default. Counts it.

        side: "forward" or "reverse". Apart from the question, since one that comes in on the
        forward side for a host of ours is asked about on both.
        """
        index = self._deciding[side]
        rule = None if index is None else index.first(question)
        others = self._others[side]
        if others is not None:
            return self._with_others(question, side, rule, others)
        return self._counted(question, side, rule, self._default if rule is None else rule.verdict)

    def _counted(
        self, question: Question, side: str, rule: Compiled | None, verdict: Verdict
    ) -> Verdict:
        hits = self._default_hits if rule is None else rule.hits
        hits.count += 1
        totals = self.totals
        totals.decisions += 1
        if verdict.action == "deny":
            totals.denied += 1
        if self.rules:
            totals.last.extend(
                (question.at, verdict.rule, question.client, question.method, question.target)
            )
        if self.watcher is not None:
            self.watcher.decided(question, side, verdict)
        return verdict

    def _with_others(
        self, question: Question, side: str, rule: Compiled | None, others: Index
    ) -> Verdict:
        """As `decide`, with those before the deciding rule that don't decide at once."""
        steps: list[Compiled] = []
        pending: list[Compiled] = []
        shadows: list[Compiled] = []
        for other, left in others.before(question, rule):
            answer = other.judged(question, left)
            if answer == NO:
                continue
            if answer == AFTER_LOOKUP:
                return _LOOK_UP
            if answer != YES:
                pending.append(other)
            elif other.rule.shadow:
                shadows.append(other)
            elif other.rule.action == "continue":
                steps.append(other)
            else:
                rule = other
                break
        verdict = self._default if rule is None else rule.verdict
        if not (steps or pending or shadows):
            return self._counted(question, side, rule, verdict)
        for each in (*steps, *shadows):
            each.hits.count += 1
        verdict = evolve(verdict, steps=tuple(steps), shadows=tuple(shadows))
        if not pending or not _may_change(verdict, pending):
            return self._counted(question, side, rule, verdict)
        if verdict.action == "ask":  # nothing is fetched before an operator says so
            otherwise = evolve(verdict, action="allow", status=0, ask=None)
            verdict = self._counted(question, side, rule, verdict)
            return evolve(verdict, pending=tuple(pending), otherwise=otherwise)
        return evolve(
            verdict,
            action="allow",
            status=0,
            location=None,
            page=None,
            pending=tuple(pending),
            otherwise=verdict,
        )

    def decide_by_response(self, question: Question, side: str, verdict: Verdict) -> Verdict:
        """The verdict, now that the response's head is there, of what had `pending` rules.

        Of its steps only those are named that come with the response. Counts it.
        """
        assert verdict.otherwise is not None
        found, decided = verdict.otherwise, None
        steps: list[Compiled] = []
        shadows: list[Compiled] = []
        for rule in verdict.pending:
            if rule.holds(question) != YES:
                continue
            if rule.rule.shadow:
                shadows.append(rule)
            elif rule.rule.action == "continue":
                steps.append(rule)
            else:
                found, decided = rule.verdict, rule
                break
        else:
            decided = self._named.get(found.rule)
        for each in (*steps, *shadows):
            each.hits.count += 1
        found = evolve(found, steps=tuple(steps), shadows=tuple(shadows))
        return self._counted(question, side, decided, found)

    def explain(self, question: Question, side: str) -> Explanation:
        """Why `decide` would say what it would. Counts nothing."""
        considered: list[Considered] = []
        steps: list[Compiled] = []
        for rule in self.rules:
            if rule.rule.side not in (side, None):
                continue
            answer = rule.holds(question)
            considered.append(Considered.of(rule, answer, question))
            if answer == YES and not rule.rule.shadow:
                if rule.rule.action == "continue":
                    steps.append(rule)
                    continue
                return Explanation(side, considered, evolve(rule.verdict, steps=tuple(steps)))
        return Explanation(side, considered, evolve(self._default, steps=tuple(steps)))

    def snapshot(self) -> dict[str, Any]:
        """Plain values; `hits` and totals outlive a reload, of rules that it leaves as they are."""
        totals = asdict(self.totals, filter=lambda attribute, _: attribute.name != "last")
        return {
            "default": self._default.action,
            "rules": [
                {
                    "name": rule.name,
                    "side": rule.rule.side or "both",
                    "action": rule.rule.action,
                    "when": rule.text,
                    "hits": rule.hits.count,
                }
                for rule in self.rules
            ],
            **totals,
        }

    @property
    def default_hits(self) -> int:
        return self._default_hits.count

    def __repr__(self) -> str:
        rows: list[tuple[object, ...]] = [
            (rule.name, rule.rule.side or "both", _doing(rule.rule), rule.hits.count, rule.text)
            for rule in self.rules[:ROWS]
        ]
        if len(self.rules) > ROWS:
            rows.append((f"… {len(self.rules) - ROWS} more", "", "", "-", ""))
        rows.append((DEFAULT, "both", self._default.action, self._default_hits.count, "no rule"))
        return table(("rule", "side", "action", "hits", "when"), rows)


def _doing(rule: Rule) -> str:
    return f"({rule.action})" if rule.shadow else rule.action


def _may_change(verdict: Verdict, pending: list[Compiled]) -> bool:
    """Whether the response can change it: who is denied anyway need not ask for one."""
    return verdict.action in ("allow", "ask") or any(
        rule.rule.action == "allow" and not rule.rule.shadow for rule in pending
    )


def _verdict(rule: Rule) -> Verdict:
    if rule.action == "allow" or rule.action == "continue":
        return Verdict("allow", rule.name)
    ask = rule.ask if rule.action == "ask" else None
    return Verdict(rule.action, rule.name, rule.status, rule.location, rule.page, ask=ask)


def compile_policy(config: Policy, before: Plan | None = None, means: Means | None = None) -> Plan:
    """The plan of a configuration; raises PolicyError with all that is wrong in it.

    before: the plan that this one follows. Its totals go on, and the hits of each rule that has
    kept its name and all else.
    """
    known = {rule.name: rule for rule in before.rules} if before else {}
    faults: list[Fault] = []
    means = means or Means()
    named = Named(config.conditions, means, faults)
    named.make_all()
    rules: list[Compiled] = []
    for place, rule in enumerate(config.rule):
        where = ("policy", "rule", place)
        if rule.name == DEFAULT:
            faults.append(Fault((*where, "name"), '"default" is what no rule is called'))
        edits = None
        try:
            edits = edits_of(rule)
        except ValueError as why:
            faults.append(Fault((*where, "rewrite", "to"), str(why)))
        earlier = known.get(rule.name)
        when = named.compiled(rule.when, (*where, "when"))
        unless = None
        if rule.unless is not None:
            unless = named.compiled(rule.unless, (*where, "unless"))
        hits = earlier.hits if earlier and earlier.rule == rule else Hits()
        verdict = _verdict(rule)
        limits, bandwidth = means.limits(rule), means.bandwidth(rule)
        text = text_of(rule)
        compiled = Compiled(
            place, rule, when, unless, verdict, edits, limits, bandwidth, text, hits
        )
        if rule.action == "ask" and "response" in compiled.needs:
            told = "an operator is asked before the response is there, whose head is asked for"
            faults.append(Fault((*where, "action"), told))
        rules.append(compiled)
    if faults:
        raise PolicyError(faults)
    status = 403 if config.default == "deny" else 0
    default = Verdict(config.default, DEFAULT, status)
    same = before is not None and before._default == default
    return Plan(
        rules,
        default,
        before._default_hits if before and same else Hits(),
        before.totals if before else Totals(),
    )
