"""How much may pass: what the limits of `continue` rules count, and whom they refuse.

In: a question, the time, and how many bytes went. Out: a refusal, or nothing.
No I/O: what has to outlive the process is asked for and given back as rows (`Limits.changed`,
`Limits.restore`); knows no rules but their limits, and no exchange.

limits       all of a process, through its reloads; what they tell
keys         what `by` means: whose requests are counted together
tally        what is remembered by key, bounded
rate         so many a second, by GCRA
concurrency  so many at once
quota        requests, bytes or minutes of an hour, a day, a month
windows      when hours, days and months begin

All limits of all rules that hold have to let a request pass, and it counts for none of them
otherwise: `enter` asks all first. Whoever was let in says how it goes on (`Admission`).

To add a limit: NAME.py with a class as `Limit`, its line in `limits.KINDS`, its key in
`config.model.Rule`, tests/policy/limits/test_NAME.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from attrs import field, frozen

from twistproxy.policy import Question


@frozen
class Refusal:
    """Who would be one too many. retry_after: seconds until it may pass, or is worth a trial.

    template, details: of which the text is made, for who tells it in another language.
    """

    rule: str
    kind: str
    retry_after: float
    template: str = field(repr=False)
    details: Mapping[str, str] = field(repr=False)

    @property
    def text(self) -> str:
        """A sentence for the person at the other end."""
        return self.template.format(**self.details)


class Limit(Protocol):
    """One limit of one rule. now: seconds of a clock that nobody sets; at: seconds since 1970."""

    rule: str
    kind: str

    def key(self, question: Question) -> str:
        """Whose requests are counted together with this one."""

    def refuses(self, key: str, now: float, at: float) -> Refusal | None:
        """Whether one more would be too many. Counts nothing, but who was refused."""

    def enter(self, key: str, now: float, at: float) -> None:
        """One more, where it refused nobody."""

    def spend(self, key: str, count: int, at: float) -> Refusal | None:
        """So many bytes more; a refusal where it may not go on. Of who has entered only."""

    def leave(self, key: str, at: float) -> None:
        """It is over; once for each that entered."""

    def standing(self, key: str, now: float, at: float) -> str:
        """What is left, for a person."""

    def snapshot(self) -> dict[str, Any]:
        """Plain values."""


class Admission:
    """What has entered some limits. Says what it spent, as often as it likes, and when it is over.

    It holds the keys, since by its end a request may be another: fields and hosts are edited.
    """

    __slots__ = ("_held", "_told")

    def __init__(self, held: dict[Limit, str]) -> None:
        self._held = held
        self._told = 0

    def spend(self, total: int, at: float) -> Refusal | None:
        """total: bytes of both directions so far; less than before is as before. A refusal: it
        may not go on.

        To be said every few seconds of what takes long, so that a quota ends it, and an open
        tunnel's minutes are counted.
        """
        count = max(0, total - self._told)
        self._told += count
        found = None
        for limit, key in self._held.items():
            refusal = limit.spend(key, count, at)
            found = found or refusal
        return found

    def leave(self, total: int, at: float) -> None:
        """It is over, with so many bytes in all. Once more does nothing."""
        if self._held:
            self.spend(total, at)
        held, self._held = self._held, {}
        for limit, key in held.items():
            limit.leave(key, at)


def enter(limits: Iterable[Limit], question: Question, now: float) -> Admission | Refusal:
    """Into all of them, or none. One that is named twice counts once.

    now: seconds of a clock that nobody sets.
    """
    at = question.at
    held = {limit: limit.key(question) for limit in limits}
    for limit, key in held.items():
        refusal = limit.refuses(key, now, at)
        if refusal is not None:
            return refusal
    for limit, key in held.items():
        limit.enter(key, now, at)
    return Admission(held)
