"""Why a verdict is what it is: each rule that was considered, and the condition that decided it."""

from __future__ import annotations

from typing import Final

from attrs import frozen

from twistproxy.policy import Question, Verdict
from twistproxy.policy.rules import AFTER_LOOKUP, AFTER_RESPONSE, NO, YES, Compiled, any_of
from twistproxy.tables import table

_UNKNOWN: Final = {
    AFTER_LOOKUP: "asks for the target's addresses, which are not known",
    AFTER_RESPONSE: "asks for the response, which is not there yet",
}
#: Rules that are shown one by one; of more only those that hold, or may.
_SHOWN: Final = 50


@frozen
class Considered:
    """One rule, and what it said; its words are made on demand: of thousands few are shown."""

    _compiled: Compiled
    _answer: int
    _question: Question

    @classmethod
    def of(cls, rule: Compiled, answer: int, question: Question) -> Considered:
        return cls(rule, answer, question)

    @property
    def rule(self) -> str:
        return self._compiled.name

    @property
    def action(self) -> str:
        """In brackets that of a shadow."""
        rule = self._compiled.rule
        return f"({rule.action})" if rule.shadow else rule.action

    @property
    def holds(self) -> bool | None:
        """None where that can't be known yet."""
        return None if self._answer in _UNKNOWN else self._answer == YES

    @property
    def why(self) -> str:
        """The condition that decided it."""
        if self._answer in _UNKNOWN:
            return _UNKNOWN[self._answer]
        rule, question = self._compiled, self._question
        if self._answer == YES:
            return rule.text
        failed = next((one for one in rule.when.asked if one.holds(question) == NO), None)
        if failed is None:
            return f"its unless: {rule.text.partition('unless ')[2]}"
        return f"{failed.key} {any_of(failed.values)}; it is {failed.seen(question)}"


@frozen
class Explanation:
    """Of one question: the rules in order up to the one that decides, and the verdict."""

    side: str
    considered: list[Considered]
    verdict: Verdict

    def __repr__(self) -> str:
        verdict = self.verdict
        shown = [
            each
            for each in self.considered
            if each.holds is not False or len(self.considered) <= _SHOWN
        ]
        words = {True: "yes", False: "no", None: "not known yet"}
        rows: list[tuple[object, ...]] = [
            (each.rule, each.action, words[each.holds], each.why) for each in shown
        ]
        if len(shown) < len(self.considered):
            rows.append((f"… {len(self.considered) - len(shown)} more", "", "no", ""))
        said = f"{verdict.action} by {verdict.rule} ({self.side})"
        if verdict.status:
            said += f", status {verdict.status}"
        if verdict.location:
            said += f", to {verdict.location}"
        if verdict.steps:
            said += f", after {', '.join(step.name for step in verdict.steps)}"
        open_ = [each.rule for each in self.considered if each.holds is None]
        if open_:
            said += f"; not known yet: {', '.join(open_[:_SHOWN])}"
        return f"{table(('rule', 'action', 'holds', 'because'), rows)}\n{said}" if rows else said
