"""rate: so many a second, by the generic cell rate algorithm (ITU-T I.371, "virtual scheduling").

Of each key one number is kept: the time at which all it has had would be due at the steady rate.
A burst may be ahead of that by so many intervals. Who is refused pays nothing.
"""

from __future__ import annotations

from typing import Any, Final

from twistproxy.policy.limits import Refusal
from twistproxy.policy.limits.keys import key_by
from twistproxy.policy.limits.tally import KEYS, Tally

PERIODS: Final = {1.0: "second", 60.0: "minute", 3600.0: "hour", 86400.0: "day"}

_SLACK: Final = 1e-6  # seconds: sums of floats are not to refuse who waited as long as told


class Rate:
    """limit: how often in `seconds`; burst: how many at once after a rest. Both from 1."""

    kind = "rate"

    def __init__(
        self, rule: str, limit: int, seconds: float, burst: int, by: str, most: int = KEYS
    ) -> None:
        self.rule = rule
        self.limit = limit
        self.by = by
        self.refused = 0
        self.key = key_by(by)
        self._period = PERIODS.get(seconds, f"{seconds:g} s")
        self._interval = seconds / limit
        self._burst = burst
        # What is due so much later is still part of the burst.
        self._ahead = (burst - 1) * self._interval + _SLACK
        self._due: Tally[float] = Tally(_itself, most)

    def refuses(self, key: str, now: float, at: float) -> Refusal | None:
        due = self._due.values.get(key)
        if due is None or due - self._ahead <= now:
            return None
        self.refused += 1
        wait = due - self._ahead + _SLACK - now
        return Refusal(
            self.rule,
            self.kind,
            wait,
            f"Requests are limited to {{limit}} per {self._period};"
            " the next may come in {wait} s.",
            {"limit": str(self.limit), "wait": str(int(-(-wait // 1)))},
        )

    def enter(self, key: str, now: float, at: float) -> None:
        values = self._due.values
        due = values.get(key)
        if due is None:
            self._due.add(key, now + self._interval)
        else:
            values[key] = (due if due > now else now) + self._interval

    def spend(self, key: str, count: int, at: float) -> None:
        """Bytes are not its business."""

    def leave(self, key: str, at: float) -> None:
        """Nor is how long it takes."""

    def standing(self, key: str, now: float, at: float) -> str:
        behind = max(0.0, self._due.values.get(key, now) - now)
        left = max(0, int(self._burst - (behind - _SLACK) / self._interval))
        return f"{left} of {self._burst} at once left, {self.text}"

    @property
    def text(self) -> str:
        return f"{self.limit} per {self._period}"

    def snapshot(self) -> dict[str, Any]:
        return {
            "rule": self.rule,
            "kind": self.kind,
            "limit": self.text,
            "by": self.by,
            "keys": len(self._due),
            "refused": self.refused,
        }


def _itself(key: str, due: float) -> float:
    return due
