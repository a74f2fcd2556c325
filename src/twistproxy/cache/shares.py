"""What the clients of each side asked the cache for, and got."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from twistproxy.http.cache_status import CacheStatus

#: In the order in which they are shown.
SIDES: Final = ("forward", "reverse")
#: Why a request went on that the cache might have answered (RFC 9211 §2.2).
_FETCHED: Final = frozenset({"uri-miss", "vary-miss", "partial", "stale"})


class Share:
    """What the clients of one side asked the cache for, and got.

    hits: answered by what was stored; collapsed: by another's fetch; fetched: by the origin.
    hit_bytes, sent_bytes: of bodies, by hits and in all. What was never for the cache (other
    methods, tunnels) isn't counted.
    """

    __slots__ = ("collapsed", "fetched", "hit_bytes", "hits", "sent_bytes")

    def __init__(self) -> None:
        self.hits = self.collapsed = self.fetched = self.hit_bytes = self.sent_bytes = 0

    def count(self, status: CacheStatus, size: int) -> None:
        """One exchange is over. status: what the cache did."""
        if status.hit:
            self.hits += 1
            self.hit_bytes += size
        elif status.collapsed:
            self.collapsed += 1
        elif status.fwd in _FETCHED:
            self.fetched += 1
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
        whole.hits += share.hits
        whole.hit_bytes += share.hit_bytes
        whole.collapsed += share.collapsed
        whole.fetched += share.fetched
        whole.sent_bytes += share.sent_bytes
    return whole
