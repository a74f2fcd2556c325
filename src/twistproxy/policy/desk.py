"""The policy as its operator sees it: why, which rules, what was seen.

What the console calls `policy`. It follows reloads; its repr is the rules of the moment.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from attrs import evolve, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from twistproxy.config import values
from twistproxy.config.errors import did_you_mean, shown
from twistproxy.config.model import Config
from twistproxy.policy.asking import Explained, explained
from twistproxy.policy.learning import Learned, Notebook, allow_list
from twistproxy.policy.plan import DEFAULT, Plan
from twistproxy.tables import table

#: Seconds that it may learn: longer than any week, shorter than a timer can count.
LONGEST: Final = 31 * 86400.0
#: Rules that are named one by one.
_NAMED: Final = 100
_DURATION: Final = values.Kind(
    'a duration such as "10m"', values.positive(values.duration)
).structure


class Current(Protocol):
    """What a reload swaps, as far as it is looked at."""

    @property
    def policy(self) -> Plan: ...
    @property
    def config(self) -> Config: ...


@frozen(repr=False)
class Recent:
    """Decisions, the last first: when, by which rule, of whom, method and URL without its query."""

    decisions: tuple[tuple[float, str, str, str, str], ...]

    def __repr__(self) -> str:
        rows = [
            (datetime.fromtimestamp(at, UTC).isoformat(" ", "seconds"), *others)
            for at, *others in self.decisions
        ]
        head = ("when", "rule", "client", "method", "url")
        return table(head, rows) if rows else "No rule has decided anything yet."


@frozen(repr=False)
class Top:
    """Rules that were hit, most first, with action and hits; and those that never were."""

    hit: tuple[tuple[str, str, int], ...]
    never: tuple[str, ...]

    def __repr__(self) -> str:
        never = list(self.never[:_NAMED])
        if len(self.never) > _NAMED:
            never.append(f"… {len(self.never) - _NAMED} more")
        lines = [table(("rule", "action", "hits"), self.hit)] if self.hit else []
        if never:
            lines.append(f"never hit: {', '.join(never)}")
        return "\n".join(lines)


class Desk:
    """current: what is in force. wall: seconds of the epoch. ports: those that the reverse side
    listens on. apart: calls a function outside the reactor's thread, and fires with its result.
    """

    def __init__(
        self,
        current: Callable[[], Current],
        clock: IReactorTime,
        wall: Callable[[], float],
        ports: Callable[[], Collection[int]],
        apart: Callable[[Callable[[], str]], Deferred[str]],
    ) -> None:
        self._current = current
        self._clock = clock
        self._wall = wall
        self._ports = ports
        self._apart = apart
        self._notebook = Notebook()
        self._began = self._ended = 0.0
        self._end: IDelayedCall | None = None
        self._learned: Deferred[Learned] | None = None

    def explain(self, url: str, **words: Any) -> Explained:
        """What the rules say to such a request, and why; words: as of `asking.supposed`.

        Counts nothing. Raises ValueError.
        """
        current = self._current()
        told = explained(
            current.policy, current.config, url, now=self._wall(), ports=self._ports(), **words
        )
        now, question = self._clock.seconds(), told.question
        limits = [limit for step in told.explanation.verdict.steps for limit in step.limits]
        standing = (
            f"{limit.rule}: {limit.standing(limit.key(question), now, question.at)}"
            for limit in limits
        )
        return evolve(told, standing=tuple(standing))

    def recent(self, count: int = 20, rule: str | None = None) -> Recent:
        """The last decisions, or those of one rule. Raises ValueError for a rule that isn't."""
        plan = self._current().policy
        if rule is not None:
            names = [DEFAULT, *(each.name for each in plan.rules)]
            if rule not in names:
                raise ValueError(f"no rule named {shown(rule)}{did_you_mean(rule, names)}")
        found = [
            (at, name, client, method, target.url.partition("?")[0])
            for at, name, client, method, target in reversed(plan.totals.recent)
            if rule in (None, name)
        ]
        return Recent(tuple(found[: max(0, count)]))

    def top(self, count: int = 20) -> Top:
        """Which rules are hit most, and which never."""
        current = self._current()
        plan, default = current.policy, current.config.policy.default
        hits: list[tuple[str, str, int]] = [
            (rule.name, rule.rule.action, rule.hits.count) for rule in plan.rules
        ]
        hits.append((DEFAULT, default, plan.default_hits))
        hit = sorted((each for each in hits if each[2]), key=lambda each: -each[2])
        never = tuple(name for name, _, number in hits if not number and name != DEFAULT)
        return Top(tuple(hit[: max(0, count)]), never)

    # -- learning ------------------------------------------------------------------------

    @property
    def learning(self) -> bool:
        return self._end is not None

    def learn(self, duration: str = "10m") -> Deferred[Learned]:
        """Watch for so long, reloads included; fires with the smallest allow-list for what was
        seen, sooner if it is stopped. Raises ValueError; also while it is learning.
        """
        seconds: float = _DURATION(duration)
        if seconds > LONGEST:
            raise ValueError(f"{shown(duration)} is too long; {LONGEST / 86400:.0f}d is the most")
        if self.learning:
            left = self._ended - self._clock.seconds()
            raise ValueError(f"It is learning, for {left:.0f} s more. `learn stop` ends that.")
        self._notebook = Notebook()
        self._began = self._clock.seconds()
        self._ended = self._began + seconds
        self._end = self._clock.callLater(seconds, self._over)
        self._learned = learned = Deferred[Learned]()
        self.follow()
        return learned

    def learned(self) -> Deferred[Learned]:
        """What there is so far, or was learned last."""
        notebook = self._notebook
        seconds = min(self._clock.seconds(), self._ended) - self._began
        seen, taken = list(notebook.seen), {rule.name for rule in self._current().policy.rules}

        def told(rules: str) -> Learned:
            return Learned(seconds, notebook.requests, notebook.refused, notebook.more, rules)

        return self._apart(lambda: allow_list(seen, taken)).addCallback(told)

    def stop(self) -> None:
        """Learn no more; whoever waits gets what there is."""
        if self._end is not None:
            self._end.cancel()
            self._ended = self._clock.seconds()
            self._over()

    def follow(self) -> None:
        """Another plan is in force: go on with that."""
        if self.learning:
            self._current().policy.watcher = self._notebook

    def _over(self) -> None:
        self._end = None
        self._current().policy.watcher = None
        waiting, self._learned = self._learned, None
        assert waiting is not None
        self.learned().chainDeferred(waiting)

    def __repr__(self) -> str:
        return repr(self._current().policy)
