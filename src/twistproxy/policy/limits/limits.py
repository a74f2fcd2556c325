"""All limits of a process. What they count outlives reloads, where a rule keeps its settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from twistproxy.config.model import Rule
from twistproxy.policy import Question
from twistproxy.policy.limits import Limit
from twistproxy.policy.limits.concurrency import Concurrency
from twistproxy.policy.limits.quota import UNITS, Quota, Row
from twistproxy.policy.limits.rate import Rate
from twistproxy.tables import table

ROWS: Final = 100  #: limits that a person is shown


def _rate(rule: Rule) -> Limit:
    rate = rule.rate
    assert rate is not None
    return Rate(rule.name, rate.limit.times, rate.limit.seconds, rate.burst, rate.by)


def _concurrency(rule: Rule) -> Limit:
    concurrency = rule.concurrency
    assert concurrency is not None
    return Concurrency(rule.name, concurrency.limit, concurrency.by)


def _quota(rule: Rule) -> Limit:
    quota = rule.quota
    assert quota is not None
    for unit in UNITS:
        amount = getattr(quota, unit)
        if amount is not None:
            return Quota(rule.name, unit, amount, quota.per, quota.by, rule.when.timezone)
    raise ValueError(f"a quota of nothing; it has one of {', '.join(UNITS)}")


#: Key of a rule → the limit it makes of what is there.
KINDS: Final[dict[str, Callable[[Rule], Limit]]] = {
    "rate": _rate,
    "concurrency": _concurrency,
    "quota": _quota,
}


class Limits:
    """Of one process; made before its first configuration."""

    def __init__(self) -> None:
        self._limits: dict[tuple[object, ...], Limit] = {}

    def of(self, rule: Rule) -> tuple[Limit, ...]:
        """A rule's limits: those it has already, where their settings are what they were.

        Raises ValueError where there can be no such limit.
        """
        limits = []
        for kind, make in KINDS.items():
            if getattr(rule, kind) is None:
                continue
            name = _name(rule, kind)
            if name not in self._limits:
                self._limits[name] = make(rule)
            limits.append(self._limits[name])
        return tuple(limits)

    def forget_unused(self, rules: Iterable[Rule]) -> None:
        """After a reload, done or failed: keep the limits of these rules only."""
        used = {_name(rule, kind) for rule in rules for kind in KINDS}
        self._limits = {name: each for name, each in self._limits.items() if name in used}

    def standing(self, limits: Iterable[Limit], question: Question, now: float) -> list[str]:
        """What is left of each to who asks, for a person."""
        at = question.at
        return [f"{each.rule}: {each.standing(each.key(question), now, at)}" for each in limits]

    def most_spent(self, rule: str, at: float, most: int = 20) -> list[tuple[str, str]]:
        """Of a rule's quota: keys and what they have left, who has spent most first."""
        quotas = [quota for quota in self._quotas if quota.rule == rule]
        return [row for quota in quotas for row in quota.most_spent(at, most)]

    # -- what outlives the process ----------------------------------------------------

    @property
    def _quotas(self) -> list[Quota]:
        return [limit for limit in self._limits.values() if isinstance(limit, Quota)]

    def quotas(self) -> list[str]:
        """What the rows of `changed` are called."""
        return [quota.name for quota in self._quotas]

    def changed(self, most: int | None = None) -> list[Row]:
        """What was spent since this was asked, at most so many; the rest the next time."""
        rows: list[Row] = []
        for quota in self._quotas:
            rows += quota.changed(None if most is None else most - len(rows))
        return rows

    def tell_all(self) -> None:
        """What was told was lost."""
        for quota in self._quotas:
            quota.tell_all()

    def restore(self, rows: Iterable[Row], at: float) -> None:
        """What was spent by those before us, where it still counts."""
        by_quota: dict[str, list[Row]] = {}
        for row in rows:
            by_quota.setdefault(row.quota, []).append(row)
        for quota in self._quotas:
            quota.restore(by_quota.get(quota.name, ()), at)

    # -- what it tells ----------------------------------------------------------------

    def snapshot(self) -> list[dict[str, Any]]:
        """Plain values, one limit each."""
        return [limit.snapshot() for limit in self._limits.values()]

    def __repr__(self) -> str:
        shown = self.snapshot()
        columns = ("rule", "kind", "limit", "by", "keys", "refused")
        rows: list[tuple[object, ...]] = [
            tuple(each[name] for name in columns) for each in shown[:ROWS]
        ]
        if len(shown) > ROWS:
            rows.append((f"… {len(shown) - ROWS} more", "", "", "", "-", "-"))
        return table(columns, rows)


def _name(rule: Rule, kind: str) -> tuple[object, ...]:
    return rule.name, kind, getattr(rule, kind), rule.when.timezone if kind == "quota" else None
