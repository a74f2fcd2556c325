"""bandwidth: so many bytes a second, in each direction, shared by all exchanges of a key.

It refuses nobody: what would be too fast is slowed down (`net.throttle`). So it is no `Limit`,
whose way in and out is asked; an exchange gets two buckets, and its bytes pass under them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple, Protocol

from twistproxy.net.throttle import Bucket, Shaper
from twistproxy.policy import Question
from twistproxy.policy.limits.keys import key_by
from twistproxy.policy.limits.tally import Tally

KEYS: Final = 20_000  #: of one limit; two buckets each

_UNITS: Final = {"GiB": 1 << 30, "MiB": 1 << 20, "KiB": 1 << 10}


class Settings(Protocol):
    """A rule's `bandwidth`. Hashable. limit: bytes a second, more than 0."""

    @property
    def limit(self) -> float: ...
    @property
    def by(self) -> str: ...


class Ruled(Protocol):
    """What is asked of a rule here."""

    @property
    def name(self) -> str: ...
    @property
    def bandwidth(self) -> Any:
        """`Settings`, or None."""


class Buckets(NamedTuple):
    """Of one key. up: what its clients send; down: what they get."""

    up: Bucket
    down: Bucket


class Bandwidth:
    """One rule's limit, which makes buckets as keys come.

    They are the same while a key has anything to pay, and after that while there is room; an
    exchange keeps those that it began with.
    """

    kind = "bandwidth"

    def __init__(self, rule: str, limit: float, by: str, shaper: Shaper, most: int = KEYS) -> None:
        self.rule = rule
        self.limit = limit
        self.by = by
        self.key = key_by(by)
        self._shaper = shaper
        self._buckets: Tally[Buckets] = Tally(_full_at, most)

    def buckets(self, question: Question) -> Buckets:
        key = self.key(question)
        found = self._buckets.values.get(key)
        if found is None:
            found = Buckets(self._shaper.bucket(self.limit), self._shaper.bucket(self.limit))
            self._buckets.add(key, found)
        return found

    def standing(self, key: str) -> str:
        """How busy a key is, for a person."""
        waiting = sum(bucket.waiting for bucket in self._buckets.values.get(key, ()))
        return f"{self.text} each way, {waiting} wait"

    @property
    def text(self) -> str:
        for unit, size in _UNITS.items():
            if self.limit >= size:
                return f"{self.limit / size:.4g} {unit}/s"
        return f"{self.limit:.4g} B/s"

    def snapshot(self) -> dict[str, Any]:
        """Plain values. bytes_in, bytes_out: of the keys that are remembered."""
        buckets = self._buckets.values.values()
        return {
            "rule": self.rule,
            "kind": self.kind,
            "limit": self.text,
            "by": self.by,
            "keys": len(buckets),
            "waiting": sum(up.waiting + down.waiting for up, down in buckets),
            "bytes_in": sum(up.passed for up, _ in buckets),
            "bytes_out": sum(down.passed for _, down in buckets),
        }


class Bandwidths:
    """All of a process. What they count outlives reloads, where a rule keeps its settings."""

    def __init__(self, shaper: Shaper) -> None:
        self._shaper = shaper
        self._limits: dict[tuple[str, Settings], Bandwidth] = {}

    def of(self, rule: Ruled) -> Bandwidth | None:
        """A rule's: the one that it has already, where its settings are what they were.

        Raises ValueError where there can be no such limit.
        """
        settings: Settings | None = rule.bandwidth
        if settings is None:
            return None
        name = rule.name, settings
        if name not in self._limits:
            self._limits[name] = Bandwidth(rule.name, settings.limit, settings.by, self._shaper)
        return self._limits[name]

    def forget_unused(self, rules: Iterable[Ruled]) -> None:
        """After a reload, done or failed: keep those of these rules only. Exchanges under
        others go on as they are."""
        used = {(rule.name, rule.bandwidth) for rule in rules}
        self._limits = {name: each for name, each in self._limits.items() if name in used}

    def snapshot(self) -> list[dict[str, Any]]:
        """Plain values, one limit each."""
        return [limit.snapshot() for limit in self._limits.values()]


def _full_at(key: str, buckets: Buckets) -> float:
    return max(buckets.up.full_at, buckets.down.full_at)
