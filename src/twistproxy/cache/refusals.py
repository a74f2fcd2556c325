"""Why the last answers were not stored, for who asks: one entry in a dict for each."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final, NamedTuple

from twistproxy.cache.stored import Key

#: Keys after which the older half is forgotten: with URLs as long as they may be, 8 MiB.
KEPT: Final = 512


class Refusal(NamedTuple):
    """token: of `caching.CLAUSES` or the cache's own. when: seconds since 1970."""

    key: Key
    token: str
    when: float


class Refusals:
    """By key, the last of each; of the last `KEPT` keys, and of as many more at most."""

    __slots__ = ("_before", "_last")

    def __init__(self) -> None:
        self._last: dict[Key, tuple[str, float]] = {}
        self._before: dict[Key, tuple[str, float]] = {}

    def note(self, key: Key, token: str, now: float) -> None:
        """An answer for that key was not stored."""
        if len(self._last) >= KEPT:
            self._before, self._last = self._last, {}
        self._last[key] = (token, now)

    def of(self, urls: Collection[str]) -> Iterator[Refusal]:
        """Those for any of these URLs, whoever answered."""
        for key, (token, when) in {**self._before, **self._last}.items():
            if key.url in urls:
                yield Refusal(key, token, when)

    def __len__(self) -> int:
        return len(self._before.keys() | self._last.keys())
