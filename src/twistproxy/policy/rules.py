"""One rule, compiled: what must hold, and what it then does.

What a rule asks may not be known yet: a host's addresses before they are looked up, the response
before it is there. So there are four answers, not two; in words of logic, unknown and false is
false, unknown and true is unknown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from attrs import define, evolve, frozen

from twistproxy.config.errors import Fault, Where, did_you_mean, shown
from twistproxy.config.model import Rule, When
from twistproxy.policy import Condition, Means, Need, Question, Verdict
from twistproxy.policy.conditions import CONDITIONS
from twistproxy.policy.edits import Edits
from twistproxy.policy.limits import Limit
from twistproxy.policy.limits.bandwidth import Bandwidth

#: The answers of `holds`. The last two: not known before that is.
NO: Final = 0
YES: Final = 1
AFTER_LOOKUP: Final = 2
AFTER_RESPONSE: Final = 3

#: Values of a condition that a person is shown.
VALUES: Final = 3


@frozen(eq=False)
class Asked:
    """One condition, with the key and the values that it was made of."""

    key: str
    values: tuple[Any, ...]
    condition: Condition
    needs: Need

    def holds(self, question: Question) -> int:
        if self.needs == "addresses" and question.addresses is None:
            return AFTER_LOOKUP
        if self.needs == "response":
            if question.method == "CONNECT":
                return NO  # a tunnel brings none that could be judged
            if question.response is None:
                return AFTER_RESPONSE
        return YES if self.condition.holds(question) else NO

    def seen(self, question: Question) -> str:
        return self.condition.seen(question)


@frozen(eq=False)
class Is:
    """Whether any of the named conditions holds."""

    values: tuple[str, ...]
    named: tuple[All, ...]
    key = "is"

    def holds(self, question: Question) -> int:
        unknown = NO
        for one in self.named:
            answer = one.holds(question)
            if answer == YES:
                return YES
            unknown = _sooner(unknown, answer)
        return unknown

    def seen(self, question: Question) -> str:
        for one in self.named:
            failed = one.failed(question)
            if failed is not None:
                return f"{failed.key}: {failed.seen(question)}"
        return "so"


def _sooner(one: int, other: int) -> int:
    """Of two unknowns what is known first; else the one that isn't NO."""
    return min(one, other) if one and other else one or other


@frozen(eq=False)
class All:
    """A `when`, or an `unless`. certain: conditions that can be asked at once; the others after."""

    certain: tuple[Condition, ...]
    others: tuple[Asked | Is, ...]
    asked: tuple[Asked | Is, ...]  # all, in order

    def holds(self, question: Question) -> int:
        for condition in self.certain:
            if not condition.holds(question):
                return NO
        unknown = NO
        for other in self.others:
            answer = other.holds(question)
            if answer == NO:
                return NO
            if answer != YES:
                unknown = _sooner(unknown, answer)
        return unknown or YES

    def failed(self, question: Question) -> Asked | Is | None:
        """The first condition that doesn't hold, or isn't known."""
        for one in self.asked:
            if one.holds(question) != YES:
                return one
        return None

    def without(self, *keys: str) -> All:
        """What is left to ask where an index has answered these."""
        asked = tuple(one for one in self.asked if one.key not in keys)
        return All.of(asked)

    @classmethod
    def of(cls, asked: tuple[Asked | Is, ...]) -> All:
        certain = [one for one in asked if isinstance(one, Asked) and not one.needs]
        others = tuple(one for one in asked if one not in certain)
        return cls(tuple(one.condition for one in certain), others, asked)

    def find(self, key: str) -> Condition | None:
        for one in self.asked:
            if one.key == key and isinstance(one, Asked):
                return one.condition
        return None

    @property
    def needs(self) -> frozenset[Need]:
        """What must be known before it can be said."""
        found: set[Need] = set()
        for other in self.others:
            if isinstance(other, Asked):
                found.add(other.needs)
            else:
                found.update(*(one.needs for one in other.named))
        return frozenset(found - {""})


@define
class Hits:
    """Of a rule, while it stays what it is: through reloads, too."""

    count: int = 0


