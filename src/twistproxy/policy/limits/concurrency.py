"""concurrency: so many at once. A tunnel counts while it is open.

Nobody in here can be forgotten, so where there are too many keys a new one is refused; but of
exchanges under way there are no more than connections, and those are bounded before.
"""

from __future__ import annotations

from typing import Any, Final

from twistproxy.policy.limits import Refusal
from twistproxy.policy.limits.keys import key_by
from twistproxy.policy.limits.tally import KEYS

#: Seconds after which it is worth a trial: nobody knows when another is over.
AGAIN: Final = 1.0


class Concurrency:
    """limit: from 1."""

    kind = "concurrency"

    def __init__(self, rule: str, limit: int, by: str, most: int = KEYS) -> None:
        self.rule = rule
        self.limit = limit
        self.by = by
        self.refused = 0
        self.key = key_by(by)
        self._inside: dict[str, int] = {}
        self._most = most

    def refuses(self, key: str, now: float, at: float) -> Refusal | None:
        inside = self._inside.get(key, 0)
        if inside < self.limit and (inside or len(self._inside) < self._most):
            return None
        self.refused += 1
        return Refusal(
            self.rule,
            self.kind,
            AGAIN,
            "Requests are limited to {limit} at once; try again when one of them is over.",
            {"limit": str(self.limit)},
        )

    def enter(self, key: str, now: float, at: float) -> None:
        self._inside[key] = self._inside.get(key, 0) + 1

    def spend(self, key: str, count: int, at: float) -> None:
        """Bytes are not its business."""

    def leave(self, key: str, at: float) -> None:
        left = self._inside.pop(key) - 1
        if left:
            self._inside[key] = left

    def standing(self, key: str, now: float, at: float) -> str:
        return f"{self._inside.get(key, 0)} of {self.text}"

    @property
    def text(self) -> str:
        return f"{self.limit} at once"

    def snapshot(self) -> dict[str, Any]:
        return {
            "rule": self.rule,
            "kind": self.kind,
            "limit": self.text,
            "by": self.by,
            "keys": len(self._inside),
            "refused": self.refused,
        }
