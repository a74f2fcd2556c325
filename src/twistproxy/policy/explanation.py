"""Why a verdict is what it is: each rule that was considered, and the condition that decided it."""

from __future__ import annotations

from typing import Final

from attrs import frozen

from twistproxy.policy import Question, Verdict
from twistproxy.policy.rules import AFTER_LOOKUP, AFTER_RESPONSE, YES, Compiled, any_of
from twistproxy.tables import table

_UNKNOWN: Final = {
    AFTER_LOOKUP: "asks for the target's addresses, which are not known",
    AFTER_RESPONSE: "asks for the response, which is not there yet",
}
#: Rules that are shown one by one; of more only those that hold, or may.
_SHOWN: Final = 50


@frozen
class Considered:
    """One rule. holds: None where that can't be known yet. why: the condition that decided it."""

    rule: str
    action: str
    holds: bool | None
    why: str

    @classmethod
    def of(cls, rule: Compiled, answer: int, question: Question) -> Considered:
        action = f"({rule.rule.action})" if rule.rule.shadow else rule.rule.action
        if answer in _UNKNOWN:
            return cls(rule.name, action, None, _UNKNOWN[answer])
        if answer == YES:
            return cls(rule.name, action, True, rule.text)
        failed = rule.when.failed(question)
        if failed is None:
            return cls(rule.name, action, False, f"its unless: {rule.text.partition('unless ')[2]}")
        asked = f"{failed.key} {any_of(failed.values)}"
        return cls(rule.name, action, False, f"{asked}; it is {failed.seen(question)}")


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