@frozen(eq=False)
class Compiled:
    """A rule. place: among all. verdict: what it says where it decides; of a `continue` rule what
    it would say, were it asked."""

    place: int
    rule: Rule
    when: All
    unless: All | None
    verdict: Verdict
    edits: Edits | None
    limits: tuple[Limit, ...]
    bandwidth: Bandwidth | None
    text: str
    hits: Hits

    @property
    def name(self) -> str:
        return self.rule.name

    def holds(self, question: Question) -> int:
        return self.judged(question, self.when)

    def judged(self, question: Question, when: All) -> int:
        """As `holds`, where some of its `when` is known to hold."""
        answer = when.holds(question)
        if answer == NO or self.unless is None:
            return answer
        veto = self.unless.holds(question)
        if veto == YES:
            return NO
        return answer if veto == NO else _sooner(answer if answer != YES else NO, veto)

    @property
    def needs(self) -> frozenset[Need]:
        """What must be known before it can be asked."""
        return self.when.needs if self.unless is None else self.when.needs | self.unless.needs

    @property
    def is_certain(self) -> bool:
        """Whether it decides, and can be asked at once."""
        return not (self.rule.shadow or self.rule.action == "continue" or self.needs)


# -- making them ---------------------------------------------------------------------------------


class Named:
    """The named conditions of a configuration, each made once it is asked for."""

    def __init__(self, conditions: Mapping[str, When], means: Means, faults: list[Fault]) -> None:
        self._conditions = conditions
        self._means = means
        self._faults = faults
        self._made: dict[str, All] = {}
        self._under_way: list[str] = []

    def make_all(self) -> None:
        """Also those that no rule asks for: what is wrong in them is said."""
        for name in self._conditions:
            self.named(name, ("policy", "conditions", name))

    def named(self, name: str, where: Where) -> All | None:
        """None, and a fault, where there is no such condition, or it asks for itself."""
        if name in self._made:
            return self._made[name]
        if name in self._under_way:
            way = " → ".join([*self._under_way[self._under_way.index(name) :], name])
            self._faults.append(Fault(where, f"it asks for itself: {way}"))
            return None
        when = self._conditions.get(name)
        if when is None:
            hint = did_you_mean(name, self._conditions)
            self._faults.append(Fault(where, f"no condition named {shown(name)}{hint}"))
            return None
        self._under_way.append(name)
        made = self._made[name] = self.compiled(when, ("policy", "conditions", name))
        self._under_way.pop()
        return made

    def compiled(self, when: When, where: Where) -> All:
        """A `when` or `unless`; faults are noted."""
        means = evolve(self._means, timezone=when.timezone)
        asked: list[Asked | Is] = []
        for key, kind in CONDITIONS.items():
            values = getattr(when, key)
            if values is None:
                continue
            try:
                asked.append(Asked(key, values, kind.make(values, means), kind.needs))
            except ValueError:
                self._faults.extend(_blamed(key, values, means, where))
        if when.is_ is not None:
            found = [self.named(name, (*where, "is", index)) for index, name in enumerate(when.is_)]
            asked.append(Is(when.is_, tuple(one for one in found if one is not None)))
        return All.of(tuple(asked))


def _blamed(key: str, values: tuple[Any, ...], means: Means, where: Where) -> Iterator[Fault]:
    """Which of the values a condition can't be made of."""
    for index, value in enumerate(values):
        try:
            CONDITIONS[key].make((value,), means)
        except ValueError as why:
            yield Fault((*where, key, index), f"{shown(value)}: {why}")


def text_of(rule: Rule) -> str:
    """What a rule asks, for a person."""
    text = _all_of(rule.when)
    return text if rule.unless is None else f"{text} unless {_all_of(rule.unless)}"


def _all_of(when: When) -> str:
    keys = [*CONDITIONS, "is_"]
    asked = {key.rstrip("_"): values for key in keys if (values := getattr(when, key)) is not None}
    return " and ".join(f"{key} {any_of(values)}" for key, values in asked.items()) or "always"


def any_of(values: tuple[object, ...]) -> str:
    """The values of a condition, for a person."""
    text = ", ".join(map(_one, values[:VALUES]))
    return text if len(values) <= VALUES else f"{text}, … {len(values) - VALUES} more"


def _one(value: object) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{name}={pattern}" for name, pattern in value.items())
    return str(value)
