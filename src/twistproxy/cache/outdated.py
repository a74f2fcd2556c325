"""What was declared outdated lately, for the sake of what was on its way then.

An object that was asked for before a purge, and comes after it, may be the very one that was
meant. So the last invalidations and purges are remembered, and so is how far back that goes.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from math import inf
from typing import Final

from twistproxy.cache.purge import Purge
from twistproxy.cache.stored import Key, Stored

_KEYS: Final = 1024
_PURGES: Final = 1024


class Outdated:
    """The last invalidations by key, and the last purges."""

    __slots__ = ("_forgotten", "_keys", "_purges")

    def __init__(self) -> None:
        self._keys: OrderedDict[Key, float] = OrderedDict()
        self._purges: deque[tuple[float, Purge]] = deque()
        self._forgotten = -inf  # the time of the last that is no longer remembered

    def key(self, key: Key, now: float) -> None:
        """An unsafe request has changed it."""
        self._keys[key] = now
        self._keys.move_to_end(key)
        if len(self._keys) > _KEYS:
            self._forgotten = max(self._forgotten, self._keys.popitem(last=False)[1])

    def purge(self, purge: Purge, now: float) -> None:
        self._purges.append((now, purge))
        if len(self._purges) > _PURGES:
            self._forgotten = max(self._forgotten, self._purges.popleft()[0])

    def __call__(self, stored: Stored, asked: float) -> bool:
        """Whether what was asked for then may have been outdated since."""
        if asked <= self._forgotten:
            return True
        if self._keys:
            key = stored.key
            if asked <= self._keys.get(key._replace(query="") if key.query else key, -inf):
                return True
        for when, purge in reversed(self._purges):
            if when < asked:
                return False
            if purge.matches(stored.key.url, stored.tags):
                return True
        return False
