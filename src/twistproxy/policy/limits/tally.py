"""What is remembered by key, bounded.

Where there is no room for a new key, one is forgotten that has little to remember: of a few that
are spread over all of them, the lightest. So who makes up keys pushes out others that are made
up; to push out one that is in use takes about as much traffic as that has, for each of the others.
(Sampling in place of order, as Redis does it for its LFU: the cost is the same at any size.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

KEYS: Final = 100_000  #: of one limit

# Primes, so that all places get their turn; no steps to neighbours, since what came together lies
# together.
_SAMPLE: Final = 17
_STRIDE: Final = 61_813

Value = TypeVar("Value")


class Tally(Generic[Value]):
    """weight: what would be lost with a key; the least goes first. `values` is to be read, and
    written for keys that are in it.
    """

    __slots__ = ("_hand", "_keys", "_most", "_weight", "values")

    def __init__(self, weight: Callable[[str, Value], float], most: int = KEYS) -> None:
        self.values: dict[str, Value] = {}
        self._keys: list[str] = []  # those of `values`, in any order
        self._weight = weight
        self._most = most
        self._hand = 0

    def __len__(self) -> int:
        return len(self.values)

    def add(self, key: str, value: Value) -> tuple[str, Value] | None:
        """A key that isn't there. Returns what was forgotten for it."""
        values, keys = self.values, self._keys
        if len(keys) < self._most:
            values[key] = value
            keys.append(key)
            return None
        lightest, least = 0, float("inf")
        for _ in range(_SAMPLE):
            self._hand = place = (self._hand + _STRIDE) % len(keys)
            weight = self._weight(keys[place], values[keys[place]])
            if weight <= least:
                lightest, least = place, weight
        gone = keys[lightest]
        forgotten = gone, values.pop(gone)
        values[key] = value
        keys[lightest] = key
        return forgotten
