"""What the clients of each side asked the cache for, and got."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

#: In the order in which they are shown.
SIDES: Final = ("forward", "reverse")


class Share:
    """What the clients of one side asked the cache for, and got.

    hits: answered by what was stored; collapsed: by another's fetch; fetched: by the origin.
    hit_bytes, sent_bytes: of bodies, by hits and in all. What was never for the cache (other
    methods, tunnels) isn't counted.
    """

    __slots__ = ("collapsed", "fetched", "hit_bytes", "hits", "sent_bytes")

    def __init__(self) -> None:
        self.hits = self.collapsed = self.fetched = self.hit_bytes = self.sent_bytes = 0

    def count(self, outcome: str | None, size: int) -> None:
        """One exchange is over. outcome: what the cache did, as the access log has it."""
        if outcome == "hit":
            self.hits += 1
            self.hit_bytes += size
        elif outcome == "miss" or outcome == "stale":
            self.fetched += 1
        elif outcome == "collapsed":
            self.collapsed += 1
        else:
            return
        self.sent_bytes += size

    @property
    def requests(self) -> int:
        return self.hits + self.collapsed + self.fetched

    def snapshot(self) -> dict[str, Any]:
        """The counts; ratios from 0 to 1, None where nothing was asked for."""
        return {
            "requests": self.requests,
            "hits": self.hits,
            "collapsed": self.collapsed,
            "hit_ratio": _ratio(self.hits, self.requests),
            "bytes": self.sent_bytes,
            "hit_bytes": self.hit_bytes,
            "byte_hit_ratio": _ratio(self.hit_bytes, self.sent_bytes),
        }


def _ratio(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def both(shares: Mapping[str, Share]) -> Share:
    """All sides together."""
    whole = Share()
    for share in shares.values():
        for name in Share.__slots__:
            setattr(whole, name, getattr(whole, name) + getattr(share, name))
    return whole
